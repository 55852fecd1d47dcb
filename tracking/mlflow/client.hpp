// MLflow's REST API, as one thread speaks to one server: every call of a tracking client, with what
// servers of different versions make of it. Knows no runs of ours and keeps nothing on disk; what
// is sent when, and what is remembered of it, is the mirror's (tracking/mirror.hpp).
//
// Every call either succeeds or throws CallError, whose `failure` says what may be done about it.
// A call that may be repeated is, within the settings' retries, before it throws.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tracking/mlflow/settings.hpp"

namespace cifarpipe::mlflow {

/// What a call that did not succeed means for the one who made it.
enum class Failure {
  unreachable,  ///< No usable answer (refused, timed out, cut, 408, 429, 5xx). It may have had its
                ///< effect. Later may work.
  denied,       ///< 401, 403: credentials, or the server's check of Host. Until someone acts.
  refused,      ///< Any other 4xx: never, as it is.
  missing,      ///< What the call is about is not there (404 of the API).
  unsupported,  ///< The server has no such call: an older MLflow, or not MLflow at all.
  stopped,      ///< The stop flag was set.
};

/// One sentence without secrets: what was asked of which server and what came back.
class CallError : public std::runtime_error {
 public:
  CallError(Failure failure, long status, std::string code, const std::string& message)
      : std::runtime_error(message), failure_(failure), status_(status), code_(std::move(code)) {}
  Failure failure() const { return failure_; }
  long status() const { return status_; }  ///< HTTP; 0 without an answer.
  /// The server answered 500, each time: it may be this call alone that it cannot do.
  bool of_one_call() const { return failure_ == Failure::unreachable && status_ == 500; }
  const std::string& code() const { return code_; }  ///< "INVALID_PARAMETER_VALUE", … or "".

 private:
  Failure failure_;
  long status_;
  std::string code_;
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

/// What a server is and can do; asked once a client, by /version and server-info.
struct Server {
  std::string version;         ///< "3.17.2"; "" if it does not say.
  bool logged_models = false;  ///< 3.0: models are things of their own.
  bool step_images = false;    ///< 2.15: images with a step slider.
  bool workspaces = false;
  std::size_t tag_length = 8000;  ///< Code points of a run's tag: 5000 before 2.17.
  bool colons_in_keys = true;     ///< 2.16.
  bool nan_once = true;           ///< A NaN may be sent again (3.15.2); else it goes alone.
};

struct Metric {
  std::string key;
  double value = 0;
  std::int64_t time_ms = 0;
  std::int64_t step = 0;
  // Of a logged model, on a server that has them; empty: none. Never on a NaN.
  std::string model_id;
  std::string dataset_name;
  std::string dataset_digest;
};

struct RemoteRun {
  std::string id;
  std::string experiment_id;
  std::string name;
  std::string status;
  std::string artifact_uri;
  std::int64_t start_ms = 0;
  bool deleted = false;
  Pairs params;
  Pairs tags;
};

struct DatasetInput {
  std::string name;
  std::string digest;       ///< At most 36 characters.
  std::string source_type;  ///< "http", "local"
  std::string source;       ///< JSON: {"url": …} or {"uri": …}
  std::string schema;       ///< JSON; "" none.
  std::string profile;      ///< JSON; "" none.
  std::string context;      ///< "training", "validation", "testing"
};

struct LoggedModel {
  std::string id;
  std::string name;
  std::string status;
  std::string artifact_uri;
};

struct RemoteFile {
  std::string path;  ///< Relative to the run's (or model's) artifacts.
  bool directory = false;
  std::uint64_t size = 0;
};

inline constexpr std::size_t kModelParamsOfCreate = 100;  ///< More, and the server refuses.

class Client {
 public:
  /// `stop`, if given, is looked at while waiting too: once true, calls end with Failure::stopped
  /// within about 0.2 s. Borrowed. No request is made yet.
  explicit Client(Settings settings, const std::atomic<bool>* stop = nullptr);
  /// Whether the stop flag is set: for those who wait for something else than a server.
  bool stopped() const;
  ~Client();
  Client(const Client&) = delete;

