#include "tracking/recorder.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>

#include "pipeline/diagnostics.hpp"
#include "pipeline/run_folder.hpp"
#include "pipeline/value_json.hpp"
#include "tracking/migrations.hpp"
#include "tracking/rows.hpp"

namespace cifarpipe {
namespace {

constexpr auto kReplace = nlohmann::ordered_json::error_handler_t::replace;  // Not UTF-8.

std::string type_of(const Value& value) {
  constexpr const char* kNames[] = {"bool", "integer", "number", "string"};
  return value.index() < 4 ? kNames[value.index()] : "json";
}

}  // namespace

SqliteRecorder::SqliteRecorder(const std::filesystem::path& file, Database::Access access)
    : db_(file, access) {
  access == Database::Access::read ? require_this_version(db_) : migrate(db_);
}

SqliteRecorder::~SqliteRecorder() {
  batch_.reset();
  statements_.clear();
}

Statement& SqliteRecorder::prepared(const char* sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second;
  return statements_.emplace(sql, Statement(db_, sql)).first->second;
}

void SqliteRecorder::begin_batch() {
  if (!batch_) batch_ = std::make_unique<Transaction>(db_);
}

void SqliteRecorder::end_batch(bool keep) {
  if (!batch_) return;
  const auto batch = std::move(batch_);
  metric_ids_.clear();  // Some may be rolled back with it.
  if (keep) batch->commit();
}

// Runs.

std::vector<RunRecord> SqliteRecorder::runs_where(const std::string& condition,
                                                  const std::string& value) {
  Statement rows(db_, fmt::format("SELECT {} FROM run {}", kRunColumns, condition));
  std::vector<RunRecord> runs;
  rows.with(value);
  while (rows.step()) runs.push_back(found_here(run_from_row(rows)));
  return runs;
}

RunRecord SqliteRecorder::found_here(RunRecord run) const {
  const std::filesystem::path recorded(run.folder);
  const std::filesystem::path root = db_.file().parent_path();
  if (recorded.parent_path() == root) return run;
  std::error_code error;
  const std::filesystem::path here = root / recorded.filename();
  if (std::filesystem::is_directory(here, error)) run.folder = here.string();
  return run;
}

std::optional<RunRecord> SqliteRecorder::find_run(const std::string& identity,
                                                  const std::string& forced) {
  Statement rows(db_, fmt::format("SELECT {} FROM run ", kRunColumns) +
                          "WHERE identity = ? AND forced = ? AND deleted_ms IS NULL "
                          "ORDER BY number DESC LIMIT 1");
  if (!rows.with(identity, forced).step()) return std::nullopt;
  return found_here(run_from_row(rows));
}

RunRecord SqliteRecorder::resolve_run(const std::string& run) {
  std::vector<RunRecord> found;
  if (run == "latest") {
    found =
        runs_where("WHERE parent_id = ? AND deleted_ms IS NULL ORDER BY number DESC LIMIT 1", "");
    if (!found.empty()) return found.front();
    throw Error(runs_where("WHERE ? IS NOT NULL LIMIT 1", "").empty()
                    ? "there is no run yet"
                    : "every run is deleted; `cifarpipe runs list --all` shows their names",
                ErrorKind::usage);
  }
  // A deleted run is found too, so that it can be looked at and restored, but never instead of one
  // that is there.
  for (const char* there : {"deleted_ms IS NULL", "deleted_ms IS NOT NULL"}) {
    found =
        runs_where(fmt::format("WHERE name = ? AND {} ORDER BY number DESC LIMIT 1", there), run);
    if (found.empty() && !run.empty()) {
      found = runs_where(fmt::format("WHERE substr(id, 1, length(?1)) = ?1 AND {} "
                                     "ORDER BY number DESC LIMIT 6",
                                     there),
                         run);
    }
    if (found.size() == 1) return found.front();
    if (!found.empty()) break;
  }
  if (found.empty()) {
    std::vector<std::string> names;
    for (const RunRecord& r : runs_where("WHERE ? IS NOT NULL AND deleted_ms IS NULL", "")) {
      names.push_back(r.name);
    }
    const std::string near = nearest(run, names);
    throw Error(fmt::format("there is no run '{}'{}", run,
                            near.empty() ? "; `cifarpipe runs list` shows them"
                                         : fmt::format("; did you mean '{}'?", near)),
                ErrorKind::usage);
  }
  std::vector<std::string> names;
  for (const RunRecord& r : found)
    names.push_back(fmt::format("{} ({})", r.id.substr(0, 8), r.name));
  throw Error(fmt::format("'{}' is the beginning of several ids: {}", run, fmt::join(names, ", ")),
              ErrorKind::usage);
}

std::optional<RunRecord> SqliteRecorder::newest_run_with(const std::string& stage) {
  auto found = runs_where(
      "WHERE deleted_ms IS NULL AND cell IS NULL AND id IN (SELECT run_id FROM run_stage WHERE "
      "name = ? AND status = 'finished' AND key <> '') ORDER BY number DESC LIMIT 1",
      stage);
  if (found.empty()) return std::nullopt;
  return std::move(found.front());
}

std::vector<RunRecord> SqliteRecorder::running_runs() {
  // Written out, or the index of running runs would not be used.
  return runs_where("WHERE status = 'RUNNING' AND ? IS NOT NULL", "");
}

std::string SqliteRecorder::free_name(const std::string& wanted, const std::string& except_id) {
  Statement& taken = prepared("SELECT 1 FROM run WHERE name = ? AND id <> ?");
  std::string name = wanted;
  for (int n = 2; taken.with(name, except_id).step(); ++n) name = fmt::format("{}-{}", wanted, n);
  taken.reset();
  return name;
}

void SqliteRecorder::put_params(const NewRun& run) {
  int position = 0;
  for (const auto& [key, value] : run.params) {
    Statement& insert = prepared("INSERT OR REPLACE INTO run_param VALUES (?, ?, ?, ?, ?)");
    const std::string type = type_of(value);
    if (const auto* b = std::get_if<bool>(&value)) {
      insert.with(run.id, position, key, type, *b ? 1 : 0).run();
    } else if (const auto* i = std::get_if<std::int64_t>(&value)) {
      insert.with(run.id, position, key, type, *i).run();
    } else if (const auto* d = std::get_if<double>(&value); d != nullptr && std::isfinite(*d)) {
      insert.with(run.id, position, key, type, *d).run();
    } else if (const auto* s = std::get_if<std::string>(&value)) {
      insert.with(run.id, position, key, type, secrets_.redacted_value(key, *s)).run();
    } else if (d != nullptr) {
      insert.with(run.id, position, key, type, number_text(*d)).run();
    } else {
      const std::string json = value_json(value).dump(-1, ' ', false, kReplace);
      insert.with(run.id, position, key, type, secrets_.redacted(json)).run();
    }
    ++position;
  }
}

RunRecord SqliteRecorder::create_run(const NewRun& run) {
  Transaction transaction(db_);
  const std::string name = free_name(secrets_.redacted(run.name), run.id);
  prepared(
      "INSERT INTO run (id, name, experiment, parent_id, cell, identity, forced, folder, "
      "command, note, status, attempt, start_ms, working_since_ms, message) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'RUNNING', 1, ?11, ?11, '')")
      .with(run.id, name, secrets_.redacted(run.experiment), run.parent_id, run.cell, run.identity,
            run.forced, run.folder, secrets_.redacted(run.command), secrets_.redacted(run.note),
            run.start_ms)
      .run();
  put_params(run);
  put_tags(run.id, run.tags);
  for (const auto& [key, value] : run.facts) {
    prepared("INSERT OR REPLACE INTO run_fact VALUES (?, ?, ?)")
        .with(run.id, key, secrets_.redacted_value(key, value))
        .run();
  }
  transaction.commit();
  return runs_where("WHERE id = ?", run.id).front();
}

RunRecord SqliteRecorder::reopen_run(const std::string& id, std::int64_t now_ms) {
  prepared(
      "UPDATE run SET status = 'RUNNING', attempt = attempt + 1, end_ms = NULL, message = '', "
      "working_since_ms = ? WHERE id = ?")
      .with(now_ms, id)
      .run();
  return runs_where("WHERE id = ?", id).front();
}

void SqliteRecorder::set_at_work(const std::string& id, bool at_work, std::int64_t now_ms) {
  prepared(
      "UPDATE run SET worked_ms = worked_ms + max(0, coalesce(?1 - working_since_ms, 0)), "
      "working_since_ms = iif(?2, ?1, NULL) WHERE id = ?3")
      .with(now_ms, at_work ? 1 : 0, id)
      .run();
}

void SqliteRecorder::set_fact(const std::string& run_id, const std::string& key,
                              const std::string& value) {
  prepared("INSERT OR REPLACE INTO run_fact VALUES (?, ?, ?)").with(run_id, key, value).run();
}

void SqliteRecorder::put_tags(const std::string& id,
                              const std::vector<std::pair<std::string, std::string>>& tags) {
  for (const auto& [name, value] : tags) {
    const std::string key = secrets_.redacted(name);
    if (value.empty()) {  // `k=` takes a tag away.
      prepared("DELETE FROM run_tag WHERE run_id = ? AND key = ?").with(id, key).run();
    } else {
      prepared("INSERT OR REPLACE INTO run_tag VALUES (?, ?, ?)")
          .with(id, key, secrets_.redacted_value(key, value))
          .run();
    }
  }
}

void SqliteRecorder::annotate_run(const std::string& id, const std::optional<std::string>& name,
                                  const std::optional<std::string>& note,
                                  const std::vector<std::pair<std::string, std::string>>& tags) {
  Transaction transaction(db_);
  if (name) {
    const std::string before = runs_where("WHERE id = ?", id).at(0).name;
    const std::string after = free_name(secrets_.redacted(*name), id);
    prepared("UPDATE run SET name = ? WHERE id = ?").with(after, id).run();
    // The names of children begin with their parent's, and go on doing so.
    for (const RunRecord& child : runs_where("WHERE parent_id = ?", id)) {
      if (child.name.starts_with(before + "/")) {
        annotate_run(child.id, after + child.name.substr(before.size()), std::nullopt, {});
      }
    }
  }
  if (note) {
    prepared("UPDATE run SET note = ? WHERE id = ?").with(secrets_.redacted(*note), id).run();
  }
  put_tags(id, tags);
  transaction.commit();
}

bool SqliteRecorder::is_deleted(const std::string& id) {
  Statement row(db_, "SELECT deleted_ms IS NOT NULL FROM run WHERE id = ?");
  return row.with(id).step() && row.integer(0) != 0;
}

std::int64_t SqliteRecorder::delete_run(const std::string& id, std::int64_t now_ms) {
  prepared(
      "WITH RECURSIVE below(id) AS (VALUES (?1) UNION "
      "  SELECT run.id FROM run JOIN below ON run.parent_id = below.id) "
      "UPDATE run SET deleted_ms = ?2 WHERE deleted_ms IS NULL AND id IN below")
      .with(id, now_ms)
      .run();
  return db_.changes();
}

std::int64_t SqliteRecorder::restore_run(const std::string& id) {
  // Its children that were deleted with it, and not before.
  prepared(
      "WITH RECURSIVE below(id, ms) AS (SELECT id, deleted_ms FROM run WHERE id = ?1 UNION "
      "  SELECT run.id, ms FROM run JOIN below ON run.parent_id = below.id "
      "  WHERE run.deleted_ms = ms) "
      "UPDATE run SET deleted_ms = NULL WHERE deleted_ms IS NOT NULL AND "
      "id IN (SELECT id FROM below)")
      .with(id)
      .run();
  return db_.changes();
}

void SqliteRecorder::finish_run(const std::string& id, RunStatus status, std::int64_t end_ms,
                                const std::string& message) {
  Transaction transaction(db_);
  set_at_work(id, false, end_ms);
  prepared("UPDATE run SET status = ?, end_ms = ?, message = ? WHERE id = ?")
      .with(to_string(status), end_ms, secrets_.redacted(message), id)
      .run();
  transaction.commit();
}

void SqliteRecorder::put_run_stage(const std::string& run_id, const RunStage& stage) {
  // A stage that was stopped keeps its job: its metrics are shown, and gc keeps its checkpoint.
  prepared(
      "INSERT INTO run_stage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
      "uses = excluded.uses, position = excluded.position, action = excluded.action, "
      "status = excluded.status, reason = excluded.reason, message = excluded.message, "
      "key = iif(excluded.key = '', key, excluded.key), "
      "generation = iif(excluded.key = '', generation, excluded.generation)")
      .with(run_id, stage.name, stage.uses, stage.position, stage.action, stage.status,
            stage.job.key, stage.job.generation, secrets_.redacted(stage.reason),
            secrets_.redacted(stage.message))
      .run();
}

std::optional<JobRef> SqliteRecorder::run_stage_job(const std::string& run_id,
                                                    const std::string& stage) {
  Statement rows(db_,
                 "SELECT key, generation FROM run_stage WHERE run_id = ? AND name = ? "
                 "AND status = 'finished' AND key <> ''");
  if (!rows.with(run_id, stage).step()) return std::nullopt;
  return JobRef{rows.text(0), static_cast<int>(rows.integer(1))};
}

std::vector<RunUse> SqliteRecorder::run_uses() {
  std::map<std::string, RunUse> uses;
  Statement runs(db_,
                 "SELECT id, status, deleted_ms IS NOT NULL, coalesce(end_ms, start_ms) FROM run");
  while (runs.step()) {
    uses[runs.text(0)] = {
        runs.text(0), status_from_text(runs.text(1)), runs.integer(2) != 0, runs.integer(3), {}};
  }
  Statement stages(db_, "SELECT run_id, key, generation FROM run_stage WHERE key <> ''");
  while (stages.step()) {
    uses[stages.text(0)].jobs.insert({stages.text(1), static_cast<int>(stages.integer(2))});
  }
  std::vector<RunUse> list;
  for (auto& [id, use] : uses) list.push_back(std::move(use));
  return list;
}

void SqliteRecorder::close_dead_run(const RunRecord& run, std::int64_t end_ms) {
  Transaction transaction(db_);
  prepared(
      "UPDATE run SET status = 'KILLED', end_ms = ?, message = 'its process is gone' "
      "WHERE id = ? AND status = 'RUNNING' AND attempt = ?")  // Not if it goes on by now.
      .with(end_ms, run.id, run.attempt)
      .run();
  if (db_.changes() > 0) {
    set_at_work(run.id, false, end_ms);
    prepared(
        "UPDATE run_stage SET status = 'killed' WHERE run_id = ? AND "
        "status IN ('running', 'waiting')")
        .with(run.id)
        .run();
  }
  transaction.commit();
}

std::size_t reap_dead_runs(SqliteRecorder& recorder) {
  std::size_t dead = 0;
  for (const RunRecord& run : recorder.running_runs()) {
    if (RunFolder::is_alive(run.folder)) continue;
    struct stat info {};
    const std::string alive = run.folder + "/alive";
    const std::int64_t end = stat(alive.c_str(), &info) == 0
                                 ? info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1'000'000
                                 : run.start_ms;
    recorder.close_dead_run(run, std::max(end, run.start_ms));  // The file system's clock lags.
    ++dead;
  }
  return dead;
}

}  // namespace cifarpipe
