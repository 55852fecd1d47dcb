#include "tracking/migrations.hpp"

#include <fmt/format.h>

#include <iterator>

#include "pipeline/error.hpp"
#include "tracking/views.hpp"

namespace cifarpipe {
namespace {

// Points are plain rows: no compression, nothing to unpack. kind: 0 finite, 1 NaN, 2 inf, 3 -inf;
// value is NULL unless finite, so that `value < x` never matches what is not a number. A point
// logged again (equal in everything) is kept once. What lists show of a metric is kept beside its
// points, in the same transaction, since a list may show thousands of runs.
constexpr const char* kVersion1 = R"(
CREATE TABLE run (
  number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT NOT NULL, experiment TEXT NOT NULL,
  parent_id TEXT NOT NULL, cell TEXT, identity TEXT NOT NULL, forced TEXT NOT NULL,
  folder TEXT NOT NULL, command TEXT NOT NULL, note TEXT NOT NULL, status TEXT NOT NULL,
  attempt INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER, message TEXT NOT NULL,
  deleted_ms INTEGER) STRICT;
CREATE INDEX run_by_identity ON run (identity, forced);
CREATE INDEX run_by_name ON run (name);
CREATE INDEX run_by_parent ON run (parent_id, number);
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
CREATE UNIQUE INDEX point_once ON point (job_id, metric_id, step, time_ms, kind,
  coalesce(value, 0)) WHERE superseded = 0;
CREATE TABLE metric_summary (job_id INTEGER NOT NULL, metric_id INTEGER NOT NULL,
  points INTEGER NOT NULL, last REAL, last_kind INTEGER NOT NULL, last_step INTEGER NOT NULL,
  last_time_ms INTEGER NOT NULL, minimum REAL, maximum REAL,
  PRIMARY KEY (job_id, metric_id)) STRICT, WITHOUT ROWID;
CREATE TABLE ring (name TEXT PRIMARY KEY, drained INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE file_digest (path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  inode INTEGER NOT NULL, sha256 TEXT NOT NULL) STRICT, WITHOUT ROWID;
)";

// The mirror: which servers there are, and what each has acknowledged of each run
// (mirror_ledger.hpp). The index finds what a resumed attempt made again, which is rare.
constexpr const char* kVersion2 = R"(
CREATE TABLE mirror_server (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
  uri TEXT NOT NULL UNIQUE, version TEXT NOT NULL, first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL) STRICT;
CREATE TABLE mirror_run (server INTEGER NOT NULL, run_id TEXT NOT NULL, state TEXT NOT NULL,
  experiment_id TEXT NOT NULL, remote_id TEXT NOT NULL, head TEXT NOT NULL, content TEXT NOT NULL,
  deleted INTEGER NOT NULL, doubtful_ms INTEGER, PRIMARY KEY (server, run_id)) STRICT, WITHOUT ROWID;
CREATE TABLE mirror_item (server INTEGER NOT NULL, run_id TEXT NOT NULL, kind TEXT NOT NULL,
  name TEXT NOT NULL, digest TEXT NOT NULL,
  PRIMARY KEY (server, run_id, kind, name)) STRICT, WITHOUT ROWID;
CREATE TABLE mirror_stage (server INTEGER NOT NULL, run_id TEXT NOT NULL, stage TEXT NOT NULL,
  job_id INTEGER NOT NULL, turn INTEGER NOT NULL, attempt INTEGER NOT NULL,
  sequence INTEGER NOT NULL, newest INTEGER NOT NULL,
  PRIMARY KEY (server, run_id, stage, job_id)) STRICT, WITHOUT ROWID;
CREATE TABLE mirror_held (server INTEGER NOT NULL, run_id TEXT NOT NULL, stage TEXT NOT NULL,
  job_id INTEGER NOT NULL, attempt INTEGER NOT NULL, sequence INTEGER NOT NULL,
  PRIMARY KEY (server, run_id, stage, job_id, attempt, sequence)) STRICT, WITHOUT ROWID;
CREATE TABLE mirror_parked (server INTEGER NOT NULL, run_id TEXT NOT NULL, item TEXT NOT NULL,
  digest TEXT NOT NULL, reason TEXT NOT NULL, way_out TEXT NOT NULL, time_ms INTEGER NOT NULL,
  PRIMARY KEY (server, run_id, item)) STRICT, WITHOUT ROWID;
CREATE INDEX point_again ON point (job_id, metric_id, step) WHERE superseded = 1;
)";

// System metrics: points of a run itself, of which none is ever superseded, and their summaries.
constexpr const char* kVersion3 = R"(
CREATE TABLE run_point (run_id TEXT NOT NULL, metric_id INTEGER NOT NULL, step INTEGER NOT NULL,
  time_ms INTEGER NOT NULL, value REAL, kind INTEGER NOT NULL,
  PRIMARY KEY (run_id, metric_id, step)) STRICT, WITHOUT ROWID;
CREATE TABLE run_point_summary (run_id TEXT NOT NULL, metric_id INTEGER NOT NULL,
  points INTEGER NOT NULL, last REAL, last_kind INTEGER NOT NULL, last_step INTEGER NOT NULL,
  last_time_ms INTEGER NOT NULL, minimum REAL, maximum REAL,
  PRIMARY KEY (run_id, metric_id)) STRICT, WITHOUT ROWID;
)";

