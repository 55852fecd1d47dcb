#include "tracking/report/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "tracking/quantities.hpp"
#include "tracking/report/csv.hpp"
#include "tracking/report/summary.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// What is not the same in all: a key that only some have differs too.
std::vector<Difference> differences(const std::vector<Pairs>& runs) {
  std::vector<Difference> out;
  std::map<std::string, std::size_t> place;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    for (const auto& [key, value] : runs[r]) {
      const auto known = place.emplace(key, out.size());
      if (known.second) out.push_back({key, std::vector<std::string>(runs.size())});
      out[known.first->second].values[r] = value;
    }
  }
  std::erase_if(out, [](const Difference& d) {
    return std::all_of(d.values.begin(), d.values.end(),
                       [&](const std::string& v) { return v == d.values.front(); });
  });
  return out;
}

std::string last_part(const std::string& key) {
  return key.substr(key.rfind('.') + 1);
}

/// "train.lr" → "lr", unless another of them ends so.
std::string short_name(const std::string& key, const std::vector<Difference>& all) {
  const auto same = std::count_if(all.begin(), all.end(), [&](const Difference& d) {
    return last_part(d.key) == last_part(key);
  });
  return same == 1 ? last_part(key) : key;
}

Markup head_row(std::string_view corner, const std::vector<std::string>& labels) {
  Markup out = html("<th>{}</th>", corner);
  for (std::size_t r = 0; r < labels.size(); ++r) {
    out += html(
        "<th class=\"num\"><a href=\"#run-{}\"><i class=\"key\" style=\"background:"
        "var(--s{})\"></i>{}</a></th>",
        r + 1, r % 8, labels[r]);
  }
  return html("<thead><tr>{}</tr></thead>", out);
}

Markup differences_table(std::string_view corner, const std::vector<Difference>& differing,
                         const std::vector<std::string>& labels) {
  if (differing.empty()) return {};
  Markup rows;
  for (const Difference& d : differing) {
    Markup cells;
    for (const std::string& value : d.values) {
      cells += html("<td class=\"num\">{}</td>", value.empty() ? "–" : value);
    }
    rows += html("<tr><th scope=\"row\">{}</th>{}</tr>\n", d.key, cells);
  }
  return scrolling(html("<table>{}<tbody>{}</tbody></table>", head_row(corner, labels), rows));
}

std::vector<std::optional<double>> last_values(const std::vector<RunData>& runs,
                                               const std::string& key) {
  std::vector<std::optional<double>> out;
  for (const RunData& run : runs) {
    const MetricSummary* metric = run.metric(key);
    out.push_back(metric == nullptr ? std::nullopt : std::optional(metric->last));
  }
  return out;
}

Markup value_cells(const std::string& key, const std::vector<std::optional<double>>& values) {
  const std::vector<bool> best = best_of(values, goal_of(key));
  Markup out;
  for (std::size_t r = 0; r < values.size(); ++r) {
    out += values[r] ? number_cell(*values[r], metric_text(key, *values[r]), best[r])
                     : Markup{"<td class=\"num\">–</td>"};
  }
  return out;
}

/// Every metric of any of them, in the order in which they were met.
std::vector<std::string> all_metrics(const std::vector<RunData>& runs) {
  std::vector<std::string> keys;
  std::set<std::string> seen;
  for (const RunData& run : runs) {
    for (const MetricSummary& metric : run.metrics) {
      if (seen.insert(metric.key).second) keys.push_back(metric.key);
    }
  }
  return keys;
}

Markup metrics_table(const std::vector<RunData>& runs, const std::vector<std::string>& labels,
                     const std::vector<std::string>& keys) {
  Markup rows;
  for (const std::string& key : keys) {
    rows += html("<tr><th scope=\"row\">{}</th>{}</tr>\n", key,
                 value_cells(key, last_values(runs, key)));
  }
  return rows.empty() ? rows
                      : scrolling(html("<table>{}<tbody>{}</tbody></table>",
                                       head_row("metric", labels), rows));
}

Pairs params_of(const RunData& run) {
  Pairs out;
  for (const RunParam& p : run.params) out.emplace_back(p.key, p.text);
  return out;
}

}  // namespace

std::vector<Difference> different_params(const std::vector<RunData>& runs) {
  std::vector<Pairs> params;
  for (const RunData& run : runs) params.push_back(params_of(run));
  return differences(params);
}

std::vector<Difference> different_facts(const std::vector<RunData>& runs) {
  std::vector<Pairs> facts;
  for (const RunData& run : runs) facts.push_back(run.facts);
  return differences(facts);
}

std::vector<bool> best_of(const std::vector<std::optional<double>>& values, int goal) {
  std::vector<bool> out(values.size(), false);
  std::optional<double> best;
  bool differ = false;
  for (const auto& value : values) {
    if (!value || std::isnan(*value)) continue;
    differ = differ || (best && *value != *best);
    if (!best || (*value - *best) * goal > 0) best = value;
  }
  if (goal == 0 || !differ) return out;
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = values[i] && *values[i] == *best;
  return out;
}

