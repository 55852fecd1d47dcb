// `cifarpipe runs plot`: metrics of runs as curves, in the terminal or as an SVG file.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <set>

#include "cli/command.hpp"
#include "cli/help.hpp"
#include "cli/output_file.hpp"
#include "cli/plot.hpp"
#include "cli/runs.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"
#include "tracking/known_keys.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

struct PlotArguments {
  std::vector<std::string> words;
  std::optional<std::string> svg;
  std::string x = "step";
  bool log = false;
  std::optional<std::size_t> width;
  std::optional<std::size_t> height;
};

/// What the words mean.
struct Chosen {
  std::vector<RunRecord> runs;
  std::vector<std::string> keys;
};

/// A word with a '/' is a metric, unless it is the name of a run, as a sweep's cells have it.
Chosen choose(Session& session, RunQueries& queries, const std::vector<std::string>& words) {
  StoreKeys known(queries.database());
  Chosen chosen;
  std::set<std::string> seen;
  for (const std::string& word : words) {
    const bool slash = word.find('/') != std::string::npos;
    if (slash && known.has(RunField::Of::metric, word)) {
      if (seen.insert(word).second) chosen.keys.push_back(word);
      continue;
    }
    try {
      RunRecord run = session.recorder().resolve_run(word);
      if (seen.insert(run.id).second) chosen.runs.push_back(std::move(run));
    } catch (const Error&) {
      if (!slash) throw;  // Says what is wrong with the name of a run.
      const std::string near = known.near(RunField::Of::metric, word);
      throw Error(fmt::format("no run has a metric '{}', and none is called so{}", word,
                              near.empty() ? "" : fmt::format("; did you mean '{}'?", near)),
                  ErrorKind::usage);
    }
  }
  if (chosen.runs.empty()) chosen.runs.push_back(session.recorder().resolve_run("latest"));
  if (!chosen.keys.empty()) return chosen;
  std::vector<std::string> keys;
  for (const MetricSummary& m : queries.metrics(chosen.runs.front().id)) keys.push_back(m.key);
  const RunRecord& run = chosen.runs.front();
  throw Error(keys.empty()
                  ? fmt::format("{} has no metrics", run.name)
                  : fmt::format("which metric? {} has: {}", run.name, fmt::join(keys, ", ")),
              ErrorKind::usage);
}

/// The unit that makes the longest time readable, and how many milliseconds it has.
std::pair<const char*, double> time_unit(double longest_ms) {
  if (longest_ms < 180e3) return {"s", 1e3};
  if (longest_ms < 3 * 3600e3) return {"min", 60e3};
  return {"h", 3600e3};
}

std::string label_of(const RunRecord& run, const std::string& key, const Chosen& chosen) {
  if (chosen.keys.size() == 1) return text_shown(run.name);
  if (chosen.runs.size() == 1) return text_shown(key);
  return text_shown(run.name + " " + key);
}

/// The curves, x in steps or in milliseconds since the run began.
std::vector<Series> series_of(RunQueries& queries, const Chosen& chosen, bool by_time) {
  std::vector<Series> out;
  for (const RunRecord& run : chosen.runs) {
    for (const std::string& key : chosen.keys) {
      std::vector<MetricPoint> points = queries.points(run.id, key);
      if (points.empty()) {
        if (chosen.runs.size() == 1) no_such_metric(queries, run, key);
        say("{} has no metric '{}'\n", run.name, key);
        continue;
      }
      const auto x = [by_time](const MetricPoint& p) { return by_time ? p.time_ms : p.step; };
      std::stable_sort(points.begin(), points.end(),
                       [&](const auto& a, const auto& b) { return x(a) < x(b); });
      Series& series = out.emplace_back();
      series.label = label_of(run, key, chosen);
      const std::int64_t begin = by_time ? points.front().time_ms : 0;
      for (const MetricPoint& p : points) {
        series.x.push_back(static_cast<double>(x(p) - begin));
        series.y.push_back(p.value);
      }
    }
  }
  if (out.empty()) throw Error("none of these runs has one of these metrics", ErrorKind::usage);
  return out;
}

void scale_times(std::vector<Series>& series, PlotOptions& options) {
  double longest = 0;
  for (const Series& s : series) longest = std::max(longest, s.x.back());
  const auto unit = time_unit(longest);
  for (Series& s : series) {
    for (double& x : s.x) x /= unit.second;
  }
  options.x_label = fmt::format("time since the first point ({})", unit.first);
}

PlotOptions options_of(const PlotArguments& arguments, const Chosen& chosen) {
  const Look look = Look::of_stdout();
  PlotOptions options;
  options.log = arguments.log;
  options.color = look.color;
  options.x_label = "step";
  options.y_label = fmt::format("{}", fmt::join(chosen.keys, ", "));
  if (chosen.runs.size() == 1) options.title = text_shown(chosen.runs.front().name);
  if (!arguments.svg) {
    options.width = arguments.width.value_or(look.width > 0 ? look.width : 80);
    options.height = arguments.height.value_or(20);
  } else {
    options.width = arguments.width.value_or(760);
    options.height = arguments.height.value_or(440);
  }
  return options;
}

int plot(const Program& program, const PlotArguments& arguments) {
  const auto session = open_to_look(program);
  RunQueries queries(session->sqlite().database());
  const Chosen chosen = choose(*session, queries, arguments.words);
  PlotOptions options = options_of(arguments, chosen);
  const bool by_time = arguments.x == "time";
  std::vector<Series> series = series_of(queries, chosen, by_time);
  if (by_time) scale_times(series, options);
  if (!y_extent(series, arguments.log).any) {
    throw Error(arguments.log ? "nothing to draw: no value is positive and finite"
                              : "nothing to draw: no value is finite",
                ErrorKind::usage);
  }
  if (!arguments.svg) {
    fmt::print("{}", plot_text(series, options));
    return 0;
  }
  const std::string drawing = plot_svg(series, options);
  if (means_stdout(*arguments.svg)) {
    fmt::print("{}", drawing);
    return 0;
  }
  OutputFile file(*arguments.svg, {"`cifarpipe runs plot`", {kSvgBegin}});
  file.stream() << drawing;
  file.commit();
  fmt::print("{}\n", *arguments.svg);
  return 0;
}

}  // namespace

void add_runs_plot(CLI::App& family, Program& program) {
  const auto arguments = std::make_shared<PlotArguments>();
  auto* command = add_runs_subcommand(family, program, "plot", "Metrics of runs as curves.",
                                      [&program, arguments] { return plot(program, *arguments); });
  command
      ->add_option("RUN|KEY", arguments->words,
                   "Runs (without one: the latest) and metrics; a word with '/' is a metric, "
                   "unless a run is called so.")
      ->required();
  command
      ->add_option("--svg", arguments->svg,
                   "Into an SVG file instead of the terminal; '-' is stdout.")
      ->type_name("FILE");
  command->add_flag("--log", arguments->log, "Values on a logarithmic axis.");
  command->add_option("--x", arguments->x, "step, or time since the first point.")
      ->type_name("X")
      ->check([](const std::string& x) {
        return x == "step" || x == "time" ? std::string()
                                          : fmt::format("'{}' is not step or time", x);
      });
  command->add_option("--width", arguments->width, "Columns, or pixels of the SVG.")
      ->type_name("N")
      ->check(whole_number(40, 10'000));
  command->add_option("--height", arguments->height, "Lines, or pixels of the SVG.")
      ->type_name("N")
      ->check(whole_number(8, 10'000));
}

}  // namespace cifarpipe::cli
