#include "tracking/queries.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "pipeline/error.hpp"
#include "pipeline/value_json.hpp"
#include "tracking/rows.hpp"

namespace cifarpipe {
namespace {

using nlohmann::ordered_json;

constexpr const char* kRowColumns = ", deleted_ms IS NOT NULL, command, note, message FROM run ";

RunRow row_from(Statement& row) {
  RunRow out;
  out.record = run_from_row(row);
  out.deleted = row.integer(kRunColumnCount) != 0;
  out.command = row.text(kRunColumnCount + 1);
  out.note = row.text(kRunColumnCount + 2);
  out.message = row.text(kRunColumnCount + 3);
  return out;
}

std::optional<double> optional_real(Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return row.real(column);
}

ordered_json optional_json(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json param_json(const RunParam& param) {
  if (param.type == "bool") return param.text == "true";
  if (param.type == "string") return param.text;
  ordered_json value = ordered_json::parse(param.text, nullptr, false);
  return value.is_discarded() ? ordered_json(param.text) : value;  // "nan" stays a string.
}

ordered_json object_json(const std::vector<std::pair<std::string, std::string>>& pairs) {
  ordered_json out = ordered_json::object();
  for (const auto& [key, value] : pairs) out[key] = value;
  return out;
}

std::vector<MetricSummary> summaries(Statement& rows, const std::string& run_id) {
  std::vector<MetricSummary> out;
  rows.with(run_id);
  while (rows.step()) {
    out.push_back({rows.text(0), rows.integer(1), stored_value(rows, 2, 3), rows.integer(4),
                   rows.integer(5), optional_real(rows, 6), optional_real(rows, 7)});
  }
  rows.reset();
  return out;
}

ordered_json attempt_json(const AttemptRow& a) {
  ordered_json out = {{"number", a.number},
                      {"status", a.status},
                      {"start", a.start_ms},
                      {"end", a.end_ms == 0 ? ordered_json(nullptr) : ordered_json(a.end_ms)},
                      {"from", nullptr},
                      {"wall_ms", nullptr},
                      {"cpu_ms", nullptr},
                      {"peak_rss_bytes", nullptr},
                      {"points", a.points},
                      {"superseded", a.superseded}};
  if (a.from_attempt > 0) {
    out["from"] = {{"attempt", a.from_attempt},
                   {"sequence", a.from_sequence},
                   {"step", a.from_step ? ordered_json(*a.from_step) : ordered_json(nullptr)}};
  }
  if (a.usage) {
    out["wall_ms"] = a.usage->wall_ms;
    out["cpu_ms"] = a.usage->cpu_ms;
    out["peak_rss_bytes"] = a.usage->peak_rss_bytes;
  }
  return out;
}

}  // namespace

RunQueries::RunQueries(Database& db)
    : db_(db),
      params_(db, "SELECT key, type, value FROM run_param WHERE run_id = ? ORDER BY position"),
      metrics_(db,
               "SELECT run_stage.name || '/' || metric.name, points, last, last_kind, last_step, "
               "last_time_ms, minimum, maximum FROM run_stage "
               "JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation "
               "JOIN metric_summary ON metric_summary.job_id = job.id "
               "JOIN metric ON metric.id = metric_summary.metric_id "
               "WHERE run_id = ? ORDER BY run_stage.position, metric.id"),
      system_(db,
              "SELECT metric.name, points, last, last_kind, last_step, last_time_ms, minimum, "
              "maximum FROM run_point_summary JOIN metric ON metric.id = metric_id "
              "WHERE run_id = ? ORDER BY metric.id"),
      outputs_(db,
               "SELECT port, path, size, sha256 FROM result_file WHERE job_id = ? "
               "ORDER BY port, path") {}

std::vector<RunRow> RunQueries::runs(const RunFilter& filter) {
  SqlText text{fmt::format("SELECT {}{}WHERE ", kRunColumns, kRowColumns), {}};
  text.sql += filter.deleted ? "1" : "deleted_ms IS NULL";
  const auto equal = [&](const char* column, const std::optional<std::string>& value) {
    if (!value) return;
    text.sql += fmt::format(" AND {} = ?", column);
    text.values.emplace_back(*value);
  };
  equal("experiment", filter.experiment);
  equal("status", filter.status);
  equal("parent_id", filter.parent);
  const auto append = [&](std::string_view before, const SqlText& part, std::string_view after) {
    text.sql += fmt::format("{}{}{}", before, part.sql, after);
    text.values.insert(text.values.end(), part.values.begin(), part.values.end());
  };
  if (filter.where) append(" AND ", *filter.where, "");
  text.sql += " ORDER BY ";
  if (filter.order) {
    append("", *filter.order, filter.descending ? " DESC NULLS LAST, " : " ASC NULLS LAST, ");
  }
  Statement rows(db_, text.sql + "number DESC");
  rows.with_all(text.values);
  std::vector<RunRow> out;
  while (rows.step()) out.push_back(row_from(rows));
  return out;
}

RunRow RunQueries::run(const std::string& id) {
  Statement rows(db_, fmt::format("SELECT {}{}", kRunColumns, kRowColumns) + "WHERE id = ?");
  if (!rows.with(id).step()) throw Error("there is no run " + id, ErrorKind::usage);
  return row_from(rows);
}

std::vector<RunParam> RunQueries::params(const std::string& run_id) {
  std::vector<RunParam> out;
  params_.with(run_id);
  while (params_.step()) {
    RunParam param{params_.text(0), params_.text(1), {}};
    if (param.type == "bool") {
      param.text = params_.integer(2) != 0 ? "true" : "false";
    } else if (param.type == "number" && params_.is_real(2)) {
      param.text = number_text(params_.real(2));
    } else {
      param.text = params_.text(2);
    }
    out.push_back(std::move(param));
  }
  params_.reset();
  return out;
}

std::vector<MetricSummary> RunQueries::metrics(const std::string& run_id) {
  return summaries(metrics_, run_id);
}

std::vector<MetricSummary> RunQueries::system_metrics(const std::string& run_id) {
  return summaries(system_, run_id);
}

std::vector<std::pair<std::string, std::string>> RunQueries::pairs(const char* sql,
                                                                   const auto& id) {
  Statement rows(db_, sql);
  std::vector<std::pair<std::string, std::string>> out;
  rows.with(id);
  while (rows.step()) out.emplace_back(rows.text(0), rows.text(1));
  return out;
}

std::vector<StageRow> RunQueries::stages(const std::string& run_id) {
  Statement rows(
      db_,
      "SELECT run_stage.name, uses, action, run_stage.status, reason, message, run_stage.key, "
      "run_stage.generation, job.id, coalesce(job.attempts, (SELECT max(number) FROM attempt "
      "WHERE job_id = job.id), 0), coalesce(job.wall_ms, last.wall_ms), "
      "coalesce(job.cpu_ms, last.cpu_ms), coalesce(job.peak_rss_bytes, last.peak_rss_bytes), "
      "job.key_document "
      "FROM run_stage LEFT JOIN job ON job.key = run_stage.key AND "
      "job.generation = run_stage.generation LEFT JOIN attempt AS last ON last.job_id = job.id AND "
      "last.number = (SELECT max(number) FROM attempt WHERE job_id = job.id AND "
      "wall_ms IS NOT NULL) WHERE run_id = ? ORDER BY run_stage.position, run_stage.name");
  rows.with(run_id);
  std::vector<StageRow> out;
  while (rows.step()) {
    StageRow stage{rows.text(0), rows.text(1), rows.text(2),    rows.text(3), rows.text(4),
                   rows.text(5), {},           rows.integer(9), {},           {},
                   {},           {},           rows.text(13)};
    if (const std::string key = rows.text(6); !key.empty()) {
      stage.job = JobRef{key, static_cast<int>(rows.integer(7))};
    }
    if (!rows.is_null(10))
      stage.usage = Usage{rows.integer(10), rows.integer(11), rows.integer(12)};
    if (!rows.is_null(8)) {
      stage.outputs = outputs(rows.integer(8));
      stage.facts = pairs("SELECT key, value FROM result_fact WHERE job_id = ? ORDER BY key",
                          rows.integer(8));
      stage.history = attempts(rows.integer(8));
    }
    out.push_back(std::move(stage));
  }
  return out;
}

std::vector<AttemptRow> RunQueries::attempts(std::int64_t job_id) {
  Statement rows(db_,
                 "SELECT number, status, start_ms, coalesce(end_ms, 0), cover_attempt, "
                 "cover_sequence, wall_ms, cpu_ms, peak_rss_bytes, "
                 "(SELECT step FROM point WHERE point.job_id = attempt.job_id AND "
                 " point.attempt = cover_attempt AND sequence <= cover_sequence "
                 " ORDER BY sequence DESC LIMIT 1) "
                 "FROM attempt WHERE job_id = ? ORDER BY number");
  std::vector<AttemptRow> out;
  rows.with(job_id);
  while (rows.step()) {
    AttemptRow a;
    a.number = static_cast<int>(rows.integer(0));
    a.status = rows.text(1);
    a.start_ms = rows.integer(2);
    a.end_ms = rows.integer(3);
    a.from_attempt = static_cast<int>(rows.integer(4));
    a.from_sequence = rows.integer(5);
    if (!rows.is_null(6)) a.usage = Usage{rows.integer(6), rows.integer(7), rows.integer(8)};
    if (!rows.is_null(9)) a.from_step = rows.integer(9);
    out.push_back(std::move(a));
  }
  // One attempt hides nothing, and the summaries know how many points it made.
  Statement points(db_, out.size() > 1
                            ? "SELECT attempt, count(*), sum(superseded) FROM point "
                              "WHERE job_id = ? GROUP BY attempt"
                            : "SELECT 1, coalesce(sum(points), 0), 0 FROM metric_summary "
                              "WHERE job_id = ?");
  points.with(job_id);
  while (points.step()) {
    for (AttemptRow& a : out) {
      if (out.size() > 1 && a.number != points.integer(0)) continue;
      a.points = points.integer(1);
      a.superseded = points.integer(2);
    }
  }
  return out;
}

std::vector<PortFiles> RunQueries::outputs(std::int64_t job_id) {
  std::vector<PortFiles> out;
  outputs_.with(job_id);
  while (outputs_.step()) {
    const std::string port = outputs_.text(0);
    if (out.empty() || out.back().port != port) out.push_back({port, {}});
    out.back().files.push_back(
        {outputs_.text(1), static_cast<std::uint64_t>(outputs_.integer(2)), outputs_.text(3)});
  }
  outputs_.reset();
  return out;
}

std::vector<std::pair<std::string, std::string>> RunQueries::tags(const std::string& run_id) {
  return pairs("SELECT key, value FROM run_tag WHERE run_id = ? ORDER BY key", run_id);
}

std::vector<std::pair<std::string, std::string>> RunQueries::facts(const std::string& run_id) {
  return pairs("SELECT key, value FROM run_fact WHERE run_id = ? ORDER BY key", run_id);
}

std::vector<MetricPoint> RunQueries::points(const std::string& run_id, std::string_view key) {
  const std::size_t slash = key.find('/');
  if (slash == std::string_view::npos) return {};
  if (key.starts_with("system/")) return run_points(run_id, key);
  Statement rows(db_,
                 "SELECT step, time_ms, value, kind FROM run_stage "
                 "JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation "
                 "JOIN point ON point.job_id = job.id "
                 "WHERE run_id = ? AND run_stage.name = ? AND superseded = 0 AND "
                 "metric_id = (SELECT id FROM metric WHERE name = ?) ORDER BY attempt, sequence");
  rows.with(run_id, key.substr(0, slash), key.substr(slash + 1));
  std::vector<MetricPoint> out;
  while (rows.step()) out.push_back({rows.integer(0), rows.integer(1), stored_value(rows, 2, 3)});
  return out;
}

std::vector<std::string> RunQueries::newest_cells(const std::string& experiment, int limit) {
  Statement rows(db_,
                 "SELECT cell FROM run WHERE experiment = ? AND cell IS NOT NULL AND "
                 "deleted_ms IS NULL ORDER BY number DESC LIMIT ?");
  rows.with(experiment, limit);
  std::vector<std::string> out;
  while (rows.step()) out.push_back(rows.text(0));
  return out;
}

std::vector<MetricPoint> RunQueries::run_points(const std::string& run_id, std::string_view key,
                                                std::int64_t after_step) {
  Statement rows(db_,
                 "SELECT step, time_ms, value, kind FROM run_point WHERE run_id = ? AND "
                 "metric_id = (SELECT id FROM metric WHERE name = ?) AND step > ? ORDER BY step");
  rows.with(run_id, key, after_step);
  std::vector<MetricPoint> out;
  while (rows.step()) out.push_back({rows.integer(0), rows.integer(1), stored_value(rows, 2, 3)});
  return out;
}

ordered_json RunQueries::metrics_json(const std::string& run_id) {
  ordered_json out = ordered_json::object();
  for (Statement* rows : {&metrics_, &system_}) {
    for (const MetricSummary& m : summaries(*rows, run_id)) {
      out[m.key] = {{"last", number_json(m.last)},
                    {"step", m.step},
                    {"min", optional_json(m.min)},
                    {"max", optional_json(m.max)}};
    }
  }
  return out;
}

ordered_json RunQueries::row_json(const RunRow& row) {
  const RunRecord& r = row.record;
  ordered_json params = ordered_json::object();
  for (const RunParam& param : this->params(r.id)) params[param.key] = param_json(param);
  return {{"id", r.id},
          {"name", r.name},
          {"experiment", r.experiment},
          {"parent", r.parent_id.empty() ? ordered_json(nullptr) : ordered_json(r.parent_id)},
          {"cell", r.cell ? ordered_json(*r.cell) : ordered_json(nullptr)},
          {"status", to_string(r.status)},
          {"start", r.start_ms},
          {"end", r.end_ms == 0 ? ordered_json(nullptr) : ordered_json(r.end_ms)},
          {"params", std::move(params)},
          {"metrics", metrics_json(r.id)}};
}

ordered_json RunQueries::stage_json(const StageRow& stage) {
  ordered_json outputs = ordered_json::object();
  for (const PortFiles& port : stage.outputs) {
    ordered_json files = ordered_json::array();
    for (const FileDigest& file : port.files) {
      files.push_back({{"path", file.path}, {"size", file.size}, {"sha256", file.sha256}});
    }
    outputs[port.port] = std::move(files);
  }
  ordered_json out = {{"name", stage.name},
                      {"uses", stage.uses},
                      {"action", stage.action},
                      {"key", stage.job ? ordered_json(stage.job->key) : ordered_json(nullptr)},
                      {"status", stage.status},
                      {"attempts", stage.attempts},
                      {"wall_ms", nullptr},
                      {"cpu_ms", nullptr},
                      {"peak_rss_bytes", nullptr},
                      {"reason", stage.reason},
                      {"message", stage.message},
                      {"outputs", std::move(outputs)},
                      {"facts", ordered_json::object()},
                      {"history", ordered_json::array()}};
  for (const auto& [key, value] : stage.facts) out["facts"][key] = value;
  for (const AttemptRow& attempt : stage.history) out["history"].push_back(attempt_json(attempt));
  if (stage.usage) {
    out["wall_ms"] = stage.usage->wall_ms;
    out["cpu_ms"] = stage.usage->cpu_ms;
    out["peak_rss_bytes"] = stage.usage->peak_rss_bytes;
  }
  return out;
}

ordered_json RunQueries::list_json(const RunFilter& filter, std::size_t limit) {
  ordered_json out = ordered_json::array();
  for (const RunRow& row : runs(filter)) {
    if (out.size() == limit) break;
    out.push_back(row_json(row));
  }
  return out;
}

ordered_json RunQueries::show_json(const std::string& id) {
  const RunRow row = run(id);
  ordered_json out = row_json(row);
  ordered_json stages = ordered_json::array();
  for (const StageRow& stage : this->stages(id)) stages.push_back(stage_json(stage));
  out["stages"] = std::move(stages);
  out["tags"] = object_json(tags(id));
  out["facts"] = object_json(facts(id));
  out["note"] = row.note;
  out["command"] = row.command;
  out["folder"] = row.record.folder;
  out["message"] = row.message;
  out["attempt"] = row.record.attempt;
  out["forced"] = row.record.forced;
  out["deleted"] = row.deleted;
  return out;
}

}  // namespace cifarpipe
