#include "tracking/run_export.hpp"

#include <fmt/format.h>

#include <map>
#include <nlohmann/json.hpp>
#include <ostream>

#include "pipeline/value_json.hpp"
#include "tracking/csv.hpp"
#include "tracking/rows.hpp"

namespace cifarpipe {
namespace {

using nlohmann::ordered_json;

std::string dumped(const ordered_json& value) {
  return value.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

struct ExportedPoint {
  std::string key;
  std::int64_t step = 0;
  std::int64_t time_ms = 0;
  double value = 0;
  std::int64_t attempt = 0;
  bool superseded = false;
};

/// Every point of a run, those of one key together, in the order in which they were made.
void each_point(RunQueries& queries, const std::string& id,
                const std::function<void(const ExportedPoint&)>& use) {
  Statement rows(queries.database(),
                 "SELECT run_stage.name || '/' || metric.name, step, time_ms, value, kind, "
                 "attempt, superseded FROM run_stage "
                 "JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation "
                 "JOIN point ON point.job_id = job.id JOIN metric ON metric.id = metric_id "
                 "WHERE run_id = ? ORDER BY run_stage.position, metric.id, attempt, sequence");
  Statement samples(
      queries.database(),
      "SELECT name, step, time_ms, value, kind FROM run_point "
      "JOIN metric ON metric.id = metric_id WHERE run_id = ? ORDER BY metric_id, step");
  rows.with(id);
  while (rows.step()) {
    use({rows.text(0), rows.integer(1), rows.integer(2), stored_value(rows, 3, 4), rows.integer(5),
         rows.integer(6) != 0});
  }
  // Of the run as a whole: a resumed one goes on counting, so that they are of no attempt.
  samples.with(id);
  while (samples.step()) {
    use({samples.text(0), samples.integer(1), samples.integer(2), stored_value(samples, 3, 4), 0,
         false});
  }
}

void run_json(RunQueries& queries, const std::string& id, std::ostream& out) {
  const std::string run = dumped(queries.show_json(id));
  out << std::string_view(run).substr(0, run.size() - 1) << ",\"points\":{";
  std::string key;
  each_point(queries, id, [&](const ExportedPoint& p) {
    if (p.key != key) {
      out << (key.empty() ? "\n" : "],\n") << dumped(p.key) << ":[";
      key = p.key;
    } else {
      out << ',';
    }
    out << fmt::format("[{},{},{},{},{}]", p.step, p.time_ms, dumped(number_json(p.value)),
                       p.attempt, p.superseded ? 1 : 0);
  });
  out << (key.empty() ? "}}" : "]}}");
}

std::string whole(std::int64_t value) {
  return std::to_string(value);
}
std::string or_empty(const std::optional<double>& value) {
  return value ? number_text(*value) : "";
}
std::string time_or_empty(std::int64_t ms) {
  return ms == 0 ? "" : whole(ms);
}

/// The columns of a table.
const std::vector<std::string>& columns_of(const std::string& table) {
  static const std::map<std::string, std::vector<std::string>> columns = {
      {"runs",
       {"id", "name", "experiment", "parent", "cell", "status", "attempt", "start_ms", "end_ms",
        "message", "note", "command", "folder"}},
      {"params", {"run", "key", "type", "value"}},
      {"tags", {"run", "key", "value"}},
      {"facts", {"run", "key", "value"}},
      {"stages",
       {"run", "stage", "uses", "action", "status", "key", "generation", "wall_ms", "cpu_ms",
        "peak_rss_bytes", "reason", "message"}},
      {"attempts",
       {"run", "stage", "attempt", "status", "start_ms", "end_ms", "from_attempt", "from_step",
        "points", "superseded"}},
      {"outputs", {"run", "stage", "port", "path", "size", "sha256"}},
      {"metrics", {"run", "key", "points", "last", "step", "min", "max"}},
      {"points", {"run", "key", "step", "time_ms", "value", "attempt", "superseded"}}};
  return columns.at(table);
}

/// Writes the rows of one table for all runs.
class CsvTable {
 public:
  CsvTable(RunQueries& queries, std::ostream& out, const std::string& name)
      : queries_(queries), out_(out), name_(name) {
    out_ << csv_line(columns_of(name));
  }

  void add(const std::string& id) {
    if (name_ == "runs") return add_run(queries_.run(id));
    if (name_ == "params") {
      for (const RunParam& p : queries_.params(id)) line({id, p.key, p.type, p.text});
    } else if (name_ == "tags" || name_ == "facts") {
      for (const auto& pair : name_ == "tags" ? queries_.tags(id) : queries_.facts(id)) {
        line({id, pair.first, pair.second});
      }
    } else if (name_ == "metrics") {
      for (const MetricSummary& m : queries_.metrics(id)) {
        line({id, m.key, whole(m.points), number_text(m.last), whole(m.step), or_empty(m.min),
              or_empty(m.max)});
      }
    } else if (name_ == "points") {
      each_point(queries_, id, [&](const ExportedPoint& p) {
        line({id, p.key, whole(p.step), whole(p.time_ms), number_text(p.value), whole(p.attempt),
              p.superseded ? "1" : "0"});
      });
    } else {
      for (const StageRow& stage : queries_.stages(id)) add_stage(id, stage);
    }
  }

 private:
  void line(const std::vector<std::string>& fields) { out_ << csv_line(fields); }

  void add_run(const RunRow& row) {
    const RunRecord& r = row.record;
    line({r.id, r.name, r.experiment, r.parent_id, r.cell.value_or(""),
          std::string(to_string(r.status)), whole(r.attempt), whole(r.start_ms),
          time_or_empty(r.end_ms), row.message, row.note, row.command, r.folder});
  }

  void add_stage(const std::string& id, const StageRow& stage) {
    if (name_ == "stages") {
      const bool used = stage.usage.has_value();
      line({id, stage.name, stage.uses, stage.action, stage.status, stage.job ? stage.job->key : "",
            stage.job ? whole(stage.job->generation) : "", used ? whole(stage.usage->wall_ms) : "",
            used ? whole(stage.usage->cpu_ms) : "", used ? whole(stage.usage->peak_rss_bytes) : "",
            stage.reason, stage.message});
    } else if (name_ == "attempts") {
      for (const AttemptRow& a : stage.history) {
        line({id, stage.name, whole(a.number), a.status, whole(a.start_ms), time_or_empty(a.end_ms),
              a.from_attempt > 0 ? whole(a.from_attempt) : "",
              a.from_step ? whole(*a.from_step) : "", whole(a.points), whole(a.superseded)});
      }
    } else {
      for (const PortFiles& port : stage.outputs) {
        for (const FileDigest& file : port.files) {
          line({id, stage.name, port.port, file.path, std::to_string(file.size), file.sha256});
        }
      }
    }
  }

  RunQueries& queries_;
  std::ostream& out_;
  std::string name_;
};

}  // namespace

void export_json(RunQueries& queries, const std::vector<std::string>& ids, std::ostream& out) {
  out << "{\"format\":\"cifarpipe-runs\",\"version\":1,\"runs\":[";
  for (std::size_t i = 0; i < ids.size(); ++i) {
    out << (i == 0 ? "\n" : ",\n");
    run_json(queries, ids[i], out);
  }
  out << "\n]}\n";
}

void export_jsonl(RunQueries& queries, const std::vector<std::string>& ids, std::ostream& out) {
  for (const std::string& id : ids) {
    ordered_json head = {{"type", "run"}};
    head.update(queries.show_json(id));
    out << dumped(head) << '\n';
    each_point(queries, id, [&](const ExportedPoint& p) {
      out << dumped({{"type", "point"},
                     {"run", id},
                     {"key", p.key},
                     {"step", p.step},
                     {"time", p.time_ms},
                     {"value", number_json(p.value)},
                     {"attempt", p.attempt},
                     {"superseded", p.superseded}})
          << '\n';
    });
  }
}

const std::vector<std::string>& export_tables() {
  static const std::vector<std::string> names = {
      "runs", "params", "tags", "facts", "stages", "attempts", "outputs", "metrics", "points"};
  return names;
}

void export_csv(RunQueries& queries, const std::vector<std::string>& ids,
                const std::function<std::ostream&(const std::string& table)>& table) {
  for (const std::string& name : export_tables()) {
    CsvTable rows(queries, table(name), name);
    for (const std::string& id : ids) rows.add(id);
  }
}

}  // namespace cifarpipe
