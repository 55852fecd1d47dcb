#include "tracking/recorder.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>

#include "pipeline/diagnostics.hpp"
#include "pipeline/random_id.hpp"
#include "pipeline/run_folder.hpp"
#include "tracking/migrations.hpp"
#include "tracking/rows.hpp"

namespace cifarpipe {
namespace {

std::optional<double> finite(double v) {
  return std::isfinite(v) ? std::optional<double>(v) : std::nullopt;
}

std::string type_of(const Value& value) {
  constexpr const char* kNames[] = {"bool", "integer", "number", "string"};
  return value.index() < 4 ? kNames[value.index()] : "list";
}

}  // namespace

SqliteRecorder::SqliteRecorder(const std::filesystem::path& file) : db_(file) {
  migrate(db_);
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
  if (keep) batch->commit();
}

// Runs.

std::vector<RunRecord> SqliteRecorder::runs_where(const std::string& condition,
                                                  const std::string& value) {
  Statement rows(db_, fmt::format("SELECT {} FROM run {}", kRunColumns, condition));
  std::vector<RunRecord> runs;
  rows.with(value);
  while (rows.step()) runs.push_back(run_from_row(rows));
  return runs;
}

std::optional<RunRecord> SqliteRecorder::find_run(const std::string& identity,
                                                  const std::string& forced) {
  Statement rows(db_, fmt::format("SELECT {} FROM run ", kRunColumns) +
                          "WHERE identity = ? AND forced = ? AND deleted_ms IS NULL "
                          "ORDER BY number DESC LIMIT 1");
  if (!rows.with(identity, forced).step()) return std::nullopt;
  return run_from_row(rows);
}

RunRecord SqliteRecorder::resolve_run(const std::string& run) {
  std::vector<RunRecord> found;
  if (run == "latest") {
    found =
        runs_where("WHERE parent_id = ? AND deleted_ms IS NULL ORDER BY number DESC LIMIT 1", "");
    if (found.empty()) throw Error("there is no run yet", ErrorKind::usage);
    return found.front();
  }
  found = runs_where("WHERE name = ? ORDER BY number DESC LIMIT 1", run);
  if (found.empty()) found = runs_where("WHERE id LIKE ? || '%' ORDER BY number DESC LIMIT 5", run);
  if (found.size() == 1) return found.front();
  if (found.empty()) {
    std::vector<std::string> names;
    for (const RunRecord& r : runs_where("WHERE ? IS NOT NULL", "")) names.push_back(r.name);
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

std::vector<RunRecord> SqliteRecorder::running_runs() {
  return runs_where("WHERE status = ?", "RUNNING");
}

std::string SqliteRecorder::free_name(const std::string& wanted, const std::string& except_id) {
  Statement& taken = prepared("SELECT 1 FROM run WHERE name = ? AND id <> ?");
  std::string name = wanted;
  for (int n = 2; taken.with(name, except_id).step(); ++n) name = fmt::format("{}-{}", wanted, n);
  taken.reset();
  return name;
}

RunRecord SqliteRecorder::create_run(const NewRun& run) {
  Transaction transaction(db_);
  const std::string name = free_name(run.name, run.id);
  prepared(
      "INSERT INTO run (id, name, experiment, parent_id, cell, identity, forced, folder, "
      "command, note, status, attempt, start_ms, message) "
      "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'RUNNING', 1, ?, '')")
      .with(run.id, name, run.experiment, run.parent_id, run.cell, run.identity, run.forced,
            run.folder, run.command, run.note, run.start_ms)
      .run();
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
      insert.with(run.id, position, key, type, *s).run();
    } else {
      insert.with(run.id, position, key, type, to_text(value)).run();
    }
    ++position;
  }
  for (const auto& [key, value] : run.tags) {
    prepared("INSERT OR REPLACE INTO run_tag VALUES (?, ?, ?)").with(run.id, key, value).run();
  }
  for (const auto& [key, value] : run.facts) {
    prepared("INSERT OR REPLACE INTO run_fact VALUES (?, ?, ?)").with(run.id, key, value).run();
  }
  transaction.commit();
  return runs_where("WHERE id = ?", run.id).front();
}

RunRecord SqliteRecorder::reopen_run(const std::string& id, std::int64_t) {
  prepared(
      "UPDATE run SET status = 'RUNNING', attempt = attempt + 1, end_ms = NULL, message = '' "
      "WHERE id = ?")
      .with(id)
      .run();
  return runs_where("WHERE id = ?", id).front();
}

void SqliteRecorder::annotate_run(const std::string& id, const std::optional<std::string>& name,
                                  const std::optional<std::string>& note,
                                  const std::vector<std::pair<std::string, std::string>>& tags) {
  Transaction transaction(db_);
  if (name) {
    prepared("UPDATE run SET name = ? WHERE id = ?").with(free_name(*name, id), id).run();
  }
  if (note) prepared("UPDATE run SET note = ? WHERE id = ?").with(*note, id).run();
  for (const auto& [key, value] : tags) {
    if (value.empty()) {
      prepared("DELETE FROM run_tag WHERE run_id = ? AND key = ?").with(id, key).run();
    } else {
      prepared("INSERT OR REPLACE INTO run_tag VALUES (?, ?, ?)").with(id, key, value).run();
    }
  }
  transaction.commit();
}

void SqliteRecorder::finish_run(const std::string& id, RunStatus status, std::int64_t end_ms,
                                const std::string& message) {
  prepared("UPDATE run SET status = ?, end_ms = ?, message = ? WHERE id = ?")
      .with(to_string(status), end_ms, message, id)
      .run();
}

void SqliteRecorder::put_run_stage(const std::string& run_id, const RunStage& stage) {
  prepared("INSERT OR REPLACE INTO run_stage VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .with(run_id, stage.name, stage.uses, stage.position, stage.action, stage.status,
            stage.job.key, stage.job.generation, stage.reason, stage.message)
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

void SqliteRecorder::set_deleted(const std::string& id, bool deleted) {
  prepared("UPDATE run SET deleted_ms = CASE WHEN ? THEN coalesce(deleted_ms, ?) END WHERE id = ?")
      .with(deleted ? 1 : 0, now_ms(), id)
      .run();
}

// Jobs.

std::int64_t SqliteRecorder::job_id(const JobRef& job, const std::string& stage) {
  Statement& find = prepared("SELECT id FROM job WHERE key = ? AND generation = ?");
  if (find.with(job.key, job.generation).step()) {
    const std::int64_t id = find.integer(0);
    find.reset();
    return id;
  }
  find.reset();
  prepared("INSERT INTO job (key, generation, stage) VALUES (?, ?, ?)")
      .with(job.key, job.generation, stage)
      .run();
  return db_.last_id();
}

/// Hides what attempts before `attempt` logged beyond what it, or what it went on from, covers.
void SqliteRecorder::supersede(std::int64_t job, int attempt) {
  Statement cover(db_,
                  "SELECT cover_attempt, cover_sequence FROM attempt "
                  "WHERE job_id = ? AND number = ?");
  int later = attempt;
  while (cover.with(job, later).step()) {
    const std::int64_t from = cover.integer(0);
    const std::int64_t sequence = cover.integer(1);
    // Attempts between the covered one and this one, and the covered one's tail.
    prepared(
        "UPDATE point SET superseded = 1 WHERE job_id = ? AND superseded = 0 AND "
        "attempt < ? AND (attempt > ? OR (attempt = ? AND sequence > ?))")
        .with(job, later, from, from, sequence)
        .run();
    if (from <= 0) break;
    later = static_cast<int>(from);
  }
}

int SqliteRecorder::begin_attempt(const JobRef& job, const std::string& stage,
                                  const std::optional<Cover>& cover, std::int64_t now_ms) {
  Transaction transaction(db_);
  const std::int64_t id = job_id(job, stage);
  Statement last(db_, "SELECT coalesce(max(number), 0) FROM attempt WHERE job_id = ?");
  last.with(id).step();
  const int number = static_cast<int>(last.integer(0)) + 1;
  last.reset();
  prepared("UPDATE attempt SET status = 'killed' WHERE job_id = ? AND status = 'running'")
      .with(id)
      .run();
  prepared(
      "INSERT INTO attempt (job_id, number, cover_attempt, cover_sequence, status, start_ms) "
      "VALUES (?, ?, ?, ?, 'running', ?)")
      .with(id, number, cover ? cover->attempt : 0, cover ? cover->sequence : 0, now_ms)
      .run();
  supersede(id, number);
  transaction.commit();
  return number;
}

void SqliteRecorder::end_attempt(const JobRef& job, int attempt, const std::string& status,
                                 const Usage& usage, std::int64_t now_ms) {
  prepared(
      "UPDATE attempt SET status = ?, end_ms = ?, wall_ms = ?, cpu_ms = ?, peak_rss_bytes = ? "
      "WHERE job_id = (SELECT id FROM job WHERE key = ? AND generation = ?) AND number = ?")
      .with(status, now_ms, usage.wall_ms, usage.cpu_ms, usage.peak_rss_bytes, job.key,
            job.generation, attempt)
      .run();
}

void SqliteRecorder::put_result(const ResultRecord& result) {
  Transaction transaction(db_);
  const std::int64_t id = job_id(result.job, result.stage);
  prepared(
      "UPDATE job SET key_document = ?, published_ms = ?, attempts = ?, wall_ms = ?, "
      "cpu_ms = ?, peak_rss_bytes = ? WHERE id = ?")
      .with(result.key_document, result.created_ms, result.attempts, result.usage.wall_ms,
            result.usage.cpu_ms, result.usage.peak_rss_bytes, id)
      .run();
  for (const PortFiles& port : result.outputs) {
    for (const FileDigest& file : port.files) {
      prepared("INSERT OR REPLACE INTO result_file VALUES (?, ?, ?, ?, ?)")
          .with(id, port.port, file.path, file.size, file.sha256)
          .run();
    }
  }
  for (const auto& [key, value] : result.facts) {
    prepared("INSERT OR REPLACE INTO result_fact VALUES (?, ?, ?)").with(id, key, value).run();
  }
  transaction.commit();
}

void SqliteRecorder::forget_result(const JobRef& job) {
  prepared("UPDATE job SET published_ms = NULL WHERE key = ? AND generation = ?")
      .with(job.key, job.generation)
      .run();
}

bool SqliteRecorder::knows_result(const JobRef& job) {
  Statement& find =
      prepared("SELECT 1 FROM job WHERE key = ? AND generation = ? AND published_ms IS NOT NULL");
  const bool known = find.with(job.key, job.generation).step();
  find.reset();
  return known;
}

std::optional<std::string> SqliteRecorder::last_key_document(const std::string& experiment,
                                                             const std::string& stage) {
  Statement rows(db_,
                 "SELECT job.key_document FROM run JOIN run_stage ON run_stage.run_id = run.id "
                 "JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation "
                 "WHERE run.experiment = ? AND run_stage.name = ? AND job.key_document IS NOT NULL "
                 "ORDER BY run.number DESC LIMIT 1");
  if (!rows.with(experiment, stage).step()) return std::nullopt;
  return rows.text(0);
}

// Points.

std::int64_t SqliteRecorder::metric_id(const std::string& name) {
  const auto known = metric_ids_.find(name);
  if (known != metric_ids_.end()) return known->second;
  prepared("INSERT OR IGNORE INTO metric (name) VALUES (?)").with(name).run();
  Statement& find = prepared("SELECT id FROM metric WHERE name = ?");
  find.with(name).step();
  const std::int64_t id = find.integer(0);
  find.reset();
  return id;  // Remembered only after the commit: a rollback would take the row away again.
}

void SqliteRecorder::store_points(const std::string& ring, std::span<const RingPoint> points,
                                  std::uint64_t last_sequence) {
  Transaction transaction(db_);
  const std::uint64_t stored = drained(ring);
  std::map<JobRef, std::pair<std::int64_t, int>> jobs;  // Id, and the newest attempt there is.
  Statement& insert = prepared("INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)");
  std::set<std::pair<std::int64_t, int>> late;
  std::map<std::string, std::int64_t> names;
  for (const RingPoint& p : points) {
    if (p.sequence <= stored) continue;
    auto job = jobs.find(p.job);
    if (job == jobs.end()) {
      const std::int64_t id = job_id(p.job, "");
      Statement newest(db_, "SELECT coalesce(max(number), 0) FROM attempt WHERE job_id = ?");
      newest.with(id).step();
      job = jobs.emplace(p.job, std::make_pair(id, static_cast<int>(newest.integer(0)))).first;
    }
    auto [name, added] = names.emplace(p.metric, 0);
    if (added) name->second = metric_id(p.metric);
    insert
        .with(job->second.first, name->second, p.attempt, p.sequence, p.step, p.time_ms,
              finite(p.value), kind_of(p.value))
        .run();
    if (p.attempt < job->second.second) late.insert(job->second);
  }
  for (const auto& [job, attempt] : late) supersede(job, attempt);
  prepared("INSERT OR REPLACE INTO ring VALUES (?, ?)")
      .with(ring, std::max(stored, last_sequence))
      .run();
  transaction.commit();
  metric_ids_.merge(names);
}

std::vector<VisiblePoint> SqliteRecorder::points(const JobRef& job) {
  Statement& rows = prepared(
      "SELECT metric.name, point.step, point.time_ms, point.value, point.kind FROM point "
      "JOIN metric ON metric.id = point.metric_id "
      "WHERE job_id = (SELECT id FROM job WHERE key = ? AND generation = ?) AND superseded = 0 "
      "ORDER BY attempt, sequence");
  std::vector<VisiblePoint> points;
  rows.with(job.key, job.generation);
  while (rows.step()) {
    points.push_back({rows.text(0), rows.integer(1), rows.integer(2),
                      stored_value(static_cast<int>(rows.integer(4)), rows.real(3))});
  }
  rows.reset();
  return points;
}

void SqliteRecorder::restore_points(const JobRef& job, const std::vector<VisiblePoint>& points) {
  Transaction transaction(db_);
  const std::int64_t id = job_id(job, "");
  prepared("DELETE FROM point WHERE job_id = ?").with(id).run();
  std::int64_t sequence = 0;
  for (const VisiblePoint& p : points) {
    prepared("INSERT OR IGNORE INTO point VALUES (?, ?, 0, ?, ?, ?, ?, ?, 0)")
        .with(id, metric_id(p.metric), ++sequence, p.step, p.time_ms, finite(p.value),
              kind_of(p.value))
        .run();
  }
  transaction.commit();
}

std::uint64_t SqliteRecorder::drained(const std::string& ring) {
  Statement& find = prepared("SELECT drained FROM ring WHERE name = ?");
  const std::uint64_t sequence =
      find.with(ring).step() ? static_cast<std::uint64_t>(find.integer(0)) : 0;
  find.reset();
  return sequence;
}

void SqliteRecorder::forget_ring(const std::string& ring) {
  prepared("DELETE FROM ring WHERE name = ?").with(ring).run();
}

// Digests of input files.

std::optional<std::string> SqliteRecorder::known_digest(const FileStamp& stamp) {
  Statement& find = prepared(
      "SELECT sha256 FROM file_digest WHERE path = ? AND size = ? AND "
      "mtime_ns = ? AND inode = ?");
  std::optional<std::string> digest;
  if (find.with(stamp.path, stamp.size, stamp.mtime_ns, stamp.inode).step()) digest = find.text(0);
  find.reset();
  return digest;
}

void SqliteRecorder::remember_digest(const FileStamp& stamp, const std::string& sha256) {
  prepared("INSERT OR REPLACE INTO file_digest VALUES (?, ?, ?, ?, ?)")
      .with(stamp.path, stamp.size, stamp.mtime_ns, stamp.inode, sha256)
      .run();
}

void reap_dead_runs(SqliteRecorder& recorder) {
  for (const RunRecord& run : recorder.running_runs()) {
    if (RunFolder::is_alive(run.folder)) continue;
    struct stat info {};
    const std::string alive = run.folder + "/alive";
    const std::int64_t end = stat(alive.c_str(), &info) == 0
                                 ? info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1'000'000
                                 : run.start_ms;
    recorder.finish_run(run.id, RunStatus::killed, end, "its process is gone");
  }
}

}  // namespace cifarpipe
