// Brings an MLflow server up to date with the store, run by run: what has not been acknowledged is
// sent, and what was is not sent again. May be killed at any instant and be repeated by any
// process: what a server has is in the ledger, or, where an answer was lost, found on the server by
// the run's uid. docs/tracking.md says what is guaranteed. One thread; talks to one server.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/store.hpp"
#include "tracking/mirror_content.hpp"
#include "tracking/mirror_ledger.hpp"
#include "tracking/mirror_points.hpp"
#include "tracking/mlflow/client.hpp"
#include "tracking/queries.hpp"

namespace cifarpipe {

/// What was sent, or what is to be sent.
struct MirrorCounts {
  std::int64_t runs = 0;  ///< Of which anything was.
  std::int64_t points = 0;
  std::int64_t artifacts = 0;
  std::int64_t models = 0;
  bool none() const { return runs == 0 && points == 0 && artifacts == 0 && models == 0; }
};
/// "3 runs, 1200 points, 1 model"; without what is 0.
std::string counts_text(const MirrorCounts& counts);

struct MirrorOptions {
  /// Tries again what was refused before.
  bool retry_parked = false;
  /// Looks at everything of a run, also if nothing about it has changed since it was all there.
  bool thorough = false;
  /// How long to wait for another process that is sending the same run.
  std::chrono::milliseconds wait{0};
  /// MLFLOW_RUN_ID: this run of ours goes into that one there, if it is not on the server yet.
  std::string adopt_run;
  std::string adopt_remote;
  /// After everything that was acknowledged.
  std::function<void(const MirrorCounts&)> progress;
};

class Mirror {
 public:
  /// All borrowed. `db` is the mirror's own connection, or the caller's on the same thread.
  Mirror(Database& db, const Store& store, mlflow::Client& client, MirrorOptions options = {});

  /// One run, its parents as far as it needs them. False: another process is sending it (or the
  /// client was stopped while that was waited for). Throws mlflow::CallError if the server is
  /// unreachable, denies, or the client was stopped; what it refuses for good is parked, and the
  /// rest goes on.
  bool bring(const std::string& run_id);
  /// Whether its row has an end and all its points may go: nothing of it changes by itself any
  /// more.
  bool has_ended(const std::string& run_id);
  /// After the server was away: what it has is looked at again.
  void forget_answers();
  void retry_parked(bool retry) { options_.retry_parked = retry; }
  /// Something was parked that the server may take yet: it answered 500.
  bool has_put_off() const { return put_off_; }
  /// Parks a run that `bring` could not send although the server answered.
  void put_off(const std::string& run_id, const mlflow::CallError& error);

  const MirrorCounts& counts() const { return counts_; }
  MirrorLedger& ledger() { return ledger_; }
  /// Sentences about what was changed to fit; each is said when it happens, not again. Empties.
  std::vector<std::string> take_notices() { return std::exchange(notices_, {}); }

 private:
  struct Gone {};          // The run is not on the server any more.
  struct DeletedThere {};  // Someone deleted it there.
  struct Busy {};          // Another process is making it.

  // The run itself (mirror_remote.cpp).
  const mlflow::RemoteRun* find_remote(const RunRow& run);
  const mlflow::RemoteRun* adopt_remote(const RunRow& run);
  const mlflow::RemoteRun* create_remote(const RunRow& run, const RunContent& content);
  mlflow::RemoteRun make_run(const RunRow& run, const RunContent& content, std::string& experiment);
  void remove_doubles(const std::string& run_id, const std::string& experiment,
                      const std::string& keep);
  std::string experiment_of(const RunRow& run, const RunContent& content);
  void tag_experiment(const RunRow& run, const RunContent& content, const std::string& experiment);
  /// The tag that says whose child it is.
  mlflow::Pairs parent_tags(const RunRow& run, const std::string& experiment);
  void bring_deleted(const RunRow& run);
  void check_there(const std::string& run_id);

  // What belongs to it (mirror.cpp, mirror_models.cpp).
  std::optional<Lock> lock(const std::string& name);
  void connect();
  void bring_locked(const RunRow& run);
  void send_all(const RunRow& run, const mlflow::RemoteRun& remote, RunContent& content);
  void send_params(const RunRow& run, const mlflow::RemoteRun& remote, RunContent& content);
  void send_tags(const RunRow& run, const mlflow::RemoteRun& remote, RunContent& content);
  void send_inputs(const RunRow& run, const mlflow::RemoteRun& remote, const RunContent& content);
  void send_points(const RunRow& run);
  void send_system_points(const std::string& run_id, MetricNames& names);
  void send_metrics(const std::string& run_id, std::vector<mlflow::Metric> metrics);
  void send_held(const RunRow& run, const std::vector<PointSource>& sources, MetricNames& names);
  void send_head(const RunRow& run, const mlflow::RemoteRun& remote);
  void send_artifacts(const RunRow& run, const mlflow::RemoteRun& remote,
                      const RunContent& content);
  void put(const mlflow::RemoteRun& remote, const std::string& path, const Upload& upload);
  void send_models(const RunRow& run, const mlflow::RemoteRun& remote, const RunContent& content);
  void log_model(const RunRow& run, const mlflow::RemoteRun& remote, const RunContent& content,
                 const ModelContent& model);
  mlflow::LoggedModel open_model(const RunRow& run, const mlflow::RemoteRun& remote,
                                 const RunContent& content, const ModelContent& model);
  void upload_model(const RunRow& run, const mlflow::RemoteRun& remote, const ModelContent& model,
                    const mlflow::LoggedModel& logged);
  void log_model_of_2(const mlflow::RemoteRun& remote, const ModelContent& model);
  void register_model(const RunRow& run, const mlflow::RemoteRun& remote,
                      const ModelContent& model);

  /// Makes calls about one item. Refused for good: parked, false.
  bool guarded(const std::string& run_id, const std::string& item, const std::string& digest,
               const std::function<void()>& calls);
  void refused(const std::string& run_id, const std::string& item, const std::string& digest,
               const std::string& reason, const std::string& way_out);
  void sent(const std::string& run_id);  // Something of this run.
  std::string fact(const std::string& run_id, const std::string& key);

  Database& db_;
  const Store& store_;
  mlflow::Client& client_;
  MirrorOptions options_;
  RunQueries queries_;
  MirrorLedger ledger_;
  MirrorPoints points_;
  MirrorCounts counts_;
  std::string counted_run_;  // The last one in counts_.runs.
  std::vector<std::string> notices_;
  bool connected_ = false;
  struct Drawn {
    std::string digest;
    std::optional<std::string> thumbnail;
  };
  Drawn drawn_;  // The newest one.
  bool put_off_ = false;
  int failing_ = 0;  // Calls in a row that the server answered with 500.
  std::map<std::string, mlflow::RemoteRun> remotes_;  // Seen to be there since connecting.
  std::map<std::string, std::string> experiments_;    // Name → id, likewise.
};

/// What a run is made from beside its points: equal means that there is nothing new to be sent.
std::string content_state(Database& db, const RunRow& run, const MirrorLedger& ledger);
/// Digest of status, end and name as they are sent.
std::string head_digest(const RunRow& run);

/// What the server at `uri` lacks of these runs, by what the ledger remembers; asks no server.
/// Counting artifacts and models means putting the content of each changed run together.
MirrorCounts unsent_of(Database& db, const Store& store, const std::string& uri,
                       const std::vector<std::string>& runs, bool with_files = true);

}  // namespace cifarpipe
