// Which points of a run a server is to have, which of them it has not been sent, in order, and
// under which name and time: the rules of docs/tracking.md. Reads the store; the ledger says what
// is there. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pipeline/store.hpp"
#include "tracking/mirror_ledger.hpp"
#include "tracking/mlflow/client.hpp"

namespace cifarpipe {

/// The names that a run's metrics have in MLflow. A name, once sent, stays, whatever other metrics
/// come.
class MetricNames {
 public:
  MetricNames(MirrorLedger& ledger, std::string run_id, bool colons);
  const std::string& name(const std::string& key);

 private:
  MirrorLedger& ledger_;
  std::string run_id_;
  bool colons_;
  std::map<std::string, std::string> names_;
  std::set<std::string> taken_;
};

/// A stage of a run with the job whose points it shows, and how far they are settled.
struct PointSource {
  std::string stage;
  std::int64_t job = 0;
  PointPlace settled;  ///< Points up to here stay, whatever happens to the run.
  PointPlace last;     ///< Up to here they are sent; beyond `settled` without `…_per_second`.
};

/// What one request brings.
struct PointBatch {
  std::vector<mlflow::Metric> metrics;
  StageMark mark;               ///< To be stored when they are acknowledged,
  std::vector<HeldPoint> held;  ///< with these, which were passed over.
  bool more = false;            ///< There may be more behind it.
};

/// The same for system metrics, points of the run itself: none of them is ever superseded.
struct SystemBatch {
  std::vector<mlflow::Metric> metrics;
  std::map<std::string, std::string> marks;  ///< Metric → the step up to which it is sent then.
  bool more = false;
};

/// Points that are not finite and are the last of their metric: MLflow would lose the whole metric
/// from sight, so they wait for a finite one.
struct HeldMetric {
  std::string key;
  std::string kinds;  ///< "nan", "inf", "nan, -inf", …
  std::int64_t points = 0;
  std::int64_t first_step = 0;
  std::int64_t last_step = 0;
};

class MirrorPoints {
 public:
  MirrorPoints(Database& db, const Store& store, MirrorLedger& ledger);

  /// In the order of the run's stages.
  std::vector<PointSource> sources(const RunRecord& run);
  /// False while a stage is unfinished whose job someone holds: most often a worker on its way out,
  /// just after its run has ended.
  bool all_may_go(const RunRecord& run);
  /// The next points of a stage after what the ledger says, at most `limit`.
  PointBatch next(const std::string& run_id, const PointSource& source, MetricNames& names,
                  std::size_t limit);
  std::int64_t unsent(const std::string& run_id, const PointSource& source);
  SystemBatch next_system(const std::string& run_id, MetricNames& names, std::size_t limit);
  std::int64_t unsent_system(const std::string& run_id);

  /// Held points that may go now, because a finite one of a higher step has gone; at most `limit`.
  PointBatch released(const std::string& run_id, const std::vector<PointSource>& sources,
                      MetricNames& names, std::size_t limit);
  std::vector<HeldMetric> held(const std::string& run_id);
  /// The last point of "test/accuracy" as it was sent, if it is finite.
  std::optional<mlflow::Metric> latest(const std::string& run_id,
                                       const std::vector<PointSource>& sources,
                                       const std::string& key, MetricNames& names);

 private:
  /// The run's system metrics with the step up to which each has been sent.
  struct SystemMark {
    std::int64_t metric = 0;
    std::string name;
    std::int64_t step = -1;
  };
  std::vector<SystemMark> system_marks(const std::string& run_id);
  /// Where to go on: from the beginning if points have come back to sight since.
  StageMark mark_of(const std::string& run_id, const PointSource& source);
  /// For each attempt that is visible when `newest` is the last one: its highest visible sequence.
  std::map<std::int64_t, std::int64_t> reach(std::int64_t job, std::int64_t newest);
  std::int64_t newest_attempt(std::int64_t job);
  /// The time under which an equal point of another job of this stage was sent.
  std::int64_t time_sent(const std::vector<StageMark>& marks, std::int64_t job, Statement& row);
  bool may_release(const std::string& run_id);
  PointPlace covered(const JobRef& job);

  Database& db_;
  const Store& store_;
  MirrorLedger& ledger_;
  Statement next_;
  Statement unsent_;
  Statement held_;
  struct Checkpoints {
    std::string names;  // Of the folder, when it was read.
    PointPlace cover;
  };
  std::map<JobRef, Checkpoints> checkpoints_;  // Reading one means hashing it.
};

}  // namespace cifarpipe
