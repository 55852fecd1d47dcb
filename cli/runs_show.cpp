// `cifarpipe runs show` and `runs metrics`: one run on one page, one metric's points.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/progress.hpp"
#include "cli/runs.hpp"
#include "pipeline/diagnostics.hpp"
#include "pipeline/provenance.hpp"
#include "pipeline/random_id.hpp"
#include "pipeline/value_json.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
namespace {

using nlohmann::ordered_json;

void print_json(const ordered_json& value, int indent) {
  fmt::print("{}\n", value.dump(indent, ' ', false, ordered_json::error_handler_t::replace));
}

void print_pairs(const Look& look, std::string_view title,
                 const std::vector<std::pair<std::string, std::string>>& pairs) {
  if (pairs.empty()) return;
  print_heading(look, title);
  std::size_t widest = 0;
  for (const auto& [key, value] : pairs) widest = std::max(widest, text_width(text_shown(key)));
  for (const auto& [key, value] : pairs) {
    const std::string shown = text_shown(key);
    const std::string line = fmt::format(
        "  {}{}  {}", shown, std::string(widest - text_width(shown), ' '), text_shown(value));
    fmt::print("{}\n", look.width > 0 ? text_cut(line, look.width) : line);
  }
}

void print_head(RunQueries& queries, const RunRow& row, const Look& look) {
  const RunRecord& run = row.record;
  const std::int64_t now = now_ms();
  fmt::print("{}  {}{}\n", look.paint(kBold, text_shown(run.name)),
             look.paint(status_color(to_string(run.status)), to_string(run.status)),
             row.deleted ? "  deleted (`cifarpipe runs restore` brings it back)" : "");
  const auto line = [](std::string_view name, std::string_view text) {
    if (!text.empty()) fmt::print("  {:<10}  {}\n", name, printable(text));
  };
  line("message", row.message);
  line("note", row.note);
  std::string tags;
  for (const auto& [key, value] : queries.tags(run.id)) {
    tags += fmt::format("{}{}={}", tags.empty() ? "" : "  ", text_shown(key), text_shown(value));
  }
  line("tags", tags);
  line("id", run.id);
  line("experiment", run.experiment);
  if (run.cell) line("cell", text_shown(*run.cell));
  if (!run.parent_id.empty()) line("parent", text_shown(queries.run(run.parent_id).record.name));
  line("started", fmt::format("{} ({})", time_text(run.start_ms), time_ago(run.start_ms, now)));
  line("took", fmt::format("{}{}", took_text(run, now),
                           run.attempt > 1 ? fmt::format(", {} attempts", run.attempt) : ""));
  line("command", row.command);
  line("folder", run.folder);
}

std::string went_on_from(const AttemptRow& a) {
  if (a.from_attempt == 0) return "the beginning";
  return fmt::format("attempt {}{}", a.from_attempt,
                     a.from_step ? fmt::format(", step {}", *a.from_step) : "");
}

/// The attempts of stages that took more than one.
void print_attempts(const std::vector<StageRow>& stages, const Look& look) {
  Table table({{"STAGE"},
               {"ATTEMPT", true},
               {"STATUS"},
               {"STARTED", false, 1},
               {"TIME", true},
               {"WENT ON FROM"},
               {"POINTS", true, 1},
               {"SUPERSEDED", true, 1}});
  for (const StageRow& stage : stages) {
    if (stage.history.size() < 2) continue;
    for (const AttemptRow& a : stage.history) {
      table.add({stage.name, fmt::format("{}", a.number), a.status, time_text(a.start_ms),
                 a.usage ? duration_text(a.usage->wall_ms) : "", went_on_from(a),
                 fmt::format("{}", a.points),
                 a.superseded > 0 ? fmt::format("{}", a.superseded) : ""});
    }
  }
  if (table.empty()) return;
  print_heading(look, "attempts");
  table.print(look, "  ");
}

void print_stages(const std::vector<StageRow>& stages, const Look& look) {
  Table table({{"STAGE"},
               {"USES", false, 1},
               {"ACTION"},
               {"STATUS"},
               {"TIME", true},
               {"CPU", true, 1},
               {"MEMORY", true, 1},
               {"OUTPUTS", true, 1}});
  std::vector<std::string> messages;
  for (const StageRow& stage : stages) {
    std::uint64_t bytes = 0;
    for (const PortFiles& port : stage.outputs) {
      for (const FileDigest& file : port.files) bytes += file.size;
    }
    const bool used = stage.usage.has_value();
    table.add({stage.name, stage.uses, stage.action, stage.status,
               used ? duration_text(stage.usage->wall_ms) : "",
               used ? duration_text(stage.usage->cpu_ms) : "",
               used ? bytes_text(stage.usage->peak_rss_bytes) : "",
               stage.outputs.empty() ? "" : bytes_text(static_cast<std::int64_t>(bytes))});
    if (!stage.message.empty()) messages.push_back(stage.name + ": " + stage.message);
  }
  if (table.empty()) return;
  print_heading(look, "stages");
  table.print(look, "  ");
  for (const std::string& message : messages) fmt::print("  {}\n", printable(message));
}

void print_summaries(const std::vector<MetricSummary>& metrics, const Look& look,
                     std::string_view indent) {
  Table table({{"METRIC"},
               {"LAST", true},
               {"STEP", true},
               {"MIN", true, 1},
               {"MAX", true, 1},
               {"POINTS", true, 1}});
  for (const MetricSummary& m : metrics) {
    table.add({m.key, figure_text(m.last), fmt::format("{}", m.step),
               m.min ? figure_text(*m.min) : "", m.max ? figure_text(*m.max) : "",
               fmt::format("{}", m.points)});
  }
  table.print(look, indent);
}

/// Short: what a page is not opened for, but good to see.
void print_system(const std::vector<MetricSummary>& metrics, const Look& look) {
  if (metrics.empty()) return;
  print_heading(look, "system");
  Table table({{"METRIC"}, {"LAST", true}, {"MAX", true}});
  for (const MetricSummary& m : metrics) {
    table.add({m.key.substr(m.key.find('/') + 1), fmt::format("{:.1f}", m.last),
               m.max ? fmt::format("{:.1f}", *m.max) : ""});
  }
  table.print(look, "  ");
}

}  // namespace