  /// The first use asks the server. A dead one: CallError, unreachable.
  const Server& server();
  const Settings& settings() const;

  // Experiments.
  /// The id of an experiment of this name; made, with these tags, if there is none. A deleted one:
  /// refused, with the way out.
  std::string experiment(const std::string& name, const Pairs& tags = {});
  void tag_experiment(const std::string& id, const Pairs& tags);

  // Runs.
  std::optional<RemoteRun> run(const std::string& run_id);  ///< Nothing: no such run.
  /// Undeleted runs with this value of a tag, oldest first.
  std::vector<RemoteRun> runs_with_tag(const std::string& experiment_id, const std::string& key,
                                       const std::string& value);
  /// NOT repeated by itself after an unknown outcome (Failure::unreachable): look first.
  RemoteRun create_run(const std::string& experiment_id, const std::string& name,
                       std::int64_t start_ms, const Pairs& tags);
  /// "RUNNING" (again), "FINISHED", "FAILED", "KILLED"; an end only with those that end.
  void update_run(const std::string& run_id, const std::string& status,
                  std::optional<std::int64_t> end_ms, const std::string& name);
  void delete_run(const std::string& run_id);
  void restore_run(const std::string& run_id);

  /// Any number; split by the limits of a request (1000 in all, 1000 metrics, 100 params, 100 tags,
  /// 900 kB). Keys and values must fit (names.hpp). In order: what came before an error is stored.
  void log_batch(const std::string& run_id, const std::vector<Metric>& metrics,
                 const Pairs& params = {}, const Pairs& tags = {});
  /// One that is not there is fine.
  void delete_tag(const std::string& run_id, const std::string& key);
  void log_inputs(const std::string& run_id, const std::vector<DatasetInput>& datasets);
  /// All points of a metric, by time.
  std::vector<Metric> history(const std::string& run_id, const std::string& key);

  // Artifacts. `artifact_uri` is a run's or a model's; `path` is relative, '/' between parts.
  void put_artifact(const RemoteRun& run, const std::string& path,
                    const std::filesystem::path& file);
  void put_artifact_text(const RemoteRun& run, const std::string& path, const std::string& content);
  std::vector<RemoteFile> artifacts(const std::string& run_id, const std::string& folder);

  // Logged models (3.0 and later; else unsupported).
  std::vector<LoggedModel> models_with_tag(const std::string& experiment_id, const std::string& key,
                                           const std::string& value);
  /// NOT repeated by itself after an unknown outcome, as create_run. Takes the first
  /// kModelParamsOfCreate parameters; the rest is for put_model_params.
  LoggedModel create_model(const std::string& experiment_id, const std::string& name,
                           const std::string& run_id, const Pairs& params, const Pairs& tags);
  /// All of them; those that the model has already may be among them.
  void put_model_params(const std::string& model_id, const Pairs& params);
  void add_model_output(const std::string& run_id, const std::string& model_id, std::int64_t step);
  void put_model_file(const LoggedModel& model, const std::string& path,
                      const std::filesystem::path& file);
  void put_model_text(const LoggedModel& model, const std::string& path,
                      const std::string& content);
  void finish_model(const std::string& model_id, bool ready);
  /// 2.x: once a model; appends to a tag of the run.
  void log_model_json(const std::string& run_id, const std::string& model_json);

  // Registry.
  void create_registered_model(const std::string& name);  ///< One that is there is fine.
  /// The version that has this value of a tag, if any.
  std::optional<std::string> model_version_with_tag(const std::string& name, const std::string& key,
                                                    const std::string& value);
  std::string create_model_version(const std::string& name, const std::string& source,
                                   const std::string& run_id, const std::string& model_id,
                                   const Pairs& tags);
  void set_model_alias(const std::string& name, const std::string& alias,
                       const std::string& version);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cifarpipe::mlflow
