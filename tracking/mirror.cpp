#include "tracking/mirror.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "pipeline/digest.hpp"
#include "pipeline/error.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/mirror_rules.hpp"
#include "tracking/mlflow/names.hpp"

namespace cifarpipe {

using mlflow::CallError;
using mlflow::Failure;
using mlflow::RemoteRun;

namespace {

constexpr int kFailingInARow = 3;

// Tags that the server makes from other things that are sent.
bool is_made_there(const std::string& key) {
  return key == "mlflow.runName" || key == "mlflow.parentRunId";
}

}  // namespace

std::string counts_text(const MirrorCounts& counts) {
  std::vector<std::string> parts;
  const auto add = [&](std::int64_t n, std::string_view what) {
    if (n > 0) parts.push_back(fmt::format("{} {}{}", n, what, n == 1 ? "" : "s"));
  };
  add(counts.runs, "run");
  add(counts.points, "point");
  add(counts.artifacts, "artifact");
  add(counts.models, "model");
  return parts.empty() ? "nothing" : fmt::format("{}", fmt::join(parts, ", "));
}

Mirror::Mirror(Database& db, const Store& store, mlflow::Client& client, MirrorOptions options)
    : db_(db),
      store_(store),
      client_(client),
      options_(std::move(options)),
      queries_(db),
      ledger_(db, client.settings().uri),
      points_(db, store, ledger_) {}

void Mirror::forget_answers() {
  remotes_.clear();
  experiments_.clear();
}

bool Mirror::has_ended(const std::string& run_id) {
  const RunRecord run = queries_.run(run_id).record;
  return run.status != RunStatus::running && points_.all_may_go(run);
}

void Mirror::connect() {
  const mlflow::Server& server = client_.server();
  if (!connected_) ledger_.seen(server.version, now_ms());
  connected_ = true;
}

std::optional<Lock> Mirror::lock(const std::string& name) {
  const auto file = store_.root() / "store/locks" / fmt::format("mlflow-{}.lock", name);
  const auto end = std::chrono::steady_clock::now() + options_.wait;
  for (;;) {
    if (auto lock = Lock::try_lock(file)) return lock;
    if (client_.stopped() || std::chrono::steady_clock::now() >= end) return std::nullopt;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

bool Mirror::bring(const std::string& run_id) {
  connect();
  const RunRow run = queries_.run(run_id);
  // A child needs to know its parent's id there.
  const std::string& parent = run.record.parent_id;
  if (!parent.empty() && !run.deleted) {
    const auto row = ledger_.run(parent);
    if ((!row || row->remote_id.empty()) && !bring(parent)) return false;
  }
  const auto held = lock(fmt::format("{}-{}", ledger_.server(), run_id));
  if (!held) return false;
  if (!options_.retry_parked && ledger_.is_parked(run_id, mirror::kTheRun, "")) return true;
  constexpr int kTurns = 3;
  for (int turn = 1;; ++turn) {
    try {
      bring_locked(run);
      return true;
    } catch (const Busy&) {
      return false;
    } catch (const Gone&) {
      remotes_.erase(run_id);
      experiments_.clear();
      ledger_.forget(run_id);
      if (turn < kTurns) continue;
      refused(run_id, mirror::kTheRun, "", "it vanishes from the server as soon as it is made",
              "ask who keeps that server");
      return true;
    } catch (const CallError& error) {
      if (error.failure() != Failure::refused && error.failure() != Failure::missing) throw;
      refused(run_id, mirror::kTheRun, "", error.what(), mirror::way_out(mirror::kTheRun, error));
      return true;
    } catch (const DeletedThere&) {
      remotes_.erase(run_id);
      refused(run_id, mirror::kTheRun, "", "it was deleted in MLflow, but not here",
              fmt::format("restore it there, or `cifarpipe runs delete {}`", run.record.name));
      return true;
    }
  }
}

void Mirror::bring_locked(const RunRow& run) {
  const std::string& id = run.record.id;
  if (run.deleted) return bring_deleted(run);
  std::optional<RunContent> content;
  const RemoteRun* remote = find_remote(run);
  if (remote == nullptr) {
    content = content_of(queries_, run, store_, client_.server());
    remote = create_remote(run, *content);
    if (remote == nullptr) return;
  }
  if (remote->deleted) {
    const auto row = ledger_.run(id);
    if (!row || !row->deleted) throw DeletedThere();
    client_.restore_run(remote->id);
    ledger_.set_deleted(id, false);
    remotes_.at(id).deleted = false;
    sent(id);
  }
  if (ledger_.run(id)->deleted) ledger_.set_deleted(id, false);  // Someone else restored it there.
  const std::vector<Parked> parked = ledger_.parked(id);
  const bool again = options_.retry_parked && !parked.empty();
  for (const Parked& p : parked) {
    if (p.item == mirror::kTheRun) ledger_.unpark(id, p.item);
  }
  const std::string state = content_state(db_, run, ledger_);
  const bool all = options_.thorough || again || ledger_.run(id)->content != state;
  if (!all) {
    send_points(run);
    send_head(run, *remote);
    return;
  }
  if (!content) content = content_of(queries_, run, store_, client_.server());
  send_all(run, *remote, *content);
  ledger_.set_content(id, state);
}

void Mirror::send_all(const RunRow& run, const RemoteRun& remote, RunContent& content) {
  const std::string& id = run.record.id;
  tag_experiment(run, content, remote.experiment_id);
  mirror::set_tag(content.tags, mirror::kUidTag, id);
  for (const auto& tag : parent_tags(run, remote.experiment_id)) {
    mirror::set_tag(content.tags, tag.first, tag.second);
  }
  for (const std::string& sentence : mirror::fit(content, client_.server())) {
    const std::string digest = mirror::digest_of(sentence);
    if (ledger_.item(id, "said", digest)) continue;
    notices_.push_back(fmt::format("{}: {}", run.record.name, sentence));
    ledger_.put_item(id, "said", digest, "");
  }
  mirror::keep_logged(content.tags, remote.tags, ledger_.items(id, "artifact"));
  send_params(run, remote, content);
  send_tags(run, remote, content);
  send_inputs(run, remote, content);
  // Before what takes long: a run that has ended must not look as if it went on.
  send_points(run);
  send_head(run, remote);
  send_artifacts(run, remote, content);
  send_models(run, remote, content);
}

void Mirror::send_params(const RunRow& run, const RemoteRun& remote, RunContent& content) {
  const std::string& id = run.record.id;
  const auto there = ledger_.items(id, "param");
  mlflow::Pairs fresh;
  for (const auto& param : content.params) {
    const auto known = there.find(param.first);
    const std::string digest = mirror::digest_of(param.second);
    if (known == there.end()) {
      fresh.push_back(param);
    } else if (known->second != digest) {
      const std::string* old = mirror::find_tag(remote.params, param.first);
      const CallError error(
          Failure::refused, 0, "",
          fmt::format("it is '{}' now; MLflow keeps the first value{}", param.second,
                      old != nullptr ? fmt::format(", '{}'", *old) : ""));
      const std::string item = "parameter " + param.first;
      refused(id, item, digest, error.what(), mirror::way_out(item, error));
    } else {
      ledger_.unpark(id, "parameter " + param.first);
    }
  }
  if (fresh.empty()) return;
  const auto keep = [&](const mlflow::Pairs& params) {
    Transaction transaction = ledger_.transaction();
    for (const auto& p : params) {
      ledger_.put_item(id, "param", p.first, mirror::digest_of(p.second));
    }
    transaction.commit();
    sent(id);
  };
  const bool none_parked = std::none_of(fresh.begin(), fresh.end(), [&](const auto& p) {
    return ledger_.is_parked(id, "parameter " + p.first, mirror::digest_of(p.second));
  });
  try {
    if (none_parked) {
      client_.log_batch(remote.id, {}, fresh);
      return keep(fresh);
    }
  } catch (const CallError& error) {
    if (error.failure() != Failure::refused && error.failure() != Failure::missing) throw;
    check_there(id);
  }
  // One that is refused takes its whole request with it, so each goes alone.
  for (const auto& param : fresh) {
    if (guarded(id, "parameter " + param.first, mirror::digest_of(param.second),
                [&] { client_.log_batch(remote.id, {}, {param}); })) {
      keep({param});
    }
  }
}

void Mirror::send_tags(const RunRow& run, const RemoteRun& remote, RunContent& content) {
  const std::string& id = run.record.id;
  const auto there = ledger_.items(id, "tag");
  mlflow::Pairs changed;
  std::map<std::string, std::string> gone = there;
  for (const auto& tag : content.tags) {
    gone.erase(tag.first);
    const auto known = there.find(tag.first);
    const bool same = known != there.end() && known->second == mirror::digest_of(tag.second);
    if (!same && tag.first != "mlflow.runName") changed.push_back(tag);
  }
  if (!changed.empty() && guarded(id, "tags", mirror::digest_of(changed),
                                  [&] { client_.log_batch(remote.id, {}, {}, changed); })) {
    Transaction transaction = ledger_.transaction();
    for (const auto& t : changed) ledger_.put_item(id, "tag", t.first, mirror::digest_of(t.second));
    transaction.commit();
    sent(id);
  }
  for (const auto& tag : gone) {
    if (is_made_there(tag.first)) continue;
    if (guarded(id, "tag " + tag.first, "gone",
                [&] { client_.delete_tag(remote.id, tag.first); })) {
      ledger_.drop_item(id, "tag", tag.first);
      sent(id);
    }
  }
}

void Mirror::send_inputs(const RunRow& run, const RemoteRun& remote, const RunContent& content) {
  const std::string& id = run.record.id;
  const auto there = ledger_.items(id, "dataset");
  for (const mlflow::DatasetInput& dataset : content.datasets) {
    const std::string name = mirror::name_of(dataset);
    const std::string digest = mirror::digest_of(dataset);
    const auto known = there.find(name);
    if (known != there.end() && known->second == digest) continue;
    if (guarded(id, "dataset " + dataset.name, digest,
                [&] { client_.log_inputs(remote.id, {dataset}); })) {
      ledger_.put_item(id, "dataset", name, digest);
      sent(id);
    }
  }
}

void Mirror::send_head(const RunRow& run, const RemoteRun& remote) {
  const std::string& id = run.record.id;
  const std::string digest = head_digest(run);
  if (ledger_.run(id)->head == digest) return;
  std::optional<std::int64_t> end;
  if (run.record.status != RunStatus::running) end = run.record.end_ms;
  const std::string name =
      ledger_.item(id, "adopted", "name").value_or(mirror::run_name(run.record.name));
  if (guarded(id, "status and name", digest, [&] {
        client_.update_run(remote.id, std::string(to_string(run.record.status)), end, name);
      })) {
    ledger_.set_head(id, digest);
    sent(id);
  }
}

void Mirror::send_artifacts(const RunRow& run, const RemoteRun& remote, const RunContent& content) {
  const std::string& id = run.record.id;
  const auto there = mirror::timeless(ledger_.items(id, "artifact"));
  for (const Upload& upload : content.artifacts) {
    const auto known = there.find(mirror::timeless(upload.path));
    if (known != there.end() && known->second == upload.digest) continue;
    if (guarded(id, "artifact " + upload.path, upload.digest,
                [&] { put(remote, upload.path, upload); })) {
      ledger_.put_item(id, "artifact", upload.path, upload.digest);
      ++counts_.artifacts;
      sent(id);
    }
  }
}

void Mirror::put(const RemoteRun& remote, const std::string& path, const Upload& upload) {
  if (upload.file.empty()) return client_.put_artifact_text(remote, path, upload.text);
  if (upload.shrink_to > 0) {
    // Step 0 and the first step show one picture, which is drawn once.
    if (drawn_.digest != upload.digest) drawn_ = {upload.digest, thumbnail_of(upload)};
    if (drawn_.thumbnail) return client_.put_artifact_text(remote, path, *drawn_.thumbnail);
  }
  client_.put_artifact(remote, path, upload.file);
}

bool Mirror::guarded(const std::string& run_id, const std::string& item, const std::string& digest,
                     const std::function<void()>& calls) {
  if (!options_.retry_parked && ledger_.is_parked(run_id, item, digest)) return false;
  try {
    calls();
    failing_ = 0;
    ledger_.unpark(run_id, item);
    return true;
  } catch (const CallError& error) {
    const bool is_run = item == mirror::kTheRun;
    switch (error.failure()) {
      case Failure::unreachable:
        // The rest may go nevertheless; unless this server fails whatever it is asked.
        if (!error.of_one_call() || is_run || ++failing_ >= kFailingInARow) throw;
        put_off_ = true;
        break;
      case Failure::denied:
      case Failure::stopped:
        throw;
      case Failure::unsupported:
        if (is_run) throw;  // No MLflow at all.
        break;
      case Failure::refused:
      case Failure::missing:
        if (!is_run) check_there(run_id);
    }
    refused(run_id, item, digest, error.what(), mirror::way_out(item, error));
  } catch (const Error& error) {  // A file of the store that is not there any more, say.
    refused(run_id, item, digest, error.what(), "");
  }
  return false;
}

void Mirror::refused(const std::string& run_id, const std::string& item, const std::string& digest,
                     const std::string& reason, const std::string& way_out) {
  ledger_.park(run_id, item, digest, reason, way_out, now_ms());
}

void Mirror::put_off(const std::string& run_id, const CallError& error) {
  put_off_ = true;
  refused(run_id, mirror::kTheRun, "", error.what(), mirror::way_out(mirror::kTheRun, error));
}

void Mirror::sent(const std::string& run_id) {
  if (counted_run_ != run_id) ++counts_.runs;
  counted_run_ = run_id;
  if (options_.progress) options_.progress(counts_);
}

std::string Mirror::fact(const std::string& run_id, const std::string& key) {
  Statement find(db_, "SELECT value FROM run_fact WHERE run_id = ? AND key = ?");
  return find.with(run_id, key).step() ? find.text(0) : "";
}

}  // namespace cifarpipe
