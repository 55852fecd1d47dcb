// What the program tells whoever keeps its history: runs, their stages, jobs, metric points. The
// one implementation is the SQLite store in tracking/; the core knows no SQL. A call returns when
// what it was told is durable. One thread. Throws Error (a full disk: kind environment).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/digest.hpp"
#include "pipeline/metric_ring.hpp"
#include "pipeline/value.hpp"

namespace cifarpipe {

enum class RunStatus { running, finished, failed, killed };
std::string_view to_string(RunStatus status);  ///< "RUNNING", "FINISHED", "FAILED", "KILLED"

/// A run that is to get a row.
struct NewRun {
  std::string id;    ///< 32 hex digits, random.
  std::string name;  ///< Wanted; a taken one gets "-2", "-3", ….
  std::string experiment;
  std::string parent_id;  ///< Empty: none.
  std::optional<std::string> cell;
  std::string identity;  ///< Of the run; equal for the same file called again.
  std::string forced;    ///< The set of forced instances, sorted and joined; "" = none.
  std::string folder;    ///< Absolute.
  std::string command;   ///< The command line, redacted.
  std::string note;
  std::int64_t start_ms = 0;
  std::vector<std::pair<std::string, Value>> params;  ///< "train.lr" → 0.001
  std::vector<std::pair<std::string, std::string>> tags;
  std::vector<std::pair<std::string, std::string>> facts;  ///< commit, host, cpu, libtorch, …
};

struct RunRecord {
  std::string id;
  std::string name;
  std::string experiment;
  std::string parent_id;
  std::optional<std::string> cell;
  std::string identity;
  std::string forced;
  std::string folder;
  RunStatus status = RunStatus::running;
  int attempt = 1;
  std::int64_t start_ms = 0;
  std::int64_t end_ms = 0;
  std::int64_t worked_ms = 0;         ///< Of it, the time that was worked on it, up to:
  std::int64_t working_since_ms = 0;  ///< 0: nobody is at work on it.
};
/// How long a run has taken: without the time between attempts, or for which it waited its turn.
std::int64_t took_ms(const RunRecord& run, std::int64_t now_ms);

/// One stage instance of one run.
struct RunStage {
  std::string name;
  std::string uses;
  int position = 0;
  std::string action;  ///< "run", "cached", "reproduced", "shared", "waiting"
  std::string status;  ///< "waiting", "running", "finished", "failed", "killed", "skipped"
  JobRef job;          ///< key empty while unknown.
  std::string reason;
  std::string message;  ///< Why it failed.
};

/// What an attempt of a job used.
struct Usage {
  std::int64_t wall_ms = 0;
  std::int64_t cpu_ms = 0;
  std::int64_t peak_rss_bytes = 0;
};

struct PortFiles {
  std::string port;
  std::vector<FileDigest> files;
};

/// A published result, as `stage.json` tells it.
struct ResultRecord {
  JobRef job;
  std::string stage;         ///< The stage's name ("train").
  std::string key_document;  ///< The canonical JSON that the key is the digest of.
  std::vector<PortFiles> outputs;
  std::vector<std::pair<std::string, std::string>> facts;
  Usage usage;
  int attempts = 1;
  std::int64_t created_ms = 0;
};

/// Where a resumed attempt begins: points of `attempt` up to `sequence` and of all attempts that
/// this one itself went on from stay visible; all other earlier points are superseded.
struct Cover {
  int attempt = 0;
  std::uint64_t sequence = 0;
};

/// What a run as a whole used at a moment: "system/cpu_utilization_percentage" → 83.1.
struct RunSample {
  std::int64_t time_ms = 0;
  std::vector<std::pair<std::string, double>> values;
};

struct VisiblePoint {
  std::string metric;
  std::int64_t step = 0;
  std::int64_t time_ms = 0;
  double value = 0;
};

class Recorder {
 public:
  virtual ~Recorder() = default;

  /// What is told until end_batch becomes durable together, then. Keep it short: other processes
  /// wait meanwhile. See Batch.
  virtual void begin_batch() = 0;
  virtual void end_batch(bool keep) = 0;

