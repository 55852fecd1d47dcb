// The Recorder that keeps everything in `cifarpipe.db`: tables for the program, views for people
// (docs/database.md). Every call is one short transaction, durable when it returns. One thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "pipeline/recorder.hpp"
#include "pipeline/secrets.hpp"
#include "tracking/database.hpp"

namespace cifarpipe {

/// What a run keeps alive in the store, for gc.
struct RunUse {
  std::string id;
  RunStatus status = RunStatus::running;
  bool deleted = false;
  std::int64_t end_ms = 0;
  std::set<JobRef> jobs;
};

class SqliteRecorder : public Recorder {
 public:
  /// To read: only what asks works, and the database has to have this program's version.
  explicit SqliteRecorder(const std::filesystem::path& file,
                          Database::Access access = Database::Access::write);
  ~SqliteRecorder() override;
  Database& database() { return db_; }
  /// Never written in clear from now on, beside what the environment already names secret.
  void keep_out(Secrets secrets) { secrets_ = std::move(secrets); }
  std::vector<RunUse> run_uses();
  /// Hides a run with its children, or shows it again with those that were hidden with it. The
  /// number of runs that changed.
  std::int64_t delete_run(const std::string& id, std::int64_t now_ms);
  std::int64_t restore_run(const std::string& id);
  bool is_deleted(const std::string& id);
  /// Records a circumstance of a run that is there.
  void set_fact(const std::string& run_id, const std::string& key, const std::string& value);
  /// A run that says RUNNING, but whose process is gone: KILLED, its stages too.
  void close_dead_run(const RunRecord& run, std::int64_t end_ms);

  void begin_batch() override;
  void end_batch(bool keep) override;
  std::optional<RunRecord> find_run(const std::string& identity,
                                    const std::string& forced) override;
  RunRecord resolve_run(const std::string& run) override;
  std::optional<RunRecord> newest_run_with(const std::string& stage) override;
  std::vector<RunRecord> running_runs() override;
  RunRecord create_run(const NewRun& run) override;
  RunRecord reopen_run(const std::string& id, std::int64_t now_ms) override;
  void set_at_work(const std::string& id, bool at_work, std::int64_t now_ms) override;
  void annotate_run(const std::string& id, const std::optional<std::string>& name,
                    const std::optional<std::string>& note,
                    const std::vector<std::pair<std::string, std::string>>& tags) override;
  void finish_run(const std::string& id, RunStatus status, std::int64_t end_ms,
                  const std::string& message) override;
  void put_run_stage(const std::string& run_id, const RunStage& stage) override;
  void store_run_sample(const std::string& run_id, const RunSample& sample) override;
  std::optional<JobRef> run_stage_job(const std::string& run_id, const std::string& stage) override;
  int begin_attempt(const JobRef& job, const std::string& stage, const std::optional<Cover>& cover,
                    std::int64_t now_ms) override;
  void end_attempt(const JobRef& job, int attempt, const std::string& status, const Usage& usage,
                   std::int64_t now_ms) override;
  void put_result(const ResultRecord& result) override;
  void forget_result(const JobRef& job) override;
  std::vector<VisiblePoint> points(const JobRef& job) override;
  void restore_points(const JobRef& job, const std::vector<VisiblePoint>& points) override;
  std::optional<std::string> last_key_document(const std::string& experiment,
                                               const std::string& stage) override;
  bool knows_result(const JobRef& job) override;
  bool made_result(const std::string& key) override;
  std::uint64_t drained(const std::string& ring) override;
  void store_points(const std::string& ring, std::span<const RingPoint> points,
                    std::uint64_t last_sequence) override;
  void forget_ring(const std::string& ring) override;
  std::optional<std::string> known_digest(const FileStamp& stamp) override;
  void remember_digest(const FileStamp& stamp, const std::string& sha256) override;

 private:
  Statement& prepared(const char* sql);
  std::int64_t job_id(const JobRef& job, const std::string& stage);
  int newest_attempt(std::int64_t job);  ///< 0: none yet.
  std::int64_t metric_id(const std::string& name);
  void put_params(const NewRun& run);
  void put_tags(const std::string& id,
                const std::vector<std::pair<std::string, std::string>>& tags);
  std::string free_name(const std::string& wanted, const std::string& except_id);
  std::vector<RunRecord> runs_where(const std::string& condition, const std::string& value);
  /// A run's folder lies beside the database, also where the store is mounted elsewhere (in a
  /// container) or has been moved: that is where its `alive` file is looked for.
  RunRecord found_here(RunRecord run) const;
  /// What one store_points brings of one metric.
  struct NewPoints {
    void add(const RingPoint& point);
    std::int64_t points = 0;
    double last = 0;
    std::int64_t step = 0;
    std::int64_t time_ms = 0;
    std::optional<double> minimum;
    std::optional<double> maximum;
  };
  struct NewRow;
  class NewRows;
  bool has_point(const NewRow& row);
  std::uint64_t newest_point(std::int64_t job, int attempt);  ///< Its sequence; 0: none.
  void supersede(std::int64_t job, int attempt);
  void summarize(std::int64_t job);
  void add_summary(std::int64_t job, std::int64_t metric, const NewPoints& news);

  Database db_;
  Secrets secrets_ = Secrets::of_environment();
  std::unique_ptr<Transaction> batch_;
  std::map<std::string, Statement, std::less<>> statements_;
  std::map<std::string, std::int64_t> metric_ids_;
};

/// Marks every run that says RUNNING but whose `alive` lock nobody holds as KILLED, with its last
/// sign of life as its end: so many. A live run is never marked.
std::size_t reap_dead_runs(SqliteRecorder& recorder);

}  // namespace cifarpipe
