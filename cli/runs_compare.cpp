// `cifarpipe runs compare`: what runs have different, on one page.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/command.hpp"
#include "cli/plot.hpp"
#include "cli/progress.hpp"
#include "cli/runs.hpp"
#include "cli/session.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/quantities.hpp"
#include "tracking/recorder.hpp"
#include "tracking/run_comparison.hpp"

namespace cifarpipe::cli {
namespace {

struct CompareArguments {
  std::vector<std::string> runs;
  bool all = false;
  bool json = false;
};

constexpr std::size_t kSparkWidth = 16;
constexpr std::size_t kKeyWidth = 24;   // Of a line on a terminal, at most; the rest is for values,
constexpr std::size_t kLeastCell = 8;   // which are cut,
constexpr std::size_t kCellWidth = 40;  // even where there is room.

/// "A", "B", …, then "27".
std::string letter(std::size_t run) {
  return run < 26 ? std::string(1, static_cast<char>('A' + run)) : fmt::format("{}", run + 1);
}

void print_heads(const RunComparison& c, const Look& look) {
  Table table({{""}, {""}, {""}, {"", false, 1}, {"", true}});
  for (std::size_t r = 0; r < c.runs.size(); ++r) {
    const RunRecord& run = c.runs[r].record;
    table.add({letter(r), run.name, std::string(to_string(run.status)), time_text(run.start_ms),
               took_text(run, now_ms())});
  }
  table.print(look);
}

/// So that the values of all runs are beside one another.
std::size_t cell_width(const std::vector<ComparedValue>& values, bool all, const Look& look) {
  std::size_t keys = 0;
  for (const ComparedValue& v : values) {
    if (v.differs || all) keys = std::max(keys, text_width(v.key));
  }
  keys = std::min(keys, kKeyWidth) + 2;  // And the indent.
  const std::size_t runs = values.front().values.size();
  const std::size_t room = look.width > keys ? (look.width - keys) / runs : 0;
  return std::clamp(room, kLeastCell + 2, kCellWidth + 2) - 2;
}

/// A table of what differs, or of everything.
void print_values(std::string_view title, const std::vector<ComparedValue>& values, bool all,
                  const Look& look) {
  if (values.empty()) return;
  std::vector<Table::Column> columns = {{""}};
  for (std::size_t r = 0; r < values.front().values.size(); ++r) columns.push_back({letter(r)});
  Table table(columns);
  const std::size_t cell = cell_width(values, all, look);
  for (const ComparedValue& v : values) {
    if (!v.differs && !all) continue;
    std::vector<std::string> cells = {v.key};
    for (const auto& value : v.values) {
      const std::string text = value ? (value->empty() ? "\"\"" : *value) : "–";
      cells.push_back(look.width > 0 ? text_cut(text, cell) : text);
    }
    table.add(std::move(cells));
  }
  if (table.empty()) return;
  print_heading(look, title);
  table.print(look, "  ");
}

std::vector<double> values_of(const std::vector<MetricPoint>& points) {
  std::vector<double> out;
  for (const MetricPoint& p : points) out.push_back(p.value);
  return out;
}

std::string difference(const ComparedMetric& metric, std::size_t run) {
  const auto& a = metric.summaries.front();
  const auto& b = metric.summaries[run];
  if (!a || !b || !std::isfinite(a->last) || !std::isfinite(b->last)) return "";
  const double by = b->last - a->last;
  return by == 0 ? "0" : fmt::format("{:+.4g}", by);
}

void add_metric(Table& table, const ComparedMetric& metric) {
  Extent extent;  // Of all runs together, so that the little curves compare.
  for (const auto& points : metric.points) {
    for (const MetricPoint& p : points) {
      if (std::isfinite(p.value)) extent.add(p.value);
    }
  }
  std::vector<std::string> cells = {metric.key};
  for (std::size_t r = 0; r < metric.points.size(); ++r) {
    cells.push_back(metric.points[r].size() < 2 ? ""
                                                : sparkline(values_of(metric.points[r]), extent.low,
                                                            extent.high, kSparkWidth));
    cells.push_back(metric.summaries[r] ? figure_text(metric.summaries[r]->last) : "–");
    if (r > 0) cells.push_back(difference(metric, r));
  }
  cells.push_back(metric.first_step ? fmt::format("step {}", *metric.first_step) : "equal");
  table.add(std::move(cells));
}

void print_metrics(const RunComparison& c, bool all, const Look& look) {
  std::vector<Table::Column> columns = {{""}};
  for (std::size_t r = 0; r < c.runs.size(); ++r) {
    columns.push_back({"", false, 2});
    columns.push_back({letter(r), true});
    if (r > 0) columns.push_back({fmt::format("{} − A", letter(r)), true, 3});
  }
  columns.push_back({"DIFFERS FROM", false, 1});
  Table table(columns);
  std::size_t left_out = 0;
  for (const ComparedMetric& metric : c.metrics) {
    if (!all && metric.may_differ) left_out += metric.differs ? 1 : 0;
    if (all || (metric.differs && !metric.may_differ)) add_metric(table, metric);
  }
  if (!table.empty()) {
    print_heading(look, "metrics (last values)");
    table.print(look, "  ");
  }
  if (left_out > 0) {
    fmt::print("\n{} of speed left out, which equal runs differ in too (--all shows them)\n",
               counted(left_out, "metric"));
  }
}

/// The source: what it was made of, and which files were changed since the commit.
void print_source(const RunComparison& c, bool all, const Look& look) {
  print_values("git", c.git, all, look);
  if (c.changes.empty()) return;
  const bool differ = std::any_of(c.changes.begin(), c.changes.end(),
                                  [](const ComparedValue& v) { return v.differs; });
  if (!differ && !all) {
    fmt::print("\nequal changes since the commit, in {}\n", counted(c.changes.size(), "file"));
    return;
  }
  print_heading(look, "files changed since the commit (equal digests: changed alike)");
  std::vector<Table::Column> columns = {{""}};
  for (std::size_t r = 0; r < c.runs.size(); ++r) columns.push_back({letter(r)});
  Table table(columns);
  for (const ComparedValue& file : c.changes) {
    if (!file.differs && !all) continue;
    std::vector<std::string> cells = {file.key};
    for (const auto& digest : file.values) cells.push_back(digest.value_or("unchanged"));
    table.add(std::move(cells));
  }
  table.print(look, "  ");
}

void print_equal(const RunComparison& c) {
  std::size_t points = 0;
  std::size_t metrics = 0;
  for (const ComparedMetric& metric : c.metrics) {
    if (metric.may_differ) continue;
    ++metrics;
    points += metric.points.front().size();
  }
  fmt::print(
      "\nnothing differs: {}, {} of {}, the source, {} of data, {} of the environment and {} are "
      "equal\n",
      counted(c.params.size(), "parameter"), counted(points, "point"), counted(metrics, "metric"),
      counted(c.data.size(), "digest"), counted(c.environment.size(), "fact"),
      counted(c.plugins.size(), "plugin"));
}

int compare(const Program& program, const CompareArguments& arguments) {
  if (arguments.runs.size() < 2) {
    throw Error("'cifarpipe runs compare' needs two runs or more", ErrorKind::usage);
  }
  const auto session = open_to_look(program);
  RunQueries queries(session->sqlite().database());
  std::vector<std::string> ids;
  for (const std::string& name : arguments.runs) {
    ids.push_back(session->recorder().resolve_run(name).id);
    if (std::count(ids.begin(), ids.end(), ids.back()) > 1) {
      throw Error(fmt::format("'{}' is named twice; a run is equal to itself", name),
                  ErrorKind::usage);
    }
  }
  const RunComparison c = compare_runs(queries, ids);
  if (arguments.json) {
    fmt::print("{}\n", to_json(c, arguments.all)
                           .dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return 0;
  }
  const Look look = Look::of_stdout();
  print_heads(c, look);
  print_values("outcome", c.outcome, arguments.all, look);
  print_values("parameters", c.params, arguments.all, look);
  print_metrics(c, arguments.all, look);
  print_source(c, arguments.all, look);
  print_values("data (digests)", c.data, arguments.all, look);
  print_values("environment", c.environment, arguments.all, look);
  print_values("plugins", c.plugins, arguments.all, look);
  if (c.equal()) print_equal(c);
  return 0;
}

}  // namespace

void add_runs_compare(CLI::App& family, Program& program) {
  const auto arguments = std::make_shared<CompareArguments>();
  auto* command = add_runs_subcommand(
      family, program, "compare",
      "What two runs or more have different: parameters, metrics, source, data, environment.",
      [&program, arguments] { return compare(program, *arguments); });
  command->add_option("RUN", arguments->runs, "Ids, names or 'latest'.")->required();
  command->add_flag("--all", arguments->all, "What is equal too.");
  command->add_flag("--json", arguments->json, "As JSON.");
}

}  // namespace cifarpipe::cli
