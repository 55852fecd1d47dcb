#include "tracking/reproduction.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "pipeline/key.hpp"
#include "pipeline/store.hpp"
#include "tracking/queries.hpp"
#include "tracking/run_comparison.hpp"

namespace cifarpipe {
namespace {

std::string key_document_of(Database& db, const JobRef& job) {
  Statement row(db, "SELECT key_document FROM job WHERE key = ? AND generation = ?");
  if (!row.with(job.key, job.generation).step()) return "";
  return row.optional_text(0).value_or("");
}

/// A point with its place among all of the stage's.
struct PlacedPoint {
  std::size_t position = 0;
  std::int64_t step = 0;
  double value = 0;
};
using Series = std::map<std::string, std::vector<PlacedPoint>>;

Series series_of(const std::vector<VisiblePoint>& points) {
  Series series;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const VisiblePoint& p = points[i];
    if (!may_differ(p.metric)) series[p.metric].push_back({i, p.step, p.value});
  }
  return series;
}

bool equal_values(double a, double b, std::optional<double> tolerance) {
  if (std::isnan(a) || std::isnan(b)) return std::isnan(a) && std::isnan(b);
  if (std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b)) return true;
  return tolerance && std::abs(a - b) <= *tolerance;  // Infinities are far from everything.
}

std::optional<PointDifference> first_difference(const std::string& metric,
                                                const std::vector<PlacedPoint>& before,
                                                const std::vector<PlacedPoint>& now,
                                                std::optional<double> tolerance) {
  for (std::size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    PointDifference difference;
    difference.metric = metric;
    if (i >= before.size()) {
      difference.position = now[i].position;
      difference.step = now[i].step;
      difference.now = now[i].value;
      return difference;
    }
    difference.position = before[i].position;
    difference.step = before[i].step;
    difference.before = before[i].value;
    if (i >= now.size()) return difference;
    difference.now = now[i].value;
    if (before[i].step != now[i].step) {
      difference.step_now = now[i].step;
      return difference;
    }
    if (!equal_values(before[i].value, now[i].value, tolerance)) return difference;
  }
  return std::nullopt;
}

std::vector<PointDifference> point_differences(const Series& before, const Series& now,
                                               std::optional<double> tolerance) {
  static const std::vector<PlacedPoint> none;
  std::vector<PointDifference> differences;
  for (const auto& [metric, points] : before) {
    const auto found = now.find(metric);
    auto d = first_difference(metric, points, found == now.end() ? none : found->second, tolerance);
    if (d) differences.push_back(std::move(*d));
  }
  for (const auto& [metric, points] : now) {
    if (before.contains(metric)) continue;
    auto d = first_difference(metric, none, points, tolerance);
    if (d) differences.push_back(std::move(*d));
  }
  std::stable_sort(
      differences.begin(), differences.end(),
      [](const PointDifference& a, const PointDifference& b) { return a.position < b.position; });
  return differences;
}

StageComparison compare_stage(const StageOutcome& before, const StageOutcome* now,
                              std::optional<double> tolerance) {
  StageComparison result;
  result.name = before.name;
  for (const PortFiles& port : before.outputs) result.file_count += port.files.size();
  const Series series = series_of(before.points);
  for (const auto& [metric, points] : series) result.point_count += points.size();
  if (now == nullptr || now->status != "finished") {
    result.verdict = StageComparison::Verdict::missing;
    return result;
  }
  ResultRecord a;
  ResultRecord b;
  a.outputs = before.outputs;
  b.outputs = now->outputs;
  result.files = differing_files(a, b);
  result.points = point_differences(series, series_of(now->points), tolerance);
  const bool files_decide = !tolerance && !result.files.empty();
  if (files_decide || !result.points.empty()) result.verdict = StageComparison::Verdict::differs;
  return result;
}

const std::string* value_of(const std::vector<std::pair<std::string, std::string>>& pairs,
                            const std::string& name) {
  for (const auto& [key, value] : pairs) {
    if (key == name) return &value;
  }
  return nullptr;
}

