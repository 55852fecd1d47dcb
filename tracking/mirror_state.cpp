// What can be said about a run and a server from the store alone.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/digest.hpp"
#include "tracking/mirror.hpp"
#include "tracking/mirror_rules.hpp"
#include "tracking/mlflow/names.hpp"

namespace cifarpipe {
namespace {

/// Every row of a query, in one text of which no two contents have the same.
std::string rows_text(Database& db, const char* sql, const std::string& run_id) {
  Statement rows(db, sql);
  std::string out;
  rows.with(run_id);
  while (rows.step()) {
    const std::string row = rows.text(0);
    out += fmt::format("{}:{}\n", row.size(), row);
  }
  return out;
}

/// What a server can do, as far as its version tells. Not yet seen: a new one.
mlflow::Server remembered_server(const MirrorLedger& ledger) {
  mlflow::Server server;
  server.version = ledger.version();
  const bool unknown = server.version.empty();
  server.logged_models = unknown || mlflow::version_at_least(server.version, 3, 0);
  server.step_images = unknown || mlflow::version_at_least(server.version, 2, 15);
  server.tag_length = unknown || mlflow::version_at_least(server.version, 2, 17) ? 8000 : 5000;
  server.colons_in_keys = unknown || mlflow::version_at_least(server.version, 2, 16);
  return server;
}

void count_files(MirrorLedger& ledger, const std::string& id, const RunContent& content,
                 MirrorCounts& counts) {
  const auto artifacts = mirror::timeless(ledger.items(id, "artifact"));
  for (const Upload& upload : content.artifacts) {
    const auto known = artifacts.find(mirror::timeless(upload.path));
    const bool there = known != artifacts.end() && known->second == upload.digest;
    if (!there && !ledger.is_parked(id, "artifact " + upload.path, upload.digest)) {
      ++counts.artifacts;
    }
  }
  for (const ModelContent& model : content.models) {
    const std::string digest = mirror::digest_of(model);
    if (ledger.item(id, "model", model.uid) != digest &&
        !ledger.is_parked(id, "model " + model.name, digest)) {
      ++counts.models;
    }
  }
}

}  // namespace

std::string content_state(Database& db, const RunRow& run, const MirrorLedger& ledger) {
  const std::string& id = run.record.id;
  std::string text = ledger.version() + "\n";
  text += rows_text(db,
                    "SELECT json_array(name, status, attempt, end_ms, note, message, deleted_ms) "
                    "FROM run WHERE id = ?",
                    id);
  text +=
      rows_text(db, "SELECT json_array(key, value) FROM run_tag WHERE run_id = ? ORDER BY key", id);
  text += rows_text(db, "SELECT json_array(key, value) FROM run_fact WHERE run_id = ? ORDER BY key",
                    id);
  text += rows_text(db,
                    "SELECT json_array(name, action, status, key, generation) FROM run_stage "
                    "WHERE run_id = ? ORDER BY name",
                    id);
  // A parent shows what became of its children.
  text += rows_text(db,
                    "SELECT json_array(status, count(*), max(end_ms)) FROM run "
                    "WHERE parent_id = ? AND deleted_ms IS NULL GROUP BY status ORDER BY status",
                    id);
  Statement parent(db, "SELECT remote_id FROM mirror_run WHERE server = ? AND run_id = ?");
  if (parent.with(ledger.server(), run.record.parent_id).step()) text += parent.text(0);
  return mirror::digest_of(text);
}

std::string head_digest(const RunRow& run) {
  return mirror::digest_of(
      mlflow::Pairs{{std::string(to_string(run.record.status)), std::to_string(run.record.end_ms)},
                    {"name", run.record.name}});
}

MirrorCounts unsent_of(Database& db, const Store& store, const std::string& uri,
                       const std::vector<std::string>& runs, bool with_files) {
  MirrorLedger ledger(db, uri);
  MirrorPoints points(db, store, ledger);
  RunQueries queries(db);
  const mlflow::Server server = remembered_server(ledger);
  MirrorCounts counts;
  for (const std::string& id : runs) {
    const RunRow run = queries.run(id);
    const auto row = ledger.run(id);
    if (run.deleted) {
      counts.runs += row && !row->remote_id.empty() && !row->deleted ? 1 : 0;
      continue;
    }
    std::int64_t of_run = points.unsent_system(id);
    for (const PointSource& source : points.sources(run.record)) {
      of_run += points.unsent(id, source);
    }
    counts.points += of_run;
    const bool same = row && !row->remote_id.empty() && !row->deleted &&
                      row->content == content_state(db, run, ledger);
    if (!same && with_files) {
      RunContent content = content_of(queries, run, store, server);
      mirror::fit(content, server);
      count_files(ledger, id, content, counts);
    }
    if (of_run > 0 || !same || row->head != head_digest(run)) ++counts.runs;
  }
  return counts;
}

}  // namespace cifarpipe
