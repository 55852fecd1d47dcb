// What an experiment shows: its description, and a view of its runs with the columns and charts
// that matter there. The view is a private format of MLflow's pages (observed with 3.17): a page
// that does not know it ignores it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "tracking/content_run.hpp"

namespace cifarpipe {
namespace content {
namespace {

using nlohmann::ordered_json;

constexpr const char* kViewKey = "cifarpipe";
constexpr const char* kSection = "cifarpipe-summary";
constexpr std::size_t kLongestTag = 5000;  // Of an experiment, before MLflow 3.
constexpr std::size_t kMostSwept = 8;

/// What an experiment's runs are compared by.
struct Objective {
  std::string metric;  ///< "" nothing is known yet.
  bool greater_is_better = true;
};

/// What the view is made of. Asked of the stages where these say enough, so that it is the same
/// before and after the metrics are there.
struct Ingredients {
  Objective objective;
  std::vector<std::string> swept;               ///< Parameters.
  std::vector<std::vector<std::string>> lines;  ///< Metrics of one chart each.
  std::vector<std::string> bars;
  std::vector<std::pair<std::string, std::int64_t>> images;  ///< Key and last step.
};

bool has_metric(const RunView& view, const std::string& key) {
  return std::any_of(view.metrics.begin(), view.metrics.end(),
                     [&](const MetricSummary& metric) { return metric.key == key; });
}

/// Of stages that are not ours: a metric whose name says what it is.
Objective objective_by_name(const RunView& view) {
  for (const auto& [part, greater] : {std::pair("accuracy", true), std::pair("loss", false)}) {
    for (const MetricSummary& metric : view.metrics) {
      if (metric.key.find(part) != std::string::npos) return {metric.key, greater};
    }
  }
  return view.metrics.empty() ? Objective{} : Objective{view.metrics.front().key, true};
}

Objective objective_of(const RunView& view) {
  const StageRow* judge = nullptr;
  const StageRow* learner = nullptr;
  for (const StageRow& stage : view.stages) {
    const bool named = stage.name == "test";
    if (stage.uses == "evaluate" && (judge == nullptr || named)) judge = &stage;
    if (trains(stage)) learner = &stage;
  }
  if (judge != nullptr) return {judge->name + "/accuracy", true};
  if (learner == nullptr) return objective_by_name(view);
  const std::string validated = learner->name + "/val_accuracy";
  return {has_metric(view, validated) ? validated : learner->name + "/accuracy", true};
}

void add_own_charts(const RunView& view, Ingredients& out) {
  for (const StageRow& stage : view.stages) {
    if (trains(stage)) {
      for (const char* metric : {"loss", "accuracy"}) {
        std::vector<std::string> keys = {fmt::format("{}/{}", stage.name, metric)};
        const std::string validated = fmt::format("{}/val_{}", stage.name, metric);
        if (has_metric(view, validated)) keys.push_back(validated);
        out.lines.push_back(std::move(keys));
      }
    } else if (stage.uses == "evaluate") {
      for (const char* metric : {"accuracy", "loss"}) {
        out.bars.push_back(fmt::format("{}/{}", stage.name, metric));
      }
    }
  }
}

/// Charts of stages that are not ours.
void add_other_charts(const RunView& view, Ingredients& out) {
  constexpr std::size_t kMost = 4;
  for (const MetricSummary& metric : view.metrics) {
    if (metric.step >= 1 && out.lines.size() < kMost) out.lines.push_back({metric.key});
    if (metric.step == 0 && out.bars.size() < kMost) out.bars.push_back(metric.key);
  }
}

/// The parameters that "train.lr=0.003,train.optimizer=adam" names.
void add_swept(const std::string& cell, std::vector<std::string>& keys) {
  std::size_t begin = 0;
  for (std::size_t i = 0; i <= cell.size(); ++i) {
    if (i < cell.size() && cell[i] != ',') continue;
    const std::string_view part = std::string_view(cell).substr(begin, i - begin);
    begin = i + 1;
    const std::size_t sign = part.find('=');
    const std::size_t dot = part.find('.');
    // A comma within a list's value ends a part that is no parameter.
    if (sign == std::string_view::npos || dot == std::string_view::npos || dot > sign) continue;
    const std::string key(part.substr(0, sign));
    if (std::find(keys.begin(), keys.end(), key) == keys.end()) keys.push_back(key);
  }
}

ordered_json chart(const std::string& uuid, const char* type) {
  return {{"uuid", uuid},
          {"type", type},
          {"runsCountToCompare", 10},
          {"metricSectionId", kSection},
          {"deleted", false},
          {"isGenerated", false}};
}

ordered_json line_chart(const std::vector<std::string>& keys) {
  const std::string name = keys.front();
  ordered_json out = chart("cifarpipe-line-" + plain_name(name), "LINE");
  out.update({{"displayName", name},
              {"metricKey", name},
              {"selectedMetricKeys", keys},
              {"lineSmoothness", 0},
              {"xAxisScaleType", "linear"},
              {"scaleType", "linear"},
              {"range", ordered_json::object()},
              {"xAxisKey", "step"},
              {"selectedXAxisMetricKey", ""},
              {"yAxisKey", "metric"},
              {"yAxisExpressions", ordered_json::array()},
              {"ignoreOutliers", false},
              {"useGlobalXaxisKey", true},
              {"useGlobalLineSmoothing", true}});
  return out;
}

ordered_json charts_of(const Ingredients& from) {
  ordered_json out = ordered_json::array();
  if (!from.swept.empty() && !from.objective.metric.empty()) {
    ordered_json parallel = chart("cifarpipe-parallel", "PARALLEL");
    parallel["selectedParams"] = from.swept;
    parallel["selectedMetrics"] = std::vector{from.objective.metric};
    parallel["showAllRuns"] = false;
    out.push_back(std::move(parallel));
  }
  for (const std::string& key : from.bars) {
    ordered_json bar = chart("cifarpipe-bar-" + plain_name(key), "BAR");
    bar["displayName"] = key;
    bar["metricKey"] = key;
    out.push_back(std::move(bar));
  }
  for (const auto& keys : from.lines) out.push_back(line_chart(keys));
  for (const auto& [key, step] : from.images) {
    ordered_json image = chart("cifarpipe-image-" + plain_name(key), "IMAGE");
    image["imageKeys"] = std::vector{key};
    image["step"] = step;
    image["showRunParams"] = false;
    out.push_back(std::move(image));
  }
  return out;
}

ordered_json columns_of(const Ingredients& from) {
  ordered_json out = ordered_json::array();
  // MLflow puts attributes before metrics, and parameters last: of a sweep, what was swept and what
  // came of it must not stand beyond the window's edge.
  const bool sweep = !from.swept.empty();
  for (const char* name : {"Source", "Version", "User", "Dataset", "Duration", "Models"}) {
    if (sweep && std::string_view(name) != "Duration") continue;
    out.push_back(fmt::format("attributes.`{}`", name));
  }
  std::vector<std::string> metrics;
  if (!from.objective.metric.empty()) metrics.push_back(from.objective.metric);
  for (const std::string& bar : from.bars) metrics.push_back(bar);
  for (const auto& line : from.lines) metrics.insert(metrics.end(), line.begin(), line.end());
  std::set<std::string> seen;
  constexpr std::size_t kMostOfASweep = 3;
  for (const std::string& key : metrics) {
    if (sweep && seen.size() == kMostOfASweep) break;
    if (seen.insert(key).second) out.push_back(fmt::format("metrics.`{}`", key));
  }
  for (const std::string& key : from.swept) out.push_back(fmt::format("params.`{}`", key));
  return out;
}

/// The view; charts that would make it too long for a tag are left out from the end.
std::string view_json(const Ingredients& from) {
  const Objective& objective = from.objective;
  ordered_json charts = charts_of(from);
  const ordered_json section = {{"uuid", kSection},    {"name", "Summary"}, {"display", true},
                                {"isReordered", true}, {"deleted", false},  {"isGenerated", false}};
  while (true) {
    const ordered_json view = {
        {"selectedColumns", columns_of(from)},
        {"orderByKey", objective.metric.empty() ? "attributes.start_time"
                                                : fmt::format("metrics.`{}`", objective.metric)},
        {"orderByAsc", !objective.metric.empty() && !objective.greater_is_better},
        {"searchFilter", ""},
        {"isAccordionReordered", true},
        {"compareRunSections", ordered_json::array({section})},
        {"compareRunCharts", charts}};
    std::string text = dump(view);
    if (text.size() <= kLongestTag || charts.empty()) return text;
    charts.erase(charts.size() - 1);
  }
}

/// The run that shows what its experiment's runs are made of: itself, but a child of a sweep's
/// parent, which has no stages.
RunRow representative(RunQueries& queries, const RunView& view) {
  if (!view.stages.empty()) return view.run;
  RunFilter filter;
  filter.parent = view.run.record.id;
  for (RunRow& child : queries.runs(filter)) {
    if (child.record.experiment == view.run.record.experiment) return std::move(child);
  }
  return view.run;
}

Ingredients ingredients_of(RunQueries& queries, const RunView& view) {
  Ingredients out;
  out.objective = objective_of(view);
  add_own_charts(view, out);
  if (out.lines.empty() && out.bars.empty()) add_other_charts(view, out);
  out.images = picture_keys(view);
  for (const std::string& cell : queries.newest_cells(view.run.record.experiment, 50)) {
    add_swept(cell, out.swept);
  }
  if (out.swept.size() > kMostSwept) out.swept.resize(kMostSwept);
  return out;
}

}  // namespace

mlflow::Pairs experiment_tags(RunQueries& queries, const RunView& view) {
  const RunRow shown = representative(queries, view);
  const bool itself = shown.record.id == view.run.record.id;
  const Ingredients from =
      itself ? ingredients_of(queries, view)
             : ingredients_of(queries, RunView(queries, shown, view.store, view.server));
  mlflow::Pairs tags = {{"mlflow.experimentKind", "custom_model_development"}};
  const std::string description =
      itself ? view.wiring.description()
             : Wiring::read(std::filesystem::path(shown.record.folder) / "resolved.toml")
                   .description();
  if (!description.empty()) tags.emplace_back("mlflow.note.content", description);
  if (!from.objective.metric.empty()) {
    tags.emplace_back("mlflow.experiment.primaryMetric.name", from.objective.metric);
    tags.emplace_back("mlflow.experiment.primaryMetric.greaterIsBetter",
                      from.objective.greater_is_better ? "True" : "False");
  }
  tags.emplace_back(fmt::format("mlflow.sharedViewState.{}", kViewKey), view_json(from));
  return tags;
}

}  // namespace content

std::string experiment_link(const std::string& base, const std::string& experiment_id) {
  return fmt::format("{}/#/experiments/{}/runs?workflowType=machine_learning&viewStateShareKey={}",
                     base, experiment_id, content::kViewKey);
}

std::string run_link(const std::string& base, const std::string& experiment_id,
                     const std::string& run_id) {
  return fmt::format("{}/#/experiments/{}/runs/{}?workflowType=machine_learning", base,
                     experiment_id, run_id);
}

}  // namespace cifarpipe