// How long a run was worked on. Of one that went on before this version the pauses are not known.
constexpr const char* kVersion4 = R"(
ALTER TABLE run ADD COLUMN worked_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE run ADD COLUMN working_since_ms INTEGER;
UPDATE run SET worked_ms = max(0, end_ms - start_ms) WHERE end_ms IS NOT NULL;
UPDATE run SET working_since_ms = start_ms WHERE end_ms IS NULL;
)";

// A version is the number of steps, of which there is one more also when only a view changes.
constexpr const char* kSteps[] = {kVersion1, kVersion2, kVersion3, kVersion4};
constexpr int kVersion = static_cast<int>(std::size(kSteps));

int version_of(const Database& db) {
  Statement statement(db, "PRAGMA user_version");
  statement.step();
  return static_cast<int>(statement.integer(0));
}

void refuse_newer(const Database& db, int version) {
  if (version <= kVersion) return;
  throw Error(fmt::format("{} was written by a newer cifarpipe (database version {}, this one "
                          "knows {}); use the newer one",
                          db.file().string(), version, kVersion),
              ErrorKind::environment);
}

}  // namespace

void require_not_newer(const Database& db) {
  refuse_newer(db, version_of(db));
}

void require_this_version(const Database& db) {
  const int version = version_of(db);
  refuse_newer(db, version);
  if (version == kVersion) return;
  throw Error(fmt::format("{} was written by an older cifarpipe (database version {}, this one "
                          "knows {}) and cannot be written here; it is brought up to date when "
                          "somebody who may write it calls `cifarpipe runs list`",
                          db.file().string(), version, kVersion),
              ErrorKind::environment);
}

void migrate(Database& db) {
  if (version_of(db) == kVersion) return;
  Transaction transaction(db);  // Whoever else opens the new file waits here, then finds it done.
  const int version = version_of(db);
  refuse_newer(db, version);
  if (version < 1) {
    Statement tables(db, "SELECT count(*) FROM sqlite_master");
    tables.step();
    if (tables.integer(0) > 0) {
      throw Error(fmt::format("{} is a database, but not one of cifarpipe; move it away",
                              db.file().string()),
                  ErrorKind::environment);
    }
    tables.reset();
  }
  for (int step = version; step < kVersion; ++step) db.execute(kSteps[step]);
  db.execute(kDropViews);
  db.execute(kViews);
  db.execute(fmt::format("PRAGMA user_version = {}", kVersion).c_str());
  transaction.commit();
}

void make_old_database(Database& db, int version) {
  for (int step = 0; step < version; ++step) db.execute(kSteps[step]);
  db.execute(fmt::format("PRAGMA user_version = {}", version).c_str());
}

}  // namespace cifarpipe