  // Runs.
  /// The newest undeleted run with this identity and forced set.
  virtual std::optional<RunRecord> find_run(const std::string& identity,
                                            const std::string& forced) = 0;
  /// RUN as a person writes it: id, unique prefix, name, or "latest". Throws an Error (usage).
  virtual RunRecord resolve_run(const std::string& run) = 0;
  /// The newest undeleted run, no cell of a sweep, that has a result of this stage.
  virtual std::optional<RunRecord> newest_run_with(const std::string& stage) = 0;
  virtual std::vector<RunRecord> running_runs() = 0;
  /// Status RUNNING, at work.
  virtual RunRecord create_run(const NewRun& run) = 0;
  /// The same row goes on: status RUNNING, attempt + 1, at work.
  virtual RunRecord reopen_run(const std::string& id, std::int64_t now_ms) = 0;
  /// A run that has begun waits for its turn, or has its turn again: what took_ms leaves out. One
  /// that ends is not at work anyway.
  virtual void set_at_work(const std::string& id, bool at_work, std::int64_t now_ms) = 0;
  virtual void annotate_run(const std::string& id, const std::optional<std::string>& name,
                            const std::optional<std::string>& note,
                            const std::vector<std::pair<std::string, std::string>>& tags) = 0;
  virtual void finish_run(const std::string& id, RunStatus status, std::int64_t end_ms,
                          const std::string& message) = 0;
  /// Inserts or replaces the row of (run, stage name).
  virtual void put_run_stage(const std::string& run_id, const RunStage& stage) = 0;
  /// One point each for the sample's values, at the step after the run's last sample; the first is
  /// 0. A run that goes on goes on counting.
  virtual void store_run_sample(const std::string& run_id, const RunSample& sample) = 0;
  /// What a run's stage pointed to, for `inputs.x = "run:…"`; nothing if it has no such stage.
  virtual std::optional<JobRef> run_stage_job(const std::string& run_id,
                                              const std::string& stage) = 0;

  // Jobs.
  /// A new attempt of a job begins: gives it its number (counted from 1 for each job) and
  /// supersedes the points that `cover` does not keep (nothing: all earlier ones).
  virtual int begin_attempt(const JobRef& job, const std::string& stage,
                            const std::optional<Cover>& cover, std::int64_t now_ms) = 0;
  virtual void end_attempt(const JobRef& job, int attempt, const std::string& status,
                           const Usage& usage, std::int64_t now_ms) = 0;
  virtual void put_result(const ResultRecord& result) = 0;
  virtual void forget_result(const JobRef& job) = 0;
  /// All visible points of a job, in the order in which they were made.
  virtual std::vector<VisiblePoint> points(const JobRef& job) = 0;
  /// Points of a result that came from its metrics.jsonl after the database was lost.
  virtual void restore_points(const JobRef& job, const std::vector<VisiblePoint>& points) = 0;
  /// The key document of the newest job that stage `stage` of pipeline `experiment` had, for
  /// "lr 0.001 → 0.003".
  virtual std::optional<std::string> last_key_document(const std::string& experiment,
                                                       const std::string& stage) = 0;
  virtual bool knows_result(const JobRef& job) = 0;
  /// Whether a result of this key was ever made, though it may have been removed since.
  virtual bool made_result(const std::string& key) = 0;

  // Rings.
  /// Up to which record a ring has been stored.
  virtual std::uint64_t drained(const std::string& ring) = 0;
  /// Stores points and how far the ring is drained in one transaction. Points at or before what
  /// is stored already are passed over.
  virtual void store_points(const std::string& ring, std::span<const RingPoint> points,
                            std::uint64_t last_sequence) = 0;
  virtual void forget_ring(const std::string& ring) = 0;

  // Digests of input files, so that nothing is hashed twice.
  struct FileStamp {
    std::string path;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
    std::uint64_t inode = 0;
  };
  virtual std::optional<std::string> known_digest(const FileStamp& stamp) = 0;
  virtual void remember_digest(const FileStamp& stamp, const std::string& sha256) = 0;
};

/// Everything told to a recorder while it lives is one commit; dropped if `commit` is not reached.
class Batch {
 public:
  explicit Batch(Recorder& recorder) : recorder_(&recorder) { recorder.begin_batch(); }
  ~Batch() {
    if (recorder_ != nullptr) recorder_->end_batch(false);
  }
  Batch(const Batch&) = delete;
  void commit() { std::exchange(recorder_, nullptr)->end_batch(true); }

 private:
  Recorder* recorder_;
};

}  // namespace cifarpipe
