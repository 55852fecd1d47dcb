#include "tracking/run_comparison.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "pipeline/digest.hpp"
#include "pipeline/file_ops.hpp"
#include "pipeline/value_json.hpp"

namespace cifarpipe {
namespace {

using nlohmann::ordered_json;
using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr std::size_t kDigits = 12;  // Of a digest, as people see it.

/// Keys in the order in which they first come, a value a run.
std::vector<ComparedValue> compare(const std::vector<Pairs>& of_runs) {
  std::vector<ComparedValue> out;
  std::map<std::string, std::size_t> places;
  for (std::size_t r = 0; r < of_runs.size(); ++r) {
    for (const auto& [key, value] : of_runs[r]) {
      const auto place = places.emplace(key, out.size());
      if (place.second) out.push_back({key, {of_runs.size(), std::nullopt}, false});
      out[place.first->second].values[r] = value;
    }
  }
  for (ComparedValue& v : out) {
    v.differs = std::any_of(v.values.begin(), v.values.end(),
                            [&](const auto& value) { return value != v.values.front(); });
  }
  return out;
}

/// NaN equals NaN here, and 0 is not -0: the same bits are meant.
bool same(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b) ||
         (std::isnan(a) && std::isnan(b));
}

/// The step at which two series part; nothing if they do not.
std::optional<std::int64_t> parting(const std::vector<MetricPoint>& a,
                                    const std::vector<MetricPoint>& b) {
  const std::size_t common = std::min(a.size(), b.size());
  for (std::size_t i = 0; i < common; ++i) {
    if (a[i].step != b[i].step || !same(a[i].value, b[i].value)) {
      return std::min(a[i].step, b[i].step);
    }
  }
  if (a.size() == b.size()) return std::nullopt;
  return a.size() > common ? a[common].step : b[common].step;
}

std::vector<ComparedMetric> compare_metrics(RunQueries& queries,
                                            const std::vector<std::string>& ids) {
  std::vector<ComparedMetric> out;
  std::map<std::string, std::size_t> places;
  for (std::size_t r = 0; r < ids.size(); ++r) {
    for (MetricSummary& summary : queries.metrics(ids[r])) {
      const auto place = places.emplace(summary.key, out.size());
      if (place.second) {
        ComparedMetric& metric = out.emplace_back();
        metric.key = summary.key;
        metric.summaries.resize(ids.size());
        metric.points.resize(ids.size());
        metric.may_differ = may_differ(summary.key);
      }
      ComparedMetric& metric = out[place.first->second];
      metric.points[r] = queries.points(ids[r], summary.key);
      metric.summaries[r] = std::move(summary);
    }
  }
  for (ComparedMetric& metric : out) {
    for (const auto& points : metric.points) {
      const auto step = parting(metric.points.front(), points);
      if (!step) continue;
      metric.differs = true;
      metric.first_step = std::min(metric.first_step.value_or(*step), *step);
    }
  }
  return out;
}

/// `read` of facts such as "sha256:DIGEST PATH", for stages that have no result; "train.model", and
/// what it took from outside: "download.params.source".
Pairs data_of(const std::vector<StageRow>& stages, const Pairs& read) {
  constexpr std::string_view kPrefix = "sha256:";
  Pairs out;
  for (const auto& [key, value] : read) {
    if (value.starts_with(kPrefix)) out.emplace_back(key, value.substr(kPrefix.size(), kDigits));
  }
  for (const StageRow& stage : stages) {
    const auto key = nlohmann::json::parse(stage.key_document, nullptr, false);
    if (key.is_object() && key.contains("params")) {
      for (const auto& [name, value] : key["params"].items()) {
        if (!value.is_object() || !value.contains("content")) continue;
        out.emplace_back(stage.name + "." + name,
                         value["content"].get<std::string>().substr(0, kDigits));
      }
    }
    for (const PortFiles& port : stage.outputs) {
      out.emplace_back(stage.name + "." + port.port,
                       combined_digest(port.files).substr(0, kDigits));
    }
  }
  return out;
}

Pairs changes_of(const RunRow& run) {
  Pairs out;
  const std::filesystem::path file = std::filesystem::path(run.record.folder) / "changes.diff";
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error)) return out;
  for (auto& [path, text] : files_of_diff(read_text_file(file))) {
    out.emplace_back(std::move(path), sha256(text).substr(0, kDigits));
  }
  return out;
}

/// The parts of a run's facts: the source's, the plugins', what was read from outside, all others.
struct Facts {
  Pairs git, plugins, data, environment;
};
Facts facts_of(const Pairs& all) {
  Facts out;
  for (const auto& fact : all) {
    const auto part = [&](std::string_view prefix, Pairs& to) {
      if (!fact.first.starts_with(prefix)) return false;
      to.emplace_back(fact.first.substr(prefix.size()), fact.second);
      return true;
    };
    if (part("git.", out.git) || part("plugin.", out.plugins) || part("data.", out.data)) continue;
    out.environment.push_back(fact);
  }
  return out;
}