int show_run(RunQueries& queries, const RunRecord& run, bool json) {
  if (json) {
    print_json(queries.show_json(run.id), 1);
    return 0;
  }
  const Look look = Look::of_stdout();
  print_head(queries, queries.run(run.id), look);
  const std::vector<StageRow> stages = queries.stages(run.id);
  print_stages(stages, look);
  print_attempts(stages, look);
  const std::vector<MetricSummary> metrics = queries.metrics(run.id);
  if (!metrics.empty()) {
    print_heading(look, "metrics");
    print_summaries(metrics, look, "  ");
  }
  print_system(queries.system_metrics(run.id), look);
  RunFilter children;
  children.parent = run.id;
  children.deleted = queries.run(run.id).deleted;
  if (const auto rows = queries.runs(children); !rows.empty()) {
    print_heading(look, "runs below it");
    print_run_table(queries, rows, RunTable{}, look, "  ");
  }
  std::vector<std::pair<std::string, std::string>> params;
  for (const RunParam& param : queries.params(run.id)) params.emplace_back(param.key, param.text);
  print_pairs(look, "params", params);
  std::vector<std::pair<std::string, std::string>> facts = queries.facts(run.id);
  for (const StageRow& stage : stages) {
    for (const auto& [key, value] : stage.facts) facts.emplace_back(key + "." + stage.name, value);
  }
  print_pairs(look, "facts", facts);
  return 0;
}

void no_such_metric(RunQueries& queries, const RunRecord& run, const std::string& key) {
  std::vector<std::string> keys;
  for (const MetricSummary& m : queries.metrics(run.id)) keys.push_back(m.key);
  RunFilter below;
  below.parent = run.id;
  if (const auto cells = queries.runs(below); keys.empty() && !cells.empty()) {
    throw Error(fmt::format("{} has no metrics of its own; the runs below it have, such as {}",
                            run.name, shell_line({cells.back().record.name})),
                ErrorKind::usage);
  }
  const std::string near = nearest(key, keys);
  throw Error(
      fmt::format("{} has no metric '{}'{}", run.name, key,
                  near.empty() ? fmt::format("; `cifarpipe runs metrics {}` lists them", run.name)
                               : fmt::format("; did you mean '{}'?", near)),
      ErrorKind::usage);
}

int print_metrics(RunQueries& queries, const RunRecord& run, const std::string& key, bool json) {
  const Look look = Look::of_stdout();
  if (key.empty()) {
    std::vector<MetricSummary> metrics = queries.metrics(run.id);
    for (MetricSummary& m : queries.system_metrics(run.id)) metrics.push_back(std::move(m));
    if (json) {
      ordered_json keys = ordered_json::array();
      for (const MetricSummary& m : metrics) keys.push_back(m.key);
      print_json(keys, -1);
    } else if (metrics.empty()) {
      fmt::print("{} has no metrics\n", run.name);
    } else {
      print_summaries(metrics, look, "");
    }
    return 0;
  }
  const std::vector<MetricPoint> points = queries.points(run.id, key);
  if (points.empty()) no_such_metric(queries, run, key);
  if (json) {
    ordered_json list = ordered_json::array();
    for (const MetricPoint& p : points) {
      list.push_back(ordered_json::array({p.step, p.time_ms, number_json(p.value)}));
    }
    print_json(list, -1);
    return 0;
  }
  Table table({{"STEP", true}, {"TIME", false}, {"VALUE", true}});
  for (const MetricPoint& p : points) {
    table.add({fmt::format("{}", p.step), log_time(p.time_ms), number_text(p.value)});
  }
  table.print(look);
  return 0;
}

}  // namespace cifarpipe::cli
