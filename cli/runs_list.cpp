// `cifarpipe runs list`: newest first, children below their parents, with the metrics that most of
// them have.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/progress.hpp"
#include "cli/runs.hpp"
#include "pipeline/random_id.hpp"

namespace cifarpipe::cli {
namespace {

constexpr std::size_t kUsualLines = 30;
constexpr std::size_t kMetricColumns = 3;

struct Line {
  const RunRow* row;
  std::size_t depth;
};

/// Parents before their children, in the order of a sweep's cells; else newest first.
std::vector<Line> as_tree(const std::vector<RunRow>& rows) {
  std::map<std::string, std::vector<const RunRow*>> children;
  std::set<std::string> here;
  for (const RunRow& row : rows) here.insert(row.record.id);
  for (const RunRow& row : rows) {
    if (here.count(row.record.parent_id) > 0) children[row.record.parent_id].push_back(&row);
  }
  std::vector<Line> lines;
  const auto add = [&](const auto& self, const RunRow& row, std::size_t depth) -> void {
    lines.push_back({&row, depth});
    auto& below = children[row.record.id];
    for (auto child = below.rbegin(); child != below.rend(); ++child)
      self(self, **child, depth + 1);
  };
  for (const RunRow& row : rows) {
    if (here.count(row.record.parent_id) == 0) add(add, row, 0);
  }
  return lines;
}

/// "kill-8f/slow.steps=60" below "kill-8f" is "slow.steps=60".
std::string shown_name(const std::vector<Line>& lines, std::size_t i) {
  const std::string& name = lines[i].row->record.name;
  for (std::size_t p = i; p-- > 0 && lines[i].depth > 0;) {
    const RunRecord& parent = lines[p].row->record;
    if (parent.id != lines[i].row->record.parent_id) continue;
    const bool below = name.starts_with(parent.name + "/");
    return std::string(2 * lines[i].depth, ' ') +
           (below ? name.substr(parent.name.size() + 1) : name);
  }
  return name;
}

/// A metric of a family such as one a class, as "evaluate/class/cat", has many like it.
std::string family_of(const std::string& key) {
  const std::size_t last = key.rfind('/');
  return key.find('/') == last ? "" : key.substr(0, last);
}

/// The metrics to show: those that most runs have; of these first accuracies, then losses.
std::vector<std::string> columns_of(const std::vector<std::vector<MetricSummary>>& metrics) {
  struct Candidate {
    std::string key;
    std::size_t runs = 0;
    std::size_t place = 0;
  };
  std::map<std::string, Candidate> candidates;
  std::map<std::string, std::set<std::string>> families;
  for (const auto& of_run : metrics) {
    for (std::size_t i = 0; i < of_run.size(); ++i) {
      Candidate& c = candidates[of_run[i].key];
      c = {of_run[i].key, c.runs + 1, std::max(c.place, i)};
      if (const std::string family = family_of(c.key); !family.empty()) {
        families[family].insert(c.key);
      }
    }
  }
  std::vector<Candidate> sorted;
  for (const auto& [key, candidate] : candidates) {
    const std::string family = family_of(key);
    if (!family.empty() && families[family].size() > 4) continue;
    if (!key.ends_with("_per_second") && !key.ends_with("/lr")) sorted.push_back(candidate);
  }
  const auto rank = [](const Candidate& c) {
    return c.key.find("accuracy") != std::string::npos ? 0
           : c.key.find("loss") != std::string::npos   ? 1
                                                       : 2;
  };
  std::sort(sorted.begin(), sorted.end(), [&](const Candidate& a, const Candidate& b) {
    if (a.runs != b.runs) return a.runs > b.runs;
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return a.place > b.place;
  });
  std::vector<std::string> keys;
  for (const Candidate& c : sorted) {
    if (keys.size() < kMetricColumns) keys.push_back(c.key);
  }
  return keys;
}

}  // namespace

void print_run_table(RunQueries& queries, const std::vector<RunRow>& rows, std::size_t limit,
                     const Look& look, std::string_view indent) {
  const std::vector<Line> lines = as_tree(rows);
  const std::size_t count = std::min(lines.size(), limit);
  std::vector<std::vector<MetricSummary>> metrics;
  std::set<std::string> experiments;
  for (std::size_t i = 0; i < count; ++i) {
    metrics.push_back(queries.metrics(lines[i].row->record.id));
    experiments.insert(lines[i].row->record.experiment);
  }
  const std::vector<std::string> keys = columns_of(metrics);
  const bool with_experiment = experiments.size() > 1;
  std::vector<Table::Column> columns = {{"RUN"}, {"STATUS"}, {"STARTED", true}, {"TOOK", true}};
  if (with_experiment) columns.insert(columns.begin() + 1, {"EXPERIMENT", false, true});
  for (const std::string& key : keys) columns.push_back({key, true, true});
  Table table(columns);
  const std::int64_t now = now_ms();
  for (std::size_t i = 0; i < count; ++i) {
    const RunRow& row = *lines[i].row;
    std::vector<std::string> cells = {
        shown_name(lines, i), row.deleted ? "deleted" : std::string(to_string(row.record.status)),
        time_ago(row.record.start_ms, now), took_text(row.record, now)};
    if (with_experiment) cells.insert(cells.begin() + 1, row.record.experiment);
    for (const std::string& key : keys) {
      const auto found = std::find_if(metrics[i].begin(), metrics[i].end(),
                                      [&](const MetricSummary& m) { return m.key == key; });
      cells.push_back(found == metrics[i].end() ? "" : figure_text(found->last));
    }
    table.add(std::move(cells));
  }
  table.print(look, indent);
  if (lines.size() > count) {
    fmt::print("{}… {} more (--limit {} shows all)\n", indent, lines.size() - count, lines.size());
  }
}

int list_runs(RunQueries& queries, const ListOptions& options) {
  if (options.json) {
    const auto list = queries.list_json(options.filter, options.limit.value_or(SIZE_MAX));
    fmt::print("{}\n", list.dump(1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
    return 0;
  }
  const std::vector<RunRow> rows = queries.runs(options.filter);
  if (rows.empty()) {
    fmt::print("no such runs\n");
    return 0;
  }
  print_run_table(queries, rows, options.limit.value_or(kUsualLines), Look::of_stdout(), "");
  return 0;
}

}  // namespace cifarpipe::cli