Pairs outcome_of(const RunRow& run, const std::vector<StageRow>& stages) {
  Pairs out = {{"status", std::string(to_string(run.record.status))},
               {"experiment", run.record.experiment}};
  for (const StageRow& stage : stages) out.emplace_back("stages." + stage.name, stage.status);
  return out;
}

bool any_differs(const std::vector<ComparedValue>& values) {
  return std::any_of(values.begin(), values.end(), [](const auto& v) { return v.differs; });
}

ordered_json values_json(const std::vector<ComparedValue>& values, bool all) {
  ordered_json out = ordered_json::object();
  for (const ComparedValue& v : values) {
    if (!v.differs && !all) continue;
    ordered_json list = ordered_json::array();
    for (const auto& value : v.values) {
      list.push_back(value ? ordered_json(*value) : ordered_json(nullptr));
    }
    out[v.key] = std::move(list);
  }
  return out;
}

ordered_json metric_json(const ComparedMetric& metric) {
  ordered_json last = ordered_json::array();
  ordered_json points = ordered_json::array();
  for (const auto& summary : metric.summaries) {
    last.push_back(summary ? number_json(summary->last) : ordered_json(nullptr));
    points.push_back(summary ? summary->points : 0);
  }
  return {{"last", std::move(last)},
          {"points", std::move(points)},
          {"differs", metric.differs},
          {"first_step", metric.first_step ? ordered_json(*metric.first_step) : nullptr}};
}

}  // namespace

bool RunComparison::equal() const {
  for (const auto* group : {&outcome, &params, &git, &changes, &data, &environment, &plugins}) {
    if (any_differs(*group)) return false;
  }
  return std::none_of(metrics.begin(), metrics.end(),
                      [](const ComparedMetric& m) { return m.differs && !m.may_differ; });
}

RunComparison compare_runs(RunQueries& queries, const std::vector<std::string>& ids) {
  RunComparison out;
  std::vector<Pairs> outcome, params, git, changes, data, environment, plugins;
  for (const std::string& id : ids) {
    out.runs.push_back(queries.run(id));
    const std::vector<StageRow> stages = queries.stages(id);
    outcome.push_back(outcome_of(out.runs.back(), stages));
    Pairs& of_run = params.emplace_back();
    for (RunParam& param : queries.params(id)) {
      of_run.emplace_back(std::move(param.key), std::move(param.text));
    }
    Facts facts = facts_of(queries.facts(id));
    git.push_back(std::move(facts.git));
    plugins.push_back(std::move(facts.plugins));
    environment.push_back(std::move(facts.environment));
    changes.push_back(changes_of(out.runs.back()));
    data.push_back(data_of(stages, facts.data));
  }
  out.outcome = compare(outcome);
  out.params = compare(params);
  out.metrics = compare_metrics(queries, ids);
  out.git = compare(git);
  out.changes = compare(changes);
  out.data = compare(data);
  out.environment = compare(environment);
  out.plugins = compare(plugins);
  return out;
}

ordered_json to_json(const RunComparison& comparison, bool all) {
  ordered_json runs = ordered_json::array();
  for (const RunRow& run : comparison.runs) {
    runs.push_back({{"id", run.record.id}, {"name", run.record.name}});
  }
  ordered_json metrics = ordered_json::object();
  for (const ComparedMetric& metric : comparison.metrics) {
    if (all || (metric.differs && !metric.may_differ)) metrics[metric.key] = metric_json(metric);
  }
  return {{"runs", std::move(runs)},
          {"equal", comparison.equal()},
          {"outcome", values_json(comparison.outcome, all)},
          {"params", values_json(comparison.params, all)},
          {"metrics", std::move(metrics)},
          {"git", values_json(comparison.git, all)},
          {"changes", values_json(comparison.changes, all)},
          {"data", values_json(comparison.data, all)},
          {"environment", values_json(comparison.environment, all)},
          {"plugins", values_json(comparison.plugins, all)}};
}

std::vector<std::pair<std::string, std::string>> files_of_diff(std::string_view diff) {
  constexpr std::string_view kHead = "diff --git ";
  std::vector<std::pair<std::string, std::string>> out;
  for (std::size_t begin = 0; begin < diff.size();) {
    const std::size_t end = std::min(diff.find('\n', begin), diff.size() - 1) + 1;
    const std::string_view line = diff.substr(begin, end - begin);
    if (line.starts_with(kHead)) {
      // "a/PATH b/PATH": with equal paths its second half; quoted or renamed ones as they stand.
      std::string_view names = line.substr(kHead.size());
      while (!names.empty() && (names.back() == '\n' || names.back() == '\r')) {
        names.remove_suffix(1);
      }
      const std::string_view before = names.substr(0, names.size() / 2);
      const std::string_view after = names.substr(std::min(names.size(), names.size() / 2 + 1));
      const bool plain = before.starts_with("a/") && after.starts_with("b/") &&
                         before.substr(2) == after.substr(2);
      out.emplace_back(plain ? after.substr(2) : names, "");
    }
    if (!out.empty()) out.back().second += line;
    begin = end;
  }
  return out;
}

bool may_differ(std::string_view metric) {
  return metric.ends_with("_per_second") || metric.starts_with("system/");
}

}  // namespace cifarpipe
