#include "tracking/report/sections.hpp"

#include <algorithm>
#include <cmath>

#include "pipeline/provenance.hpp"
#include "tracking/quantities.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

std::uint64_t bytes_of(const StageData& stage) {
  std::uint64_t bytes = 0;
  for (const PortFiles& port : stage.row.outputs) {
    for (const FileDigest& file : port.files) bytes += file.size;
  }
  return bytes;
}

Markup stage_row(const StageData& stage, std::int64_t longest) {
  const StageRow& row = stage.row;
  const auto& used = row.usage;
  // What was there already took its time in another run.
  const bool here = row.action == "run" || row.action == "reproduced";
  Markup bar;
  if (used) {
    const double share =
        longest > 0 ? static_cast<double>(used->wall_ms) / static_cast<double>(longest) : 0;
    bar = html(R"(<span class="bar"><i{} style="width:{:.2f}%"></i></span>)",
               here ? Markup{} : Markup{" class=\"before\""}, std::max(0.4, 100 * share));
  }
  const auto cell = [&](std::int64_t value, const std::string& text) {
    return used ? number_cell(static_cast<double>(value), text) : Markup{"<td></td>"};
  };
  const auto bytes = static_cast<std::int64_t>(bytes_of(stage));
  return html(
      "<tr><th scope=\"row\">{}</th><td>{}</td><td><span class=\"pill {}\">{}</span></td>"
      "<td class=\"wide\">{}</td>{}{}{}{}</tr>\n",
      row.name, row.action, status_class(row.status), row.status, bar,
      cell(used ? used->wall_ms : 0, used ? duration_text(used->wall_ms) : ""),
      cell(used ? used->cpu_ms : 0, used ? duration_text(used->cpu_ms) : ""),
      cell(used ? used->peak_rss_bytes : 0, used ? bytes_text(used->peak_rss_bytes) : ""),
      stage.row.outputs.empty() ? Markup{"<td></td>"}
                                : number_cell(static_cast<double>(bytes), bytes_text(bytes)));
}

Markup attempts_table(const RunData& run) {
  Markup rows;
  bool telling = run.row.record.attempt > 1;
  for (const StageData& stage : run.stages) {
    for (const AttemptRow& a : stage.row.history) {
      telling = telling || a.number > 1 || a.status == "failed" || a.status == "killed";
      rows += html(
          "<tr><th scope=\"row\">{}</th><td class=\"num\">{}</td><td>{}</td><td>{}</td>"
          "<td class=\"num\">{}</td><td>{}</td></tr>\n",
          stage.row.name, a.number, a.status.empty() ? "unknown" : a.status, time_text(a.start_ms),
          a.end_ms > 0 ? duration_text(a.end_ms - a.start_ms) : "",
          a.from_attempt > 0 ? fmt::format("from the checkpoint of attempt {}", a.from_attempt)
                             : "from the beginning");
    }
  }
  if (!telling || rows.empty()) return {};
  return html("<h3>Attempts</h3>\n{}",
              scrolling(html("<table><thead><tr><th>stage</th><th class=\"num\">attempt</th>"
                             "<th>ended</th><th>began</th><th class=\"num\">took</th>"
                             "<th>went on</th></tr></thead><tbody>{}</tbody></table>",
                             rows)));
}

/// "plugin.train" → "plugin"; "cpu" → "".
std::string group_of(std::string_view fact) {
  const std::size_t dot = fact.find('.');
  return std::string(dot == std::string_view::npos ? "" : fact.substr(0, dot));
}

}  // namespace

Markup stages_section(const RunData& run) {
  std::int64_t longest = 0;
  for (const StageData& stage : run.stages) {
    if (stage.row.usage) longest = std::max(longest, stage.row.usage->wall_ms);
  }
  Markup rows;
  for (const StageData& stage : run.stages) rows += stage_row(stage, longest);
  if (rows.empty()) return {};
  Markup body = scrolling(
      html("<table class=\"stages\"><thead><tr><th>stage</th><th>action</th><th>status</th>"
           "<th></th><th class=\"num\">time</th><th class=\"num\">processor</th>"
           "<th class=\"num\">memory</th><th class=\"num\">outputs</th></tr></thead>"
           "<tbody>{}</tbody></table>",
           rows));
  return body += attempts_table(run);
}

Markup metrics_section(const RunData& run) {
  Markup rows;
  for (const MetricSummary& m : run.metrics) {
    const auto extreme = [&](const std::optional<double>& value) {
      return value ? number_cell(*value, metric_text(m.key, *value)) : Markup{"<td></td>"};
    };
    rows += html(
        "<tr><th scope=\"row\">{}</th>{}<td class=\"num\">{}</td>{}{}"
        "<td class=\"num\">{}</td></tr>\n",
        m.key, number_cell(m.last, metric_text(m.key, m.last)), m.step, extreme(m.min),
        extreme(m.max), grouped(m.points));
  }
  if (rows.empty()) return {};
  return details(
      counted(static_cast<std::int64_t>(run.metrics.size()), "metric", "metrics"),
      scrolling(html("<table class=\"sortable\"><thead><tr><th>metric</th><th class=\"num\">last"
                     "</th><th class=\"num\">step</th><th class=\"num\">least</th>"
                     "<th class=\"num\">greatest</th><th class=\"num\">points</th></tr></thead>"
                     "<tbody>{}</tbody></table>",
                     rows)));
}

