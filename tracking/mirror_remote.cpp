// The run itself on the server: found again, made once, with its experiment and its parent.
#include <fmt/format.h>

#include "pipeline/error.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/mirror.hpp"
#include "tracking/mirror_rules.hpp"
#include "tracking/mlflow/names.hpp"

namespace cifarpipe {

using mirror::kUidTag;
using mlflow::CallError;
using mlflow::Failure;
using mlflow::RemoteRun;

namespace {

constexpr int kCreateTries = 3;
// A create whose answer was lost may still take place: as long as a server may work on a request.
constexpr std::int64_t kDoubtMs = 10 * 60 * 1000;

bool is_ours(const RemoteRun& remote, const std::string& run_id) {
  const std::string* uid = mirror::find_tag(remote.tags, kUidTag);
  return uid != nullptr && *uid == run_id;
}

}  // namespace

/// The run on the server, if it is known to be there, by the ledger and by its own uid.
const RemoteRun* Mirror::find_remote(const RunRow& run) {
  const std::string& id = run.record.id;
  const auto seen = remotes_.find(id);
  if (seen != remotes_.end()) return &seen->second;
  const auto row = ledger_.run(id);
  if (!row || row->remote_id.empty()) return adopt_remote(run);
  auto there = client_.run(row->remote_id);
  if (!there || !is_ours(*there, id)) {
    // The server came up empty, or another one answers at its address: all of it again.
    ledger_.forget(id);
    experiments_.clear();
    return adopt_remote(run);
  }
  if (row->doubtful_ms) {
    remove_doubles(id, row->experiment_id, row->remote_id);
    if (now_ms() - *row->doubtful_ms > kDoubtMs) ledger_.doubt(id, std::nullopt);
  }
  return &remotes_.insert_or_assign(id, std::move(*there)).first->second;
}

/// MLFLOW_RUN_ID: whoever started this command has made a run for it.
const RemoteRun* Mirror::adopt_remote(const RunRow& run) {
  const std::string& id = run.record.id;
  if (options_.adopt_run != id || options_.adopt_remote.empty()) return nullptr;
  auto there = client_.run(options_.adopt_remote);
  const std::string* uid = there ? mirror::find_tag(there->tags, kUidTag) : nullptr;
  if (!there || there->deleted || (uid != nullptr && *uid != id)) {
    notices_.push_back(fmt::format("MLFLOW_RUN_ID names a run that {}; {} gets a run of its own",
                                   !there           ? "the server does not have"
                                   : there->deleted ? "is deleted"
                                                    : "another run of cifarpipe went into",
                                   run.record.name));
    options_.adopt_remote.clear();
    return nullptr;
  }
  ledger_.begin_create(id, there->experiment_id);
  client_.log_batch(there->id, {}, {}, {{kUidTag, id}});
  ledger_.created(id, there->id);
  ledger_.put_item(id, "adopted", "name", there->name);
  mirror::set_tag(there->tags, kUidTag, id);
  return &remotes_.insert_or_assign(id, std::move(*there)).first->second;
}

std::string Mirror::experiment_of(const RunRow& run, const RunContent& content) {
  const std::string& id = run.record.id;
  const mlflow::Settings& settings = client_.settings();
  // What the run's own command was told counts, also when another command sends it later.
  std::string name = fact(id, "mlflow.experiment");
  std::string number =
      fact(id, "mlflow.uri") == settings.uri ? fact(id, "mlflow.experiment_id") : "";
  if (name.empty() && number.empty()) {
    name = settings.experiment;
    number = settings.experiment_id;
  }
  // A number that the server does not have is overruled by whoever sends the run now.
  if (!number.empty() && ledger_.is_parked(id, mirror::kTheRun, "")) {
    name = settings.experiment;
    if (!settings.experiment_id.empty()) number = settings.experiment_id;
  }
  if (name.empty() && !number.empty()) return number;
  if (name.empty()) name = content.experiment;
  const auto known = experiments_.find(name);
  if (known != experiments_.end()) return known->second;
  const auto tags = mlflow::fit_experiment_tags(content.experiment_tags, client_.server()).pairs;
  std::string experiment = client_.experiment(name, tags);
  experiments_.emplace(name, experiment);
  return experiment;
}

/// An experiment's description and view are those of its newest run.
void Mirror::tag_experiment(const RunRow& run, const RunContent& content,
                            const std::string& experiment) {
  const auto tags = mlflow::fit_experiment_tags(content.experiment_tags, client_.server()).pairs;
  if (tags.empty()) return;
  // Times as text of equal length, so that they compare as numbers do.
  const std::string digest = fmt::format("{:020} {}", run.record.start_ms, mirror::digest_of(tags));
  const std::string before = ledger_.item("", "experiment", experiment).value_or("");
  const bool same_tags =
      !before.empty() && before.substr(before.find(' ')) == digest.substr(digest.find(' '));
  if (same_tags || (!before.empty() && before.substr(0, 20) > digest.substr(0, 20))) return;
  if (guarded(run.record.id, "the experiment's description", digest,
              [&] { client_.tag_experiment(experiment, tags); })) {
    ledger_.put_item("", "experiment", experiment, digest);
  }
}

mlflow::Pairs Mirror::parent_tags(const RunRow& run, const std::string& experiment) {
  const std::string& parent_id = run.record.parent_id;
  if (parent_id.empty()) return {};
  const auto parent = ledger_.run(parent_id);
  if (parent && !parent->remote_id.empty() && parent->experiment_id == experiment) {
    return {{"mlflow.parentRunId", parent->remote_id}};
  }
  try {
    return {{mirror::kParentTag, queries_.run(parent_id).record.name}};
  } catch (const Error&) {
    return {{mirror::kParentTag, parent_id}};
  }
}

void Mirror::remove_doubles(const std::string& run_id, const std::string& experiment,
                            const std::string& keep) {
  for (const RemoteRun& remote : client_.runs_with_tag(experiment, kUidTag, run_id)) {
    if (remote.id != keep) client_.delete_run(remote.id);
  }
}

RemoteRun Mirror::make_run(const RunRow& run, const RunContent& content, std::string& experiment) {
  const std::string& id = run.record.id;
  const auto make = [&] {
    mlflow::Pairs tags = {{kUidTag, id}};
    for (auto& tag : parent_tags(run, experiment)) tags.push_back(std::move(tag));
    return client_.create_run(experiment, mirror::run_name(content.name), run.record.start_ms,
                              tags);
  };
  try {
    return make();
  } catch (const CallError& error) {
    if (error.failure() != Failure::missing) throw;
    experiments_.clear();  // Of a server that has come up empty since.
    experiment = experiment_of(run, content);
    ledger_.begin_create(id, experiment);
    return make();
  }
}

/// Makes the run, once: that it is about to be made is written down first, and after an answer that
/// was lost, also by an earlier process, the server is asked whether it was made.
const RemoteRun* Mirror::create_remote(const RunRow& run, const RunContent& content) {
  const std::string& id = run.record.id;
  std::string experiment;
  if (!guarded(id, mirror::kTheRun, "", [&] { experiment = experiment_of(run, content); })) {
    return nullptr;
  }
  // The same server may be reached by another address at the same moment: then what is written down
  // of it does not help, and only one may look for the run and make it.
  const auto alone = lock("create-" + id);
  if (!alone) throw Busy();
  const auto before = ledger_.run(id);
  bool doubtful = before && before->creating;
  std::optional<RemoteRun> remote;
  for (int tries = 1; !remote; ++tries) {
    auto there = client_.runs_with_tag(experiment, kUidTag, id);
    if (!there.empty()) {
      remote = std::move(there.front());
      ledger_.begin_create(id, experiment);
      for (std::size_t i = 1; i < there.size(); ++i) client_.delete_run(there[i].id);
      break;
    }
    ledger_.begin_create(id, experiment);
    try {
      const bool made =
          guarded(id, mirror::kTheRun, "", [&] { remote = make_run(run, content, experiment); });
      if (!made) return nullptr;
    } catch (const CallError& error) {
      if (error.failure() == Failure::denied) throw;
      doubtful = true;
      ledger_.doubt(id, now_ms());
      if (error.failure() != Failure::unreachable || tries == kCreateTries) throw;
    }
  }
  Transaction transaction = ledger_.transaction();
  ledger_.created(id, remote->id);
  if (doubtful) ledger_.doubt(id, now_ms());
  transaction.commit();
  sent(id);
  return &remotes_.insert_or_assign(id, std::move(*remote)).first->second;
}

/// A deleted run is deleted there too, where it is; nothing else of it is sent, or waits to be.
void Mirror::bring_deleted(const RunRow& run) {
  const std::string& id = run.record.id;
  for (const Parked& parked : ledger_.parked(id)) ledger_.unpark(id, parked.item);
  const auto row = ledger_.run(id);
  if (!row || row->remote_id.empty() || row->deleted) return;
  const auto there = client_.run(row->remote_id);
  if (there && is_ours(*there, id) && !there->deleted) {
    if (!guarded(id, "the deletion", "", [&] { client_.delete_run(row->remote_id); })) return;
    sent(id);
  }
  remotes_.erase(id);
  ledger_.set_deleted(id, true);
}

/// After something was refused: is it the run itself?
void Mirror::check_there(const std::string& run_id) {
  const auto row = ledger_.run(run_id);
  if (!row || row->remote_id.empty()) return;
  const auto there = client_.run(row->remote_id);
  if (!there) throw Gone();
  if (there->deleted) throw DeletedThere();
}

}  // namespace cifarpipe
