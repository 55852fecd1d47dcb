#include "tracking/report/summary.hpp"

#include <algorithm>
#include <map>

#include "tracking/quantities.hpp"
#include "tracking/report/csv.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

constexpr std::size_t kMostTiles = 8;

Markup tile(std::string_view label, std::string_view value, std::string_view detail,
            const Markup& more = {}, bool large = false) {
  return html(
      "<div class=\"tile{}\"><div class=\"label\">{}</div><div class=\"value\">{}</div>{}"
      "<div class=\"detail\">{}</div></div>\n",
      large ? " large" : "", label, value, more, detail);
}

/// The accuracy of a stage that told its interval too.
Markup accuracy_tile(const RunData& run, const std::string& stage) {
  const MetricSummary* accuracy = run.metric(stage + "/accuracy");
  const MetricSummary* low = run.metric(stage + "/accuracy_low");
  const MetricSummary* high = run.metric(stage + "/accuracy_high");
  if (accuracy == nullptr || low == nullptr || high == nullptr) return {};
  std::string detail = fmt::format("95 %: {:.2f} to {}", 100 * low->last, percent(high->last));
  if (const auto* rest = run.metric(stage + "/accuracy_without_duplicates"); rest != nullptr) {
    detail += fmt::format(" · {} without duplicates", percent(rest->last));
  }
  return tile(
      stage + " accuracy", percent(accuracy->last), detail,
      interval_bar(accuracy->last, low->last, high->last, std::max(0.0, accuracy->last - 0.25)),
      true);
}

/// What a training stage is known by.
void add_training(const RunData& run, const StageData& stage, std::vector<Markup>& tiles) {
  const std::string& name = stage.row.name;
  if (const auto* best = run.metric(name + "/val_accuracy"); best != nullptr && best->max) {
    tiles.push_back(tile(name + " best validation accuracy", percent(*best->max),
                         counted(best->points, "epoch", "epochs")));
  }
  for (const auto& [key, value] : stage.row.facts) {
    if (key == "parameters") {
      const double count = parsed_number(value).value_or(0);
      tiles.push_back(
          tile(name + " parameters", compact(count), grouped(static_cast<std::int64_t>(count))));
    }
  }
  if (const auto* speed = run.metric(name + "/images_per_second"); speed != nullptr) {
    const std::string detail =
        stage.row.usage ? duration_text(stage.row.usage->wall_ms) + " of training" : "";
    tiles.push_back(tile(name + " images a second", compact(speed->last), detail));
  }
}

void add_last(const RunData& run, const std::string& key, std::vector<Markup>& tiles) {
  const MetricSummary* metric = run.metric(key);
  if (metric == nullptr) return;
  std::string label = key;
  std::replace(label.begin(), label.end(), '/', ' ');
  std::replace(label.begin(), label.end(), '_', ' ');
  if (label.ends_with(" f1")) label.replace(label.size() - 2, 2, "F1");
  const std::string detail = metric->points > 1 && metric->min && metric->max
                                 ? fmt::format("from {} to {}", metric_text(key, *metric->min),
                                               metric_text(key, *metric->max))
                                 : "";
  tiles.push_back(tile(label, metric_text(key, metric->last), detail));
}

Markup time_tile(const RunData& run) {
  std::int64_t processor = 0;
  for (const StageData& stage : run.stages) {
    if (stage.row.usage && stage.row.action == "run") processor += stage.row.usage->cpu_ms;
  }
  return tile("time", duration_text(run.took_ms()),
              processor > 0 ? duration_text(processor) + " of processors" : "");
}

/// "6ae2a62 on main, with changes"
std::string commit_text(const RunData& run) {
  const std::string commit = run.fact("git.commit");
  if (commit.empty()) return "";
  const std::string branch = run.fact("git.branch");
  return commit.substr(0, 7) + (branch.empty() || branch == "HEAD" ? "" : " on " + branch) +
         (run.fact("git.dirty") == "true" ? ", with changes" : "");
}

std::string machine_text(const RunData& run) {
  const std::string cpu = run.fact("cpu");
  const std::string cores = run.fact("cores");
  return cpu + (cores.empty() ? "" : ", " + cores + (cores == "1" ? " core" : " cores"));
}

/// Smaller is more telling. `judged`: the stage is an evaluation; a training's own accuracy counts
/// less than that.
int rank_of(std::string_view key, bool judged) {
  const auto has = [&](std::string_view part) { return key.find(part) != std::string_view::npos; };
  if (key.starts_with("system/") || has("class_accuracy/") || key.ends_with("_low") ||
      key.ends_with("_high")) {
    return 9;
  }
  if (key.ends_with("/accuracy")) return judged ? 0 : 5;
  if (key.ends_with("/val_accuracy")) return 1;
  if (key.ends_with("/loss")) return judged ? 2 : 5;
  if (key.ends_with("/val_loss")) return 2;
  if (key.ends_with("_f1") || key.ends_with("calibration_error")) return 3;
  if (has("_per_second")) return 7;
  return goal_of(key) != 0 ? 4 : 6;
}

}  // namespace

