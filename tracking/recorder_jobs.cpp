// Jobs, their attempts and results, and the digests of input files.
#include <algorithm>

#include "tracking/recorder.hpp"

namespace cifarpipe {

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

int SqliteRecorder::newest_attempt(std::int64_t job) {
  Statement& last = prepared("SELECT coalesce(max(number), 0) FROM attempt WHERE job_id = ?");
  last.with(job).step();
  const int number = static_cast<int>(last.integer(0));
  last.reset();
  return number;
}

int SqliteRecorder::begin_attempt(const JobRef& job, const std::string& stage,
                                  const std::optional<Cover>& cover, std::int64_t now_ms) {
  Transaction transaction(db_);
  const std::int64_t id = job_id(job, stage);
  // A checkpoint can be of a higher attempt than any known here, when the database was lost.
  const int number = std::max(newest_attempt(id), cover ? cover->attempt : 0) + 1;
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
    prepared("INSERT OR REPLACE INTO result_fact VALUES (?, ?, ?)")
        .with(id, key, secrets_.redacted_value(key, value))
        .run();
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

bool SqliteRecorder::made_result(const std::string& key) {
  Statement find(db_, "SELECT 1 FROM job WHERE key = ? AND key_document IS NOT NULL");
  return find.with(key).step();
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

}  // namespace cifarpipe
