#include "tracking/migrations.hpp"

#include <fmt/format.h>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

constexpr int kVersion = 1;

// Points are plain rows: no compression, nothing to unpack. kind: 0 finite, 1 NaN, 2 inf, 3 -inf;
// value is NULL unless finite, so that `value < x` never matches what is not a number.
constexpr const char* kVersion1 = R"(
CREATE TABLE run (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, experiment TEXT NOT NULL,
  parent_id TEXT NOT NULL, cell TEXT, identity TEXT NOT NULL, forced TEXT NOT NULL,
  folder TEXT NOT NULL, command TEXT NOT NULL, note TEXT NOT NULL, status TEXT NOT NULL,
  attempt INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER, message TEXT NOT NULL,
  deleted_ms INTEGER) STRICT;
CREATE INDEX run_by_identity ON run (identity, forced);
CREATE INDEX run_by_name ON run (name);
CREATE INDEX run_by_status ON run (status) WHERE status = 'RUNNING';
CREATE TABLE run_param (run_id TEXT NOT NULL, position INTEGER NOT NULL, key TEXT NOT NULL,
  type TEXT NOT NULL, value ANY, PRIMARY KEY (run_id, key)) STRICT, WITHOUT ROWID;
CREATE TABLE run_tag (run_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (run_id, key)) STRICT, WITHOUT ROWID;
CREATE TABLE run_fact (run_id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (run_id, key)) STRICT, WITHOUT ROWID;
CREATE TABLE run_stage (run_id TEXT NOT NULL, name TEXT NOT NULL, uses TEXT NOT NULL,
  position INTEGER NOT NULL, action TEXT NOT NULL, status TEXT NOT NULL, key TEXT NOT NULL,
  generation INTEGER NOT NULL, reason TEXT NOT NULL, message TEXT NOT NULL,
  PRIMARY KEY (run_id, name)) STRICT, WITHOUT ROWID;
CREATE TABLE job (id INTEGER PRIMARY KEY, key TEXT NOT NULL, generation INTEGER NOT NULL,
  stage TEXT NOT NULL, key_document TEXT, published_ms INTEGER, attempts INTEGER,
  wall_ms INTEGER, cpu_ms INTEGER, peak_rss_bytes INTEGER, UNIQUE (key, generation)) STRICT;
CREATE TABLE attempt (job_id INTEGER NOT NULL, number INTEGER NOT NULL, cover_attempt INTEGER NOT NULL,
  cover_sequence INTEGER NOT NULL, status TEXT NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER,
  wall_ms INTEGER, cpu_ms INTEGER, peak_rss_bytes INTEGER,
  PRIMARY KEY (job_id, number)) STRICT, WITHOUT ROWID;
CREATE TABLE result_file (job_id INTEGER NOT NULL, port TEXT NOT NULL, path TEXT NOT NULL,
  size INTEGER NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (job_id, port, path)) STRICT, WITHOUT ROWID;
CREATE TABLE result_fact (job_id INTEGER NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
  PRIMARY KEY (job_id, key)) STRICT, WITHOUT ROWID;
CREATE TABLE metric (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE point (job_id INTEGER NOT NULL, metric_id INTEGER NOT NULL, attempt INTEGER NOT NULL,
  sequence INTEGER NOT NULL, step INTEGER NOT NULL, time_ms INTEGER NOT NULL, value REAL,
  kind INTEGER NOT NULL, superseded INTEGER NOT NULL,
  PRIMARY KEY (job_id, attempt, sequence)) STRICT, WITHOUT ROWID;
CREATE TABLE ring (name TEXT PRIMARY KEY, drained INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE file_digest (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL, sha256 TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Views: what people query. docs/database.md.
CREATE VIEW runs AS SELECT number, id AS run_id, name AS run, experiment,
  nullif(parent_id, '') AS parent_id, cell, status, attempt,
  datetime(start_ms / 1000.0, 'unixepoch') AS started,
  datetime(end_ms / 1000.0, 'unixepoch') AS ended, (end_ms - start_ms) / 1000.0 AS seconds,
  note, command, folder, message FROM run WHERE deleted_ms IS NULL;
CREATE VIEW run_params AS SELECT run_id, runs.run, key, value FROM run_param JOIN runs USING (run_id);
CREATE VIEW run_tags AS SELECT run_id, runs.run, key, value FROM run_tag JOIN runs USING (run_id);
CREATE VIEW run_facts AS SELECT run_id, runs.run, key, value FROM run_fact JOIN runs USING (run_id);
CREATE VIEW run_stages AS SELECT s.run_id, run.name AS run, s.name AS stage, s.uses, s.position,
  s.action, s.status, s.reason, s.message, nullif(s.key, '') AS key, s.generation, job.id AS job_id,
  job.wall_ms, job.cpu_ms, job.peak_rss_bytes FROM run_stage s JOIN run ON run.id = s.run_id
  LEFT JOIN job ON job.key = s.key AND job.generation = s.generation;
CREATE VIEW run_metrics AS SELECT s.run_id, s.run, s.stage || '/' || metric.name AS key, s.position,
  point.step, point.time_ms, point.value, point.kind, point.kind = 1 AS is_nan, point.attempt,
  point.sequence, s.job_id, point.metric_id FROM run_stages s JOIN point ON point.job_id = s.job_id
  JOIN metric ON metric.id = point.metric_id WHERE point.superseded = 0;
CREATE VIEW run_metric_summary AS SELECT run_id, run, key, position, count(*) AS count,
  step AS last_step, value AS last, kind AS last_kind,
  (SELECT min(value) FROM point p WHERE p.job_id = m.job_id AND p.metric_id = m.metric_id
   AND superseded = 0) AS minimum,
  (SELECT max(value) FROM point p WHERE p.job_id = m.job_id AND p.metric_id = m.metric_id
   AND superseded = 0) AS maximum, max(attempt * 1000000000000 + sequence) AS newest
  FROM run_metrics m GROUP BY run_id, key;
CREATE VIEW results AS SELECT id AS job_id, key, generation, stage, published_ms, attempts, wall_ms,
  cpu_ms, peak_rss_bytes, key_document FROM job WHERE published_ms IS NOT NULL;
CREATE VIEW outputs AS SELECT job.key, job.generation, job.stage, port, path, size, sha256
  FROM result_file JOIN job ON job.id = result_file.job_id WHERE published_ms IS NOT NULL;
)";

int version_of(Database& db) {
  Statement statement(db, "PRAGMA user_version");
  statement.step();
  return static_cast<int>(statement.integer(0));
}

}  // namespace

void migrate(Database& db) {
  if (version_of(db) == kVersion) return;
  Transaction transaction(db);  // Whoever else opens the new file waits here, then finds it done.
  const int version = version_of(db);
  if (version > kVersion) {
    throw Error(fmt::format("{} was written by a newer cifarpipe (database version {}, this one "
                            "knows {}); use the newer one",
                            db.file().string(), version, kVersion),
                ErrorKind::environment);
  }
  if (version < 1) db.execute(kVersion1);
  db.execute(fmt::format("PRAGMA user_version = {}", kVersion).c_str());
  transaction.commit();
}

}  // namespace cifarpipe
