// The table of runs: children below their parents, with the metrics that most of the runs have or
// the columns that were asked for.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "cli/progress.hpp"
#include "cli/runs.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/known_keys.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
namespace {

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

std::vector<Line> as_list(const std::vector<RunRow>& rows) {
  std::vector<Line> lines;
  for (const RunRow& row : rows) lines.push_back({&row, 0});
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
  const auto rank = [](const Candidate& c) {  // test/accuracy before test/top5_accuracy.
    return c.key.ends_with("/accuracy")                  ? 0
           : c.key.ends_with("/loss")                    ? 1
           : c.key.find("accuracy") != std::string::npos ? 2
           : c.key.find("loss") != std::string::npos     ? 3
                                                         : 4;
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

std::string status_of(const RunRow& row) {
  return row.deleted ? "deleted" : std::string(to_string(row.record.status));
}

/// An attribute as people read it.
std::string attribute_text(const RunRow& row, const std::string& name, std::int64_t now) {
  if (name == "status") return status_of(row);
  if (name == "id") return row.record.id.substr(0, 8);
  if (name == "start") return time_text(row.record.start_ms);
  if (name == "end") return row.record.end_ms == 0 ? "" : time_text(row.record.end_ms);
  if (name == "duration") return took_text(row.record, now);
  if (name == "age") return time_ago(row.record.start_ms, now);
  return "";
}

std::string value_text(const FieldReader::Value& value) {
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return fmt::format("{}", *whole);
  if (const auto* real = std::get_if<double>(&value)) return figure_text(*real);
  const auto* text = std::get_if<std::string>(&value);
  return text == nullptr ? "" : *text;
}

bool is_number(const RunField& field) {
  if (field.of == RunField::Of::metric || field.of == RunField::Of::param) return true;
  const auto type = field.of == RunField::Of::attribute ? attribute_type(field.key) : std::nullopt;
  return type == AttributeType::number || type == AttributeType::span;
}

using Cell = std::function<std::string(std::size_t line, const RunRow& run)>;

/// The columns of the table beside the runs' names, and what stands in them.
struct Columns {
  std::vector<Table::Column> looks;
  std::vector<Cell> cells;
  void add(std::string head, bool right, int goes, Cell cell) {
    looks.push_back({std::move(head), right, goes});
    cells.push_back(std::move(cell));
  }
};

Columns chosen_columns(RunQueries& queries, const std::vector<RunField>& fields, std::int64_t now) {
  Columns out;
  for (const RunField& field : fields) {
    const auto reader = std::make_shared<FieldReader>(queries.database(), field, now);
    // Prefixes only where they are needed to tell what is meant.
    const bool plain = field.of == RunField::Of::metric || field.of == RunField::Of::param;
    std::string head = to_text(field);
    if (plain) head.erase(0, head.find('.') + 1);
    out.add(std::move(head), is_number(field), 1, [=](std::size_t, const RunRow& row) {
      const std::string text =
          field.of == RunField::Of::attribute ? attribute_text(row, field.key, now) : "";
      return text.empty() ? value_text(reader->of(row.record.id)) : text;
    });
  }
  return out;
}

Columns usual_columns(RunQueries& queries, const std::vector<Line>& lines, std::int64_t now) {
  const auto metrics = std::make_shared<std::vector<std::vector<MetricSummary>>>();
  std::set<std::string> experiments;
  for (const Line& line : lines) {
    metrics->push_back(queries.metrics(line.row->record.id));
    experiments.insert(line.row->record.experiment);
  }
  Columns out;
  if (experiments.size() > 1) {
    out.add("EXPERIMENT", false, 1,
            [](std::size_t, const RunRow& row) { return row.record.experiment; });
  }
  out.add("STATUS", false, 0, [](std::size_t, const RunRow& row) { return status_of(row); });
  out.add("STARTED", true, 0,
          [now](std::size_t, const RunRow& row) { return time_ago(row.record.start_ms, now); });
  out.add("TOOK", true, 0,
          [now](std::size_t, const RunRow& row) { return took_text(row.record, now); });
  for (const std::string& key : columns_of(*metrics)) {
    out.add(key, true, 1, [metrics, key](std::size_t i, const RunRow&) {
      const auto& all = (*metrics)[i];
      const auto found = std::find_if(all.begin(), all.end(),
                                      [&](const MetricSummary& m) { return m.key == key; });
      return found == all.end() ? std::string() : figure_text(found->last);
    });
  }
  return out;
}

}  // namespace

void print_run_table(RunQueries& queries, const std::vector<RunRow>& rows, const RunTable& options,
                     const Look& look, std::string_view indent) {
  std::vector<Line> lines = options.tree ? as_tree(rows) : as_list(rows);
  const std::size_t all = lines.size();
  lines.resize(std::min(all, options.limit));
  const std::int64_t now = now_ms();
  Columns columns = options.fields.empty() ? usual_columns(queries, lines, now)
                                           : chosen_columns(queries, options.fields, now);
  columns.looks.insert(columns.looks.begin(), Table::Column{"RUN"});
  Table table(columns.looks);
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::vector<std::string> cells = {shown_name(lines, i)};
    for (const Cell& cell : columns.cells) cells.push_back(cell(i, *lines[i].row));
    table.add(std::move(cells));
  }
  table.print(look, indent);
  if (all > lines.size()) {
    fmt::print("{}… {} more (--limit {} shows all)\n", indent, all - lines.size(), all);
  }
}

}  // namespace cifarpipe::cli
