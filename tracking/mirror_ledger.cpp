#include "tracking/mirror_ledger.hpp"

#include "pipeline/random_id.hpp"

namespace cifarpipe {

MirrorLedger::MirrorLedger(Database& db, std::string uri) : db_(db), uri_(std::move(uri)) {
  Statement find(db_, "SELECT number, version FROM mirror_server WHERE uri = ?");
  if (!find.with(uri_).step()) return;
  server_ = find.integer(0);
  version_ = find.text(1);
}

Statement& MirrorLedger::prepared(const char* sql) {
  const auto found = statements_.find(sql);
  if (found != statements_.end()) return found->second;
  return statements_.emplace(sql, Statement(db_, sql)).first->second;
}

void MirrorLedger::seen(const std::string& version, std::int64_t now_ms) {
  Transaction transaction(db_);
  prepared(
      "INSERT INTO mirror_server (id, uri, version, first_ms, last_ms) VALUES (?1, ?2, ?3, ?4, ?4) "
      "ON CONFLICT (uri) DO UPDATE SET version = excluded.version, last_ms = excluded.last_ms")
      .with(random_id(), uri_, version, now_ms)
      .run();
  Statement& find = prepared("SELECT number FROM mirror_server WHERE uri = ?");
  find.with(uri_).step();
  server_ = find.integer(0);
  find.reset();
  transaction.commit();
  version_ = version;
}

// Runs.

std::optional<MirroredRun> MirrorLedger::run(const std::string& run_id) {
  Statement& find = prepared(
      "SELECT state, experiment_id, remote_id, head, content, deleted, doubtful_ms "
      "FROM mirror_run WHERE server = ? AND run_id = ?");
  std::optional<MirroredRun> run;
  if (find.with(server_, run_id).step()) {
    run = MirroredRun{find.text(0) == "creating",
                      find.text(1),
                      find.text(2),
                      find.text(3),
                      find.text(4),
                      find.integer(5) != 0,
                      {}};
    if (!find.is_null(6)) run->doubtful_ms = find.integer(6);
  }
  find.reset();
  return run;
}

void MirrorLedger::begin_create(const std::string& run_id, const std::string& experiment_id) {
  prepared(
      "INSERT INTO mirror_run VALUES (?, ?, 'creating', ?, '', '', '', 0, NULL) "
      "ON CONFLICT DO UPDATE SET state = 'creating', experiment_id = excluded.experiment_id")
      .with(server_, run_id, experiment_id)
      .run();
}

void MirrorLedger::doubt(const std::string& run_id, std::optional<std::int64_t> since_ms) {
  prepared("UPDATE mirror_run SET doubtful_ms = ? WHERE server = ? AND run_id = ?")
      .with(since_ms, server_, run_id)
      .run();
}

void MirrorLedger::created(const std::string& run_id, const std::string& remote_id) {
  prepared(
      "UPDATE mirror_run SET state = 'there', remote_id = ?, head = '', content = '', deleted = 0 "
      "WHERE server = ? AND run_id = ?")
      .with(remote_id, server_, run_id)
      .run();
}

void MirrorLedger::set_head(const std::string& run_id, const std::string& digest) {
  prepared("UPDATE mirror_run SET head = ? WHERE server = ? AND run_id = ?")
      .with(digest, server_, run_id)
      .run();
}

void MirrorLedger::set_content(const std::string& run_id, const std::string& digest) {
  prepared("UPDATE mirror_run SET content = ? WHERE server = ? AND run_id = ?")
      .with(digest, server_, run_id)
      .run();
}

void MirrorLedger::set_deleted(const std::string& run_id, bool deleted) {
  prepared("UPDATE mirror_run SET deleted = ? WHERE server = ? AND run_id = ?")
      .with(deleted ? 1 : 0, server_, run_id)
      .run();
}

void MirrorLedger::forget(const std::string& run_id) {
  Transaction transaction(db_);
  for (const char* sql : {"DELETE FROM mirror_run WHERE server = ? AND run_id = ?",
                          "DELETE FROM mirror_item WHERE server = ? AND run_id = ?",
                          "DELETE FROM mirror_parked WHERE server = ? AND run_id = ?"}) {
    prepared(sql).with(server_, run_id).run();
  }
  forget_marks(run_id);
  transaction.commit();
}

// Items.

std::map<std::string, std::string> MirrorLedger::items(const std::string& run_id,
                                                       const char* kind) {
  Statement& rows =
      prepared("SELECT name, digest FROM mirror_item WHERE server = ? AND run_id = ? AND kind = ?");
  std::map<std::string, std::string> out;
  rows.with(server_, run_id, kind);
  while (rows.step()) out.emplace(rows.text(0), rows.text(1));
  rows.reset();
  return out;
}

std::optional<std::string> MirrorLedger::item(const std::string& run_id, const char* kind,
                                              const std::string& name) {
  Statement& find = prepared(
      "SELECT digest FROM mirror_item WHERE server = ? AND run_id = ? AND kind = ? AND name = ?");
  std::optional<std::string> digest;
  if (find.with(server_, run_id, kind, name).step()) digest = find.text(0);
  find.reset();
  return digest;
}

void MirrorLedger::put_item(const std::string& run_id, const char* kind, const std::string& name,
                            const std::string& digest) {
  prepared("INSERT OR REPLACE INTO mirror_item VALUES (?, ?, ?, ?, ?)")
      .with(server_, run_id, kind, name, digest)
      .run();
}

void MirrorLedger::drop_item(const std::string& run_id, const char* kind, const std::string& name) {
  prepared("DELETE FROM mirror_item WHERE server = ? AND run_id = ? AND kind = ? AND name = ?")
      .with(server_, run_id, kind, name)
      .run();
}

// Points.

std::vector<StageMark> MirrorLedger::marks(const std::string& run_id, const std::string& stage) {
  Statement& rows = prepared(
      "SELECT job_id, attempt, sequence, newest FROM mirror_stage "
      "WHERE server = ? AND run_id = ? AND stage = ? ORDER BY turn");
  std::vector<StageMark> marks;
  rows.with(server_, run_id, stage);
  while (rows.step()) {
    marks.push_back({rows.integer(0), {rows.integer(1), rows.integer(2)}, rows.integer(3)});
  }
  rows.reset();
  return marks;
}

void MirrorLedger::set_mark(const std::string& run_id, const std::string& stage,
                            const StageMark& mark) {
  prepared(
      "INSERT INTO mirror_stage VALUES (?1, ?2, ?3, ?4, (SELECT count(*) FROM mirror_stage "
      "WHERE server = ?1 AND run_id = ?2 AND stage = ?3), ?5, ?6, ?7) ON CONFLICT DO UPDATE SET "
      "attempt = excluded.attempt, sequence = excluded.sequence, newest = excluded.newest")
      .with(server_, run_id, stage, mark.job, mark.place.attempt, mark.place.sequence, mark.newest)
      .run();
}

void MirrorLedger::forget_marks(const std::string& run_id) {
  for (const char* sql : {"DELETE FROM mirror_stage WHERE server = ? AND run_id = ?",
                          "DELETE FROM mirror_held WHERE server = ? AND run_id = ?"}) {
    prepared(sql).with(server_, run_id).run();
  }
}

std::vector<HeldPoint> MirrorLedger::held(const std::string& run_id) {
  Statement& rows = prepared(
      "SELECT stage, job_id, attempt, sequence FROM mirror_held WHERE server = ? AND run_id = ? "
      "ORDER BY stage, job_id, attempt, sequence");
  std::vector<HeldPoint> out;
  rows.with(server_, run_id);
  while (rows.step()) {
    out.push_back({rows.text(0), rows.integer(1), {rows.integer(2), rows.integer(3)}});
  }
  rows.reset();
  return out;
}

void MirrorLedger::hold(const std::string& run_id, const HeldPoint& point) {
  prepared("INSERT OR IGNORE INTO mirror_held VALUES (?, ?, ?, ?, ?, ?)")
      .with(server_, run_id, point.stage, point.job, point.place.attempt, point.place.sequence)
      .run();
}

void MirrorLedger::let_go(const std::string& run_id, const HeldPoint& point) {
  prepared(
      "DELETE FROM mirror_held WHERE server = ? AND run_id = ? AND stage = ? AND job_id = ? AND "
      "attempt = ? AND sequence = ?")
      .with(server_, run_id, point.stage, point.job, point.place.attempt, point.place.sequence)
      .run();
}

// What was refused.

void MirrorLedger::park(const std::string& run_id, const std::string& item,
                        const std::string& digest, const std::string& reason,
                        const std::string& way_out, std::int64_t now_ms) {
  prepared("INSERT OR REPLACE INTO mirror_parked VALUES (?, ?, ?, ?, ?, ?, ?)")
      .with(server_, run_id, item, digest, reason, way_out, now_ms)
      .run();
}

bool MirrorLedger::is_parked(const std::string& run_id, const std::string& item,
                             const std::string& digest) {
  Statement& find = prepared(
      "SELECT 1 FROM mirror_parked WHERE server = ? AND run_id = ? AND item = ? AND digest = ?");
  const bool parked = find.with(server_, run_id, item, digest).step();
  find.reset();
  return parked;
}

void MirrorLedger::unpark(const std::string& run_id, const std::string& item) {
  prepared("DELETE FROM mirror_parked WHERE server = ? AND run_id = ? AND item = ?")
      .with(server_, run_id, item)
      .run();
}

std::vector<Parked> MirrorLedger::parked(const std::string& run_id) {
  Statement& rows = prepared(
      "SELECT run_id, coalesce(name, run_id), item, reason, way_out, time_ms FROM mirror_parked "
      "LEFT JOIN run ON run.id = run_id WHERE server = ? AND run_id = ? ORDER BY item");
  std::vector<Parked> out;
  rows.with(server_, run_id);
  while (rows.step()) {
    out.push_back(
        {rows.text(0), rows.text(1), rows.text(2), rows.text(3), rows.text(4), rows.integer(5)});
  }
  rows.reset();
  return out;
}

}  // namespace cifarpipe
