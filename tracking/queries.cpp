#include "tracking/queries.hpp"

#include <cmath>
#include <limits>

#include "tracking/database.hpp"
#include "tracking/rows.hpp"

namespace cifarpipe {
namespace {

/// Typed again as it was before it became a column: "list" stays its TOML text.
Value param_value(Statement& row, int type_column, int value_column) {
  const std::string type = row.text(type_column);
  if (type == "bool") return row.integer(value_column) != 0;
  if (type == "integer") return row.integer(value_column);
  if (type == "number" && !row.is_text(value_column)) return row.real(value_column);
  return row.text(value_column);
}

std::vector<std::pair<std::string, std::string>> pairs(Database& db, const char* sql,
                                                       const std::string& id) {
  Statement rows(db, sql);
  std::vector<std::pair<std::string, std::string>> list;
  rows.with(id);
  while (rows.step()) list.emplace_back(rows.text(0), rows.text(1));
  return list;
}

void add_params(Database& db, RunRow& run) {
  Statement rows(db, "SELECT key, type, value FROM run_param WHERE run_id = ? ORDER BY position");
  rows.with(run.run.id);
  while (rows.step()) run.params.emplace_back(rows.text(0), param_value(rows, 1, 2));
}

void add_metrics(Database& db, RunRow& run) {
  Statement rows(db,
                 "SELECT key, count, last_step, last, last_kind, minimum, maximum "
                 "FROM run_metric_summary WHERE run_id = ? ORDER BY position, key");
  rows.with(run.run.id);
  while (rows.step()) {
    run.metrics.push_back({rows.text(0), rows.integer(1), rows.integer(2),
                           stored_value(static_cast<int>(rows.integer(4)), rows.real(3)),
                           rows.is_null(5) ? std::nan("") : rows.real(5),
                           rows.is_null(6) ? std::nan("") : rows.real(6)});
  }
}

void add_stages(Database& db, RunRow& run) {
  Statement rows(
      db,
      "SELECT s.name, s.uses, s.position, s.action, s.status, s.key, s.generation, "
      "s.reason, s.message, coalesce(j.attempts, (SELECT max(number) FROM attempt "
      "WHERE job_id = j.id), 0), coalesce(j.wall_ms, 0), coalesce(j.cpu_ms, 0), "
      "coalesce(j.peak_rss_bytes, 0), coalesce(j.id, 0) FROM run_stage s LEFT JOIN job j "
      "ON j.key = s.key AND j.generation = s.generation WHERE s.run_id = ? "
      "ORDER BY s.position");
  Statement files(db,
                  "SELECT port, path, size, sha256 FROM result_file WHERE job_id = ? "
                  "ORDER BY port, path");
  Statement facts(db, "SELECT key, value FROM result_fact WHERE job_id = ? ORDER BY key");
  rows.with(run.run.id);
  while (rows.step()) {
    StageRow row;
    row.stage = {rows.text(0), rows.text(1), static_cast<int>(rows.integer(2)),
                 rows.text(3), rows.text(4), {rows.text(5), static_cast<int>(rows.integer(6))},
                 rows.text(7), rows.text(8)};
    row.attempts = static_cast<int>(rows.integer(9));
    row.usage = {rows.integer(10), rows.integer(11), rows.integer(12)};
    files.with(rows.integer(13));
    while (files.step()) {
      if (row.outputs.empty() || row.outputs.back().port != files.text(0)) {
        row.outputs.push_back({files.text(0), {}});
      }
      row.outputs.back().files.push_back(
          {files.text(1), static_cast<std::uint64_t>(files.integer(2)), files.text(3)});
    }
    facts.with(rows.integer(13));
    while (facts.step()) row.facts.emplace_back(facts.text(0), facts.text(1));
    run.stages.push_back(std::move(row));
  }
}

constexpr const char* kRowColumns = ", deleted_ms IS NOT NULL, note, command, message FROM run ";

RunRow row_from(Statement& rows) {
  RunRow row;
  row.run = run_from_row(rows);
  row.deleted = rows.integer(kRunColumnCount) != 0;
  row.note = rows.text(kRunColumnCount + 1);
  row.command = rows.text(kRunColumnCount + 2);
  row.message = rows.text(kRunColumnCount + 3);
  return row;
}

}  // namespace

std::vector<RunRow> list_runs(Database& db, const RunFilter& filter) {
  std::string sql = std::string("SELECT ") + kRunColumns + kRowColumns +
                    "WHERE (?1 = '' OR experiment = ?1) AND (?2 = '' OR status = ?2) ";
  if (!filter.deleted) sql += "AND deleted_ms IS NULL ";
  sql += "ORDER BY number DESC LIMIT ?3";
  Statement rows(db, sql);
  std::vector<RunRow> runs;
  rows.with(filter.experiment, filter.status, filter.limit > 0 ? filter.limit : -1);
  while (rows.step()) runs.push_back(row_from(rows));
  for (RunRow& run : runs) {
    add_params(db, run);
    add_metrics(db, run);
  }
  return runs;
}

RunRow show_run(Database& db, const RunRecord& run) {
  Statement rows(db, std::string("SELECT ") + kRunColumns + kRowColumns + "WHERE id = ?");
  rows.with(run.id).step();
  RunRow row = row_from(rows);
  row.tags = pairs(db, "SELECT key, value FROM run_tag WHERE run_id = ? ORDER BY key", run.id);
  row.facts = pairs(db, "SELECT key, value FROM run_fact WHERE run_id = ? ORDER BY key", run.id);
  add_params(db, row);
  add_stages(db, row);
  add_metrics(db, row);
  return row;
}

std::vector<VisiblePoint> run_metric(Database& db, const std::string& run_id,
                                     const std::string& key) {
  Statement rows(db,
                 "SELECT step, time_ms, value, kind FROM run_metrics "
                 "WHERE run_id = ? AND key = ? ORDER BY attempt, sequence");
  std::vector<VisiblePoint> points;
  rows.with(run_id, key);
  while (rows.step()) {
    points.push_back({key, rows.integer(0), rows.integer(1),
                      stored_value(static_cast<int>(rows.integer(3)), rows.real(2))});
  }
  return points;
}

}  // namespace cifarpipe
