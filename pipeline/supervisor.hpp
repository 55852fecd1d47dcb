// Carries out a graph of jobs: gives ready jobs to workers, stores what they report, publishes
// results, and ends well whatever happens to the workers. One thread: the main one, because a
// worker dies with the thread that spawned it. Expects INT, TERM and HUP blocked in all threads.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/run_book.hpp"
#include "pipeline/run_sampler.hpp"
#include "pipeline/worker_process.hpp"

namespace cifarpipe {

struct SupervisorOptions {
  int slots = 1;                         ///< Jobs at once, at most; cores bound them too.
  bool keep_going = false;               ///< After a failure go on with what does not depend on it.
  std::vector<std::string> accept_code;  ///< Instances whose result of older code is taken over.
  WorkerOptions worker;
  SamplerOptions system_metrics;
};

/// Stores what is left in the rings of workers that are gone, of whichever command, and removes
/// them. Rings of live workers are left alone: so many.
std::size_t drain_orphan_rings(const Store& store, Recorder& recorder);

/// Takes a result that is in the store but not in the recorder into the recorder: a lost database
/// is indexed again from the directories.
void index_result(const StoredResult& result, const Store& store, Recorder& recorder);

class Supervisor {
 public:
  /// All borrowed for the supervisor's life.
  Supervisor(const Configuration& configuration, const JobGraph& graph, const Planner& planner,
             Store& store, Recorder& recorder, RunBook& book, RunObserver& observer,
             const Machine& machine, SupervisorOptions options);
  ~Supervisor();

  /// Runs everything; the exit code. Throws Error (environment) if the store cannot be written.
  int run();

 private:
  enum class State { waiting, running, done, failed, skipped, killed };

  /// A job that a worker has, or that is about to be published.
  struct Active {
    std::size_t job = 0;
    Decision decision;
    JobRef ref;
    Lock lock;
    int attempt = 1;
    std::filesystem::path work_dir;
    std::vector<PortFiles> outputs;
    std::vector<std::pair<std::string, std::string>> facts;
    std::vector<std::string> last_lines;
    std::chrono::steady_clock::time_point start;
    bool stop_sent = false;
    bool settled = false;  ///< Its end has been told; the worker may be let go.
  };
  struct Slot {
    std::unique_ptr<WorkerProcess> worker;
    std::optional<Active> active;
    bool ready = false;
    std::vector<std::string> output_before_ready;
  };

  // The loop (supervisor.cpp).
  void wait_for_events();
  void handle_signals();
  void handle_output(Slot& slot);
  void handle_socket(Slot& slot);
  void handle_event(Slot& slot, const Event& event);
  void worker_ended(Slot& slot);
  std::string end_of_worker(const std::string& how, bool killed) const;
  void drain(Slot& slot);
  void retire(Slot& slot);
  void stop_workers();
  bool anything_left() const;
  void tick();
  void watch_runs();

  // Jobs (supervisor_jobs.cpp).
  void dispatch();
  bool look_at(std::size_t job);
  bool start(std::size_t job, Decision decision);
  bool accept_old_code(std::size_t job, const Decision& decision);
  JobOrder order_for(const Active& active);
  void give_to_worker(Slot& slot, const JobOrder& order, bool from_checkpoint);
  void finish_active(Slot& slot, const Event& event);
  void fail_active(Slot& slot, const std::string& why, int exit_code, const Usage& usage);
  void interrupt_active(Slot& slot, const Usage& usage);
  void job_done(std::size_t job, const StoredResult& result, const std::string& action,
                const std::string& reason, const Usage& usage);
  void skip(std::size_t job, const std::string& reason);
  RunStage stage_row(const Active& active, const std::string& status) const;
  JobLabel label(std::size_t job) const;
  int threads_of(std::size_t job) const;
  Slot* free_slot(std::size_t job);

  const Configuration& configuration_;
  const JobGraph& graph_;
  const Planner& planner_;
  Store& store_;
  Recorder& recorder_;
  RunBook& book_;
  RunObserver& observer_;
  const Machine& machine_;
  SupervisorOptions options_;

  std::vector<State> states_;
  std::vector<std::optional<StoredResult>> results_;
  std::vector<std::optional<Decision>> decisions_;  // Once the inputs are there.
  std::vector<bool> told_waiting_;
  std::vector<Slot> slots_;
  RunSampler sampler_;
  std::vector<std::pair<pid_t, std::size_t>> watched_;  // What the sampler knows: worker, job.
  int signal_fd_ = -1;
  int stop_signal_ = 0;
  bool failed_ = false;
  int failure_code_ = 0;
  bool lock_contended_ = false;
  std::chrono::steady_clock::time_point stop_time_;
  std::chrono::steady_clock::time_point last_tick_;
  std::chrono::steady_clock::time_point last_touch_;
};

}  // namespace cifarpipe
