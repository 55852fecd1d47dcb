#include "tracking/report/curves.hpp"

#include <algorithm>
#include <cmath>

#include "tracking/report/pieces.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

constexpr std::size_t kMostCharts = 12;  // What is looked at; more of them on a click.
constexpr std::string_view kValidation = "val_";

/// Where the metric's own name begins: after the last '/'.
std::size_t name_begin(std::string_view key) {
  const std::size_t slash = key.rfind('/');
  return slash == std::string_view::npos ? 0 : slash + 1;
}

bool is_validation(std::string_view key) {
  return key.substr(name_begin(key)).starts_with(kValidation);
}

Markup grid_of(const std::vector<Markup>& charts) {
  Markup first;
  Markup rest;
  for (std::size_t i = 0; i < charts.size(); ++i) (i < kMostCharts ? first : rest) += charts[i];
  if (first.empty()) return {};
  Markup out = html("<div class=\"charts\">{}</div>\n", first);
  if (!rest.empty()) {
    out += details(fmt::format("{} more", charts.size() - kMostCharts),
                   html("<div class=\"charts\">{}</div>\n", rest));
  }
  return out;
}

}  // namespace

std::vector<ChartPoint> curve_of(RunQueries& queries, const std::string& run_id,
                                 const std::string& key) {
  std::vector<ChartPoint> out;
  for (const MetricPoint& p : queries.points(run_id, key)) {
    out.push_back({static_cast<double>(p.step), p.value});
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const ChartPoint& a, const ChartPoint& b) { return a.x < b.x; });
  return out;
}

std::string chart_of(std::string_view key) {
  const std::size_t at = name_begin(key);
  return std::string(key.substr(0, at)) +
         std::string(key.substr(is_validation(key) ? at + kValidation.size() : at));
}

std::string step_name(const RunData& run, std::string_view key) {
  if (key.substr(name_begin(key)).starts_with("step_")) return "step";
  const std::string_view stage = key.substr(0, key.find('/'));
  for (const StageData& s : run.stages) {
    if (s.row.name == stage && (s.row.uses == "train" || s.row.uses == "finetune")) return "epoch";
  }
  return "step";
}

bool is_system(std::string_view key) {
  return key.starts_with("system/");
}

Markup system_curves(const Source& source, const RunData& run) {
  const bool long_run = run.took_ms() > 20 * 60'000;
  const double unit = long_run ? 60'000 : 1000;
  std::vector<Markup> drawn;
  for (const MetricSummary& metric : run.metrics) {
    if (metric.points < 2 || !is_system(metric.key)) continue;
    Chart chart{
        metric.key.substr(name_begin(metric.key)), long_run ? "minutes" : "seconds", false, {}};
    Series& series = chart.series.emplace_back();
    for (const MetricPoint& p : source.queries.points(run.row.record.id, metric.key)) {
      const auto since = static_cast<double>(p.time_ms - run.row.record.start_ms);
      series.points.push_back({std::round(since / unit * 10) / 10, p.value});
    }
    drawn.push_back(draw_chart(chart));
  }
  return grid_of(drawn);
}

Markup curves(const Source& source, const RunData& run) {
  std::vector<Chart> charts;
  for (const MetricSummary& metric : run.metrics) {
    if (metric.points < 2 || is_system(metric.key)) continue;
    const std::string title = chart_of(metric.key);
    auto found = std::find_if(charts.begin(), charts.end(),
                              [&](const Chart& c) { return c.title == title; });
    if (found == charts.end()) {
      charts.push_back({title, step_name(run, metric.key), is_fraction(title), {}, true});
      found = charts.end() - 1;
    }
    const bool validation = is_validation(metric.key);
    found->series.push_back({validation ? "validation" : "training",
                             curve_of(source.queries, run.row.record.id, metric.key),
                             validation ? 1 : 0});
  }
  std::vector<Markup> drawn;
  for (const Chart& chart : charts) drawn.push_back(draw_chart(chart));
  return grid_of(drawn);
}

Markup overlaid_curves(const Source& source, const std::vector<RunData>& runs,
                       const std::vector<std::string>& labels) {
  std::vector<Chart> charts;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (const MetricSummary& metric : runs[r].metrics) {
      if (metric.points < 2 || is_system(metric.key)) continue;
      auto found = std::find_if(charts.begin(), charts.end(),
                                [&](const Chart& c) { return c.title == metric.key; });
      if (found == charts.end()) {
        charts.push_back(
            {metric.key, step_name(runs[r], metric.key), is_fraction(metric.key), {}, false});
        found = charts.end() - 1;
      }
      found->series.push_back({labels[r],
                               curve_of(source.queries, runs[r].row.record.id, metric.key),
                               static_cast<int>(r)});
    }
  }
  std::vector<Markup> drawn;
  for (const Chart& chart : charts) drawn.push_back(draw_chart(chart));
  if (drawn.empty()) return {};
  std::vector<Series> named;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    named.push_back({labels[r], {}, static_cast<int>(r)});
  }
  Markup out = draw_legend(named);
  return out += grid_of(drawn);
}

}  // namespace cifarpipe::report
