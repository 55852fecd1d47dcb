#include "cli/runs_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cli/progress.hpp"
#include "pipeline/random_id.hpp"

namespace cifarpipe::cli {
namespace {

/// Cells of text in columns as wide as their widest; the last column is not padded.
class Table {
 public:
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  void right(std::size_t column) { right_[column] = true; }
  std::string str(std::string_view indent = "") const {
    std::map<std::size_t, std::size_t> width;
    for (const auto& row : rows_) {
      for (std::size_t c = 0; c < row.size(); ++c) width[c] = std::max(width[c], row[c].size());
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line(indent);
      for (std::size_t c = 0; c < row.size(); ++c) {
        if (c > 0) line += "  ";
        const bool last = c + 1 == row.size();
        line += right_.count(c) != 0 ? fmt::format("{:>{}}", row[c], width[c])
                : last               ? row[c]
                                     : fmt::format("{:<{}}", row[c], width[c]);
      }
      while (!line.empty() && line.back() == ' ') line.pop_back();
      out += line + "\n";
    }
    if (!out.empty()) out.pop_back();
    return out;
  }

 private:
  std::vector<std::vector<std::string>> rows_;
  std::map<std::size_t, bool> right_;
};

std::string ago(std::int64_t ms) {
  const std::int64_t s = (now_ms() - ms) / 1000;
  if (s < 60) return "just now";
  if (s < 3600) return fmt::format("{} min ago", s / 60);
  if (s < 86400) return fmt::format("{} h ago", s / 3600);
  return fmt::format("{} d ago", s / 86400);
}

std::string lasted(const RunRecord& run) {
  const std::int64_t end = run.end_ms > 0 ? run.end_ms : now_ms();
  return duration_text(std::max<std::int64_t>(0, end - run.start_ms));
}

/// The metrics that say most in a line: of the last stage that has plain ones, accuracy first.
std::string headline(const RunRow& row) {
  std::vector<const MetricSummary*> chosen;
  for (const MetricSummary& m : row.metrics) {
    if (std::count(m.key.begin(), m.key.end(), '/') != 1) continue;  // One of a family.
    const std::string stage = m.key.substr(0, m.key.find('/'));
    if (!chosen.empty() && chosen.back()->key.substr(0, stage.size() + 1) != stage + "/") {
      chosen.clear();
    }
    chosen.push_back(&m);
  }
  std::stable_sort(chosen.begin(), chosen.end(), [](const auto* a, const auto* b) {
    return a->key.ends_with("/accuracy") && !b->key.ends_with("/accuracy");
  });
  std::string out;
  for (std::size_t i = 0; i < std::min<std::size_t>(2, chosen.size()); ++i) {
    out += fmt::format("{}{} {}", out.empty() ? "" : "  ", chosen[i]->key,
                       figure_text(chosen[i]->last));
  }
  return out;
}

void add_run(Table& table, const RunRow& row, std::string_view indent) {
  table.add({row.run.id.substr(0, 8), std::string(indent) + row.run.name,
             std::string(to_string(row.run.status)) + (row.deleted ? " (deleted)" : ""),
             ago(row.run.start_ms), lasted(row.run), headline(row)});
}

void add_section(std::string& out, std::string_view title, const std::string& text) {
  if (!text.empty()) out += fmt::format("\n\n{}\n{}", title, text);
}

std::string pairs_text(const std::vector<std::pair<std::string, std::string>>& pairs) {
  Table table;
  for (const auto& [key, value] : pairs) table.add({key, value});
  return table.str("  ");
}

std::string memory(std::int64_t bytes) {
  return bytes > 0 ? fmt::format("{:.0f} MB", static_cast<double>(bytes) / 1e6) : "";
}

}  // namespace

std::string runs_table(const std::vector<RunRow>& runs) {
  if (runs.empty()) return "no runs";
  Table table;
  table.add({"ID", "RUN", "STATUS", "STARTED", "TOOK", "RESULT"});
  table.right(4);
  std::map<std::string, std::vector<const RunRow*>> children;
  std::map<std::string, bool> shown;
  for (const RunRow& row : runs) shown[row.run.id] = true;
  for (const RunRow& row : runs) {
    if (shown.count(row.run.parent_id) != 0) children[row.run.parent_id].push_back(&row);
  }
  for (const RunRow& row : runs) {
    if (shown.count(row.run.parent_id) != 0) continue;  // Below its parent.
    add_run(table, row, "");
    auto& list = children[row.run.id];
    for (auto child = list.rbegin(); child != list.rend(); ++child) add_run(table, **child, "  ");
  }
  return table.str();
}

std::string metrics_table(const std::vector<MetricSummary>& metrics) {
  if (metrics.empty()) return "no metrics";
  Table table;
  table.add({"METRIC", "LAST", "STEP", "MIN", "MAX", "POINTS"});
  for (std::size_t c = 1; c < 6; ++c) table.right(c);
  for (const MetricSummary& m : metrics) {
    table.add({m.key, figure_text(m.last), std::to_string(m.step), figure_text(m.minimum),
               figure_text(m.maximum), std::to_string(m.count)});
  }
  return table.str();
}

std::string run_page(const RunRow& row) {
  const RunRecord& run = row.run;
  std::string out =
      fmt::format("{}  {}{}\n", run.name, to_string(run.status), row.deleted ? " (deleted)" : "");
  Table head;
  head.add({"id", run.id});
  head.add({"experiment", run.experiment});
  head.add({"started", fmt::format("{} ({})", log_time(run.start_ms), ago(run.start_ms))});
  head.add({"took", fmt::format("{}{}", lasted(run),
                                run.attempt > 1 ? fmt::format(", {} attempts", run.attempt) : "")});
  head.add({"folder", run.folder});
  head.add({"command", row.command});
  if (!row.note.empty()) head.add({"note", row.note});
  if (!row.message.empty()) head.add({"message", row.message});
  out += head.str("  ");

  Table stages;
  stages.right(4);
  stages.right(5);
  for (const StageRow& s : row.stages) {
    const bool ran = s.usage.wall_ms > 0;
    stages.add({s.stage.name, s.stage.uses, s.stage.status, s.stage.action,
                ran ? duration_text(s.usage.wall_ms) : "", memory(s.usage.peak_rss_bytes),
                s.stage.message.empty() ? s.stage.reason : s.stage.message});
  }
  add_section(out, "stages", stages.str("  "));
  Table params;
  for (const auto& [key, value] : row.params) params.add({key, to_text(value)});
  add_section(out, "parameters", params.str("  "));
  if (!row.metrics.empty()) add_section(out, "metrics", metrics_table(row.metrics));
  add_section(out, "tags", pairs_text(row.tags));
  add_section(out, "made with", pairs_text(row.facts));
  return out;
}

}  // namespace cifarpipe::cli
