// What a person or a program that watches a run is told. The command line draws it; tests collect
// it. Called on the supervisor's thread; must return quickly.
#pragma once

#include <string>
#include <vector>

#include "pipeline/plan.hpp"
#include "pipeline/protocol.hpp"
#include "pipeline/recorder.hpp"

namespace cifarpipe {

/// Which job an event is about.
struct JobLabel {
  std::size_t job = 0;  ///< Index in the graph.
  std::string stage;    ///< Instance name.
  std::string cell;     ///< Empty without a matrix; "N cells" for a shared job.
  std::string uses;
};

/// How a job ended.
struct JobEnd {
  std::string action;                   ///< "run", "cached", "reproduced", "accepted"
  std::string status;                   ///< "finished", "failed", "killed", "skipped"
  std::string reason;                   ///< Why it ran, or why it was skipped.
  std::string message;                  ///< Why it failed; several lines are possible.
  std::vector<std::string> last_lines;  ///< What its process printed last, if it failed.
  Usage usage;
  std::string key;
  std::string result_dir;
  std::vector<VisiblePoint> finals;  ///< The last point of each metric.
};

class RunObserver {
 public:
  enum class Opened { fresh, continued, already_finished };
  virtual ~RunObserver() = default;
  virtual void run_opened(const RunRecord& run, Opened how) = 0;
  virtual void job_started(const JobLabel& job, const std::string& reason, int attempt,
                           bool from_checkpoint) = 0;
  virtual void job_progress(const JobLabel& job, const Event& progress) = 0;
  virtual void job_log(const JobLabel& job, LogLevel level, const std::string& line) = 0;
  virtual void job_ended(const JobLabel& job, const JobEnd& end) = 0;
  virtual void run_ended(const RunRecord& run) = 0;
  /// Something about the whole: "waits for another cifarpipe (pid 12)…".
  virtual void message(LogLevel level, const std::string& text) = 0;
  /// About ten times a second while jobs run.
  virtual void tick() = 0;
};

}  // namespace cifarpipe