std::vector<std::string> telling_metrics(const std::vector<const RunData*>& runs,
                                         std::size_t count) {
  std::vector<std::string> keys;
  std::map<std::string, std::size_t> found_in;
  for (const RunData* run : runs) {
    for (const MetricSummary& metric : run->metrics) {
      if (found_in[metric.key]++ == 0) keys.push_back(metric.key);
    }
  }
  const auto rank = [&](const std::string& key) {
    return rank_of(key, found_in.count(key.substr(0, key.find('/')) + "/accuracy_low") > 0);
  };
  std::erase_if(keys, [&](const std::string& key) { return rank(key) == 9; });
  std::stable_sort(keys.begin(), keys.end(), [&](const std::string& a, const std::string& b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return found_in[a] > found_in[b];
  });
  if (keys.size() > count) keys.resize(count);
  return keys;
}

Markup run_head(const RunData& run, bool alone) {
  const RunRecord& record = run.row.record;
  const std::string status(to_string(record.status));
  Markup out = html("<p class=\"eyebrow\">{}{}</p>\n", record.experiment,
                    run.parent_name.empty() ? "" : " · below " + run.parent_name);
  out +=
      alone ? html("<h1>{}</h1>\n", record.name) : html("<h1 class=\"run\">{}</h1>\n", record.name);
  Markup line = html("<span class=\"pill {}\">{}</span>", status_class(status), status);
  const auto add = [&](std::string_view text) {
    if (!text.empty()) line += html("<span>{}</span>", text);
  };
  add(time_text(record.start_ms));
  add((record.status == RunStatus::running ? "for " : "took ") + duration_text(run.took_ms()) +
      (record.attempt > 1 ? fmt::format(" with {} attempts", record.attempt) : ""));
  add(commit_text(run));
  add(machine_text(run));
  if (run.row.deleted) add("deleted");
  out += html("<p class=\"facts\">{}</p>\n", line);
  if (record.cell) out += html("<p class=\"dim\">Cell {}</p>\n", *record.cell);
  if (!run.row.note.empty()) out += html("<p class=\"note\">{}</p>\n", run.row.note);
  Markup tags;
  for (const auto& [key, value] : run.tags) tags += html("<span>{}: {}</span>", key, value);
  if (!tags.empty()) out += html("<p class=\"tags\">{}</p>\n", tags);
  return html("<header>\n{}</header>\n", out);
}

Markup trouble(const RunData& run) {
  const RunStatus status = run.row.record.status;
  if (status != RunStatus::failed && status != RunStatus::killed) return {};
  Markup out;
  if (!run.row.message.empty()) out += html("<p>{}</p>\n", run.row.message);
  for (const StageData& stage : run.stages) {
    if (stage.row.message.empty() || run.row.message.find(stage.row.message) != std::string::npos) {
      continue;
    }
    out += html("<p><b>{}</b>: {}</p>\n", stage.row.name, stage.row.message);
  }
  if (!run.last_lines.empty()) {
    std::string lines;
    for (const std::string& line : run.last_lines) lines += line + "\n";
    out += html("<h3>The last lines of its log</h3>\n{}", code_block(lines));
  }
  if (!run.row.command.empty()) {
    out += html("<p>To go on where it stopped:</p>\n{}", code_block(run.row.command));
  }
  return html("<section class=\"trouble\" id=\"trouble\"><h2>{}</h2>\n{}</section>\n",
              status == RunStatus::failed ? "What failed" : "It was killed", out);
}

Markup headline(const RunData& run) {
  std::vector<Markup> tiles;
  for (const StageData& stage : run.stages) {
    if (Markup t = accuracy_tile(run, stage.row.name); !t.empty()) tiles.push_back(std::move(t));
  }
  for (const StageData& stage : run.stages) {
    if (run.metric(stage.row.name + "/accuracy_low") == nullptr) continue;
    for (const char* name : {"/loss", "/macro_f1", "/calibration_error"}) {
      add_last(run, stage.row.name + name, tiles);
    }
  }
  for (const StageData& stage : run.stages) add_training(run, stage, tiles);
  if (tiles.empty()) {
    for (const std::string& key : telling_metrics({&run}, 6)) add_last(run, key, tiles);
  }
  if (tiles.size() >= kMostTiles) tiles.resize(kMostTiles - 1);
  if (!run.stages.empty()) tiles.push_back(time_tile(run));
  Markup out;
  for (const Markup& one : tiles) out += one;
  return out.empty() ? out : html("<div class=\"tiles\">{}</div>\n", out);
}

}  // namespace cifarpipe::report