std::vector<std::string> labels_of(const std::vector<RunData>& runs) {
  constexpr std::size_t kMostParts = 4;
  std::vector<std::string> labels(runs.size());
  const std::vector<Difference> varying = different_params(runs);
  const bool cells = std::all_of(
      runs.begin(), runs.end(), [](const RunData& run) { return run.row.record.cell.has_value(); });
  if (cells && !varying.empty() && varying.size() <= kMostParts) {
    for (const Difference& d : varying) {
      const std::string name = short_name(d.key, varying);
      for (std::size_t r = 0; r < runs.size(); ++r) {
        labels[r] += fmt::format("{}{}={}", labels[r].empty() ? "" : " ", name, d.values[r]);
      }
    }
  }
  // Repeats of one cell, or runs of any kind.
  if (std::set<std::string>(labels.begin(), labels.end()).size() == runs.size()) return labels;
  for (std::size_t r = 0; r < runs.size(); ++r) labels[r] = runs[r].row.record.name;
  return labels;
}

Markup comparison_tables(const std::vector<RunData>& runs) {
  const std::vector<std::string> labels = labels_of(runs);
  std::vector<std::string> main;
  std::vector<std::string> rest;
  std::vector<const RunData*> pointers;
  for (const RunData& run : runs) pointers.push_back(&run);
  const std::vector<std::string> telling = telling_metrics(pointers, 14);
  for (const std::string& key : all_metrics(runs)) {
    const bool is_telling = std::find(telling.begin(), telling.end(), key) != telling.end();
    (is_telling ? main : rest).push_back(key);
  }
  Markup out;
  if (const Markup table = metrics_table(runs, labels, main); !table.empty()) {
    out += html("<h3>What they came to</h3>\n{}", table);
  }
  out += details(
      fmt::format("{} more", counted(static_cast<std::int64_t>(rest.size()), "metric", "metrics")),
      metrics_table(runs, labels, rest));
  const Markup params = differences_table("parameter", different_params(runs), labels);
  out += html("<h3>Parameters that differ</h3>\n{}",
              params.empty() ? Markup{"<p class=\"dim\">None.</p>\n"} : params);
  const Markup facts = differences_table("circumstance", different_facts(runs), labels);
  out += html("<h3>Circumstances that differ</h3>\n{}",
              facts.empty() ? Markup{"<p class=\"dim\">None.</p>\n"} : facts);
  return out;
}

Markup cells_table(const std::vector<RunData>& cells, const std::vector<std::string>& labels) {
  if (cells.empty()) return {};
  const std::vector<Difference> swept = different_params(cells);
  std::vector<const RunData*> pointers;
  for (const RunData& run : cells) pointers.push_back(&run);
  const std::vector<std::string> metrics = telling_metrics(pointers, 8);
  Markup head = html("<th>run</th>");
  for (const Difference& d : swept) head += html("<th class=\"num\">{}</th>", d.key);
  for (const std::string& key : metrics) head += html("<th class=\"num\">{}</th>", key);
  head += html("<th>status</th><th class=\"num\">took</th>");
  std::vector<std::vector<std::optional<double>>> values;
  std::vector<std::vector<bool>> best;
  for (const std::string& key : metrics) {
    values.push_back(last_values(cells, key));
    best.push_back(best_of(values.back(), goal_of(key)));
  }
  Markup rows;
  for (std::size_t r = 0; r < cells.size(); ++r) {
    Markup row = html(
        "<th scope=\"row\"><i class=\"key\" style=\"background:var(--s{})\"></i>{}"
        "</th>",
        r % 8, labels[r]);
    for (const Difference& d : swept) {
      const auto number = parsed_number(d.values[r]);
      row += number ? number_cell(*number, d.values[r])
                    : html("<td class=\"num\">{}</td>", d.values[r]);
    }
    for (std::size_t m = 0; m < metrics.size(); ++m) {
      const auto& value = values[m][r];
      row += value ? number_cell(*value, metric_text(metrics[m], *value), best[m][r])
                   : Markup{"<td class=\"num\">–</td>"};
    }
    const std::string status(to_string(cells[r].row.record.status));
    row += html(
        "<td><span class=\"pill {}\">{}</span></td>{}", status_class(status), status,
        number_cell(static_cast<double>(cells[r].took_ms()), duration_text(cells[r].took_ms())));
    rows += html("<tr>{}</tr>\n", row);
  }
  return scrolling(
      html("<table class=\"sortable\"><thead><tr>{}</tr></thead><tbody>{}</tbody>"
           "</table>",
           head, rows));
}

}  // namespace cifarpipe::report
