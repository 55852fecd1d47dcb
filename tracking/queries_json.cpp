#include <cmath>
#include <nlohmann/json.hpp>

#include "tracking/queries.hpp"

namespace cifarpipe {
namespace {

using nlohmann::ordered_json;

/// JSON knows no NaN and no infinity: they are strings.
ordered_json number(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

ordered_json typed(const Value& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b;
  if (const auto* i = std::get_if<std::int64_t>(&value)) return *i;
  if (const auto* d = std::get_if<double>(&value)) return number(*d);
  if (const auto* s = std::get_if<std::string>(&value)) return *s;
  return to_text(value);
}

ordered_json or_null(const std::string& text) {
  return text.empty() ? ordered_json(nullptr) : ordered_json(text);
}

ordered_json object(const std::vector<std::pair<std::string, std::string>>& pairs) {
  ordered_json o = ordered_json::object();
  for (const auto& [key, value] : pairs) o[key] = value;
  return o;
}

ordered_json run_object(const RunRow& row) {
  ordered_json params = ordered_json::object();
  for (const auto& [key, value] : row.params) params[key] = typed(value);
  ordered_json metrics = ordered_json::object();
  for (const MetricSummary& m : row.metrics) {
    metrics[m.key] = {{"last", number(m.last)},
                      {"step", m.step},
                      {"min", number(m.minimum)},
                      {"max", number(m.maximum)}};
  }
  const RunRecord& run = row.run;
  return {{"id", run.id},
          {"name", run.name},
          {"experiment", run.experiment},
          {"parent", or_null(run.parent_id)},
          {"cell", run.cell ? ordered_json(*run.cell) : ordered_json(nullptr)},
          {"status", to_string(run.status)},
          {"start", run.start_ms},
          {"end", run.end_ms > 0 ? ordered_json(run.end_ms) : ordered_json(nullptr)},
          {"params", params},
          {"metrics", metrics}};
}

ordered_json stage_object(const StageRow& row) {
  ordered_json outputs = ordered_json::object();
  for (const PortFiles& port : row.outputs) {
    ordered_json files = ordered_json::array();
    for (const FileDigest& f : port.files) {
      files.push_back({{"path", f.path}, {"size", f.size}, {"sha256", f.sha256}});
    }
    outputs[port.port] = files;
  }
  return {{"name", row.stage.name},
          {"uses", row.stage.uses},
          {"action", row.stage.action},
          {"key", or_null(row.stage.job.key)},
          {"generation", row.stage.job.generation},
          {"status", row.stage.status},
          {"reason", row.stage.reason},
          {"message", row.stage.message},
          {"attempts", row.attempts},
          {"wall_ms", row.usage.wall_ms},
          {"cpu_ms", row.usage.cpu_ms},
          {"peak_rss_bytes", row.usage.peak_rss_bytes},
          {"facts", object(row.facts)},
          {"outputs", outputs}};
}

std::string dumped(const ordered_json& j) {
  return j.dump(2, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

std::string runs_json(const std::vector<RunRow>& runs) {
  ordered_json list = ordered_json::array();
  for (const RunRow& run : runs) list.push_back(run_object(run));
  return dumped(list);
}

std::string run_json(const RunRow& run) {
  ordered_json o = run_object(run);
  o["attempt"] = run.run.attempt;
  o["deleted"] = run.deleted;
  o["folder"] = run.run.folder;
  o["command"] = run.command;
  o["note"] = run.note;
  o["message"] = run.message;
  o["tags"] = object(run.tags);
  o["facts"] = object(run.facts);
  o["stages"] = ordered_json::array();
  for (const StageRow& stage : run.stages) o["stages"].push_back(stage_object(stage));
  return dumped(o);
}

std::string points_json(const std::vector<VisiblePoint>& points) {
  ordered_json list = ordered_json::array();
  for (const VisiblePoint& p : points) list.push_back({p.step, p.time_ms, number(p.value)});
  return list.dump();
}

}  // namespace cifarpipe