Markup files_section(const RunData& run) {
  constexpr std::size_t kMostFiles = 40;  // Of a port: a folder of images has thousands.
  Markup rows;
  std::size_t count = 0;
  for (const StageData& stage : run.stages) {
    for (const PortFiles& port : stage.row.outputs) {
      std::size_t shown = 0;
      for (const FileDigest& file : port.files) {
        ++count;
        if (++shown > kMostFiles) continue;
        rows +=
            html("<tr><td>{}.{}</td><td>{}</td>{}<td class=\"mono\">{}</td></tr>\n", stage.row.name,
                 port.port, file.path,
                 number_cell(static_cast<double>(file.size), bytes_text(file.size)), file.sha256);
      }
      if (shown > kMostFiles) {
        rows += html("<tr><td>{}.{}</td><td>and {} more</td><td></td><td></td></tr>\n",
                     stage.row.name, port.port, shown - kMostFiles);
      }
    }
  }
  if (rows.empty()) return {};
  return details(counted(static_cast<std::int64_t>(count), "file", "files"),
                 scrolling(html("<table><thead><tr><th>output</th><th>file</th>"
                                "<th class=\"num\">size</th><th>SHA-256</th></tr></thead>"
                                "<tbody>{}</tbody></table>",
                                rows)));
}

Markup configuration_section(const RunData& run) {
  Markup out;
  if (run.row.record.cell) {
    out += html("<p>This is the cell <b>{}</b> of a sweep.</p>\n", *run.row.record.cell);
  }
  if (!run.row.record.forced.empty()) {
    out += html("<p>Done again although there were results: {}.</p>\n", run.row.record.forced);
  }
  out += details("The file, as it was written", toml_block(run.as_written));
  out += details("Every value, resolved", toml_block(run.resolved));
  if (run.resolved.empty()) {
    std::vector<std::pair<std::string, std::string>> params;
    for (const RunParam& p : run.params) params.emplace_back(p.key, p.text);
    out += details("Every value", pairs_table(params));
  }
  return out;
}

Markup environment_section(const RunData& run) {
  std::vector<std::pair<std::string, std::string>> machine;
  std::vector<std::pair<std::string, std::string>> stages;
  for (const auto& [key, value] : run.facts) {
    const std::string group = group_of(key);
    const bool of_stage = group == "plugin" || group == "seed" || group == "numerics";
    if (key == "memory_bytes") {
      machine.emplace_back("memory", bytes_text(std::strtoll(value.c_str(), nullptr, 10)));
    } else {
      (of_stage ? stages : machine).emplace_back(key, value);
    }
  }
  for (const StageData& stage : run.stages) {
    for (const auto& [key, value] : stage.row.facts) {
      stages.emplace_back(key + "." + stage.row.name, value);
    }
  }
  Markup out = pairs_table(machine);
  out += details("Of each stage: plugin, seed, numerics and what it recorded", pairs_table(stages));
  out += details("Changes that were not committed", diff_block(run.diff));
  return out;
}

Markup reproduce_section(const RunData& run) {
  const RunRecord& record = run.row.record;
  const bool sweep = run.stages.empty() && !run.children.empty();
  const std::string& name = sweep ? run.children.front().record.name : record.name;
  const auto command = [&](const std::vector<std::string>& words) {
    std::vector<std::string> line = run.program;
    line.insert(line.end(), words.begin(), words.end());
    return shell_line(line);
  };
  Markup out = html(
      "<p>Lays the recorded state {}out again, runs it, and compares every digest and every "
      "metric:</p>\n{}",
      sweep ? "of a cell " : "", code_block(command({"reproduce", name})));
  const std::string commit = run.fact("git.commit");
  if (run.row.command.empty()) return out;
  std::string by_hand;
  if (!commit.empty()) by_hand += fmt::format("git checkout {}\n", commit);
  if (!commit.empty() && !run.diff.empty()) {
    by_hand +=
        fmt::format("git apply \"$({})\"/changes.diff\n", command({"runs", "path", record.name}));
  }
  out += html("<p>Or by hand, as it was called:</p>\n{}", code_block(by_hand + run.row.command));
  out += html("<p class=\"dim\">Run {}, folder {}</p>\n", record.id,
              std::filesystem::path(record.folder).filename().string());
  return out;
}

}  // namespace cifarpipe::report