/// A path in a fact is where the data lay; what it was is its digest.
std::string without_place(const std::string& name, const std::string& value) {
  return name.starts_with("data.") ? value.substr(0, value.find(' ')) : value;
}

/// Facts that say nothing of the environment: the state that is laid out again, and where runs are
/// mirrored to, which a reproduction is not.
bool is_no_circumstance(const std::string& name) {
  return name.starts_with("git.") || name.starts_with("input.") || name.starts_with("mlflow.");
}

void add_facts(const RunOutcome& before, const RunOutcome& now, std::vector<Circumstance>& out) {
  for (const auto& [name, value] : before.facts) {
    if (is_no_circumstance(name)) continue;
    const std::string* other = value_of(now.facts, name);
    const std::string a = without_place(name, value);
    const std::string b = other == nullptr ? "" : without_place(name, *other);
    if (a != b) out.push_back({name, a, b});
  }
  for (const auto& [name, value] : now.facts) {
    if (is_no_circumstance(name) || value_of(before.facts, name) != nullptr) continue;
    // A fact that older programs did not record says nothing about what changed.
    if (name.starts_with("data.")) continue;
    out.push_back({name, "", value});
  }
}

}  // namespace

RunOutcome outcome_of(SqliteRecorder& recorder, const std::string& run_id) {
  RunQueries queries(recorder.database());
  RunOutcome outcome;
  outcome.record = recorder.resolve_run(run_id);
  outcome.facts = queries.facts(run_id);
  for (const StageRow& row : queries.stages(run_id)) {
    StageOutcome stage;
    stage.name = row.name;
    stage.uses = row.uses;
    stage.action = row.action;
    stage.status = row.status;
    stage.outputs = row.outputs;
    stage.facts = row.facts;
    if (row.job) {
      stage.job = *row.job;
      stage.key_document = key_document_of(recorder.database(), *row.job);
      stage.points = recorder.points(*row.job);
    }
    outcome.stages.push_back(std::move(stage));
  }
  return outcome;
}

std::vector<StageComparison> compare_outcomes(const RunOutcome& before, const RunOutcome& now,
                                              std::optional<double> tolerance) {
  std::vector<StageComparison> comparisons;
  for (const StageOutcome& stage : before.stages) {
    const StageOutcome* other = nullptr;
    for (const StageOutcome& candidate : now.stages) {
      if (candidate.name == stage.name) other = &candidate;
    }
    comparisons.push_back(compare_stage(stage, other, tolerance));
  }
  return comparisons;
}

std::vector<Circumstance> differing_circumstances(const RunOutcome& before, const RunOutcome& now) {
  std::vector<Circumstance> out;
  add_facts(before, now, out);
  for (const StageOutcome& stage : before.stages) {
    for (const StageOutcome& other : now.stages) {
      if (other.name != stage.name) continue;
      for (const auto& [fact, value] : stage.facts) {
        const std::string* b = value_of(other.facts, fact);
        if (b == nullptr || *b != value) {
          out.push_back({fact + "." + stage.name, value, b == nullptr ? "" : *b});
        }
      }
      if (stage.key_document.empty() || other.key_document.empty()) continue;
      // The digests of data stand in the key also where no fact tells of them.
      for (const std::string& change :
           explain_change(stage.key_document, other.key_document, stage.name)) {
        const std::size_t at = change.find(" content ");
        if (at == std::string::npos) continue;
        const std::string name = "data." + stage.name + "." + change.substr(0, at);
        if (value_of(before.facts, name) != nullptr) continue;
        const std::size_t arrow = change.find(" → ");
        out.push_back({name, change.substr(at + 1, arrow - at - 1),
                       change.substr(std::min(change.size(), arrow + sizeof(" → ") - 1))});
      }
    }
  }
  return out;
}

}  // namespace cifarpipe
