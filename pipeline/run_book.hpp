// The rows and folders of the runs that one command carries out: one a cell, one more for each
// linked experiment, and a parent without stages above a matrix. Finds the row to go on with, keeps
// it true, and closes it with the right status. One thread.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/observer.hpp"
#include "pipeline/plan.hpp"
#include "pipeline/run_folder.hpp"
#include "pipeline/secrets.hpp"

namespace cifarpipe {

struct RunBookOptions {
  bool new_run = false;
  std::optional<std::string> name;
  std::optional<std::string> note;
  std::vector<std::pair<std::string, std::string>> tags;
  std::string command;
  std::vector<std::pair<std::string, std::string>> facts;
  std::string diff;  ///< For changes.diff.
  Secrets secrets;   ///< Never to be written in clear.
};

class RunBook {
 public:
  /// One run of this command.
  struct Entry {
    std::size_t cell = 0;
    std::vector<std::size_t> stages;  ///< Indices into the cell's stages.
    std::string experiment;
    std::string linked_stage;  ///< Empty: the cell's main run.
    bool is_parent = false;    ///< The stageless row above a matrix.
    std::string identity;
    std::string forced;
    RunRecord record;
    RunFolder folder;
    RunObserver::Opened how = RunObserver::Opened::fresh;
    bool open = false;
    std::set<std::size_t> unfinished;  ///< Stage indices.
    std::set<std::size_t> running;     ///< Of them, those that a worker has.
    bool failed = false;
    std::string failure;
  };

  RunBook(const Configuration& configuration, const JobGraph& graph, const Planner& planner,
          Store& store, Recorder& recorder, RunObserver& observer, RunBookOptions options);

  /// The first run of this command that is alive in another process, if any. While there is one,
  /// nothing else has been done.
  std::optional<RunRecord> open_all();
  /// Whether each run was there, finished, with all its results intact: nothing to do.
  bool all_finished() const;
  const std::vector<Entry>& entries() const { return entries_; }
  const Secrets& secrets() const { return options_.secrets; }

  /// A forced stage that this run has already done in an earlier attempt.
  bool forced_already_done(std::size_t job) const;

  /// Tells every user of `job`; closes the runs that are complete by it.
  void stage_changed(std::size_t job, const RunStage& state, const StoredResult* result);
  void log(std::size_t job, std::string_view line);
  /// The ids of the open runs that `job` counts for. Where many share it, only that of their sweep.
  std::vector<std::string> open_runs_of(std::size_t job) const;
  void touch_all();
  /// Closes what is still open: FAILED where a stage failed, else `otherwise`.
  void close_all(RunStatus otherwise, const std::string& message);

 private:
  void make_entries();
  std::string identity_of(const Entry& entry) const;
  bool results_intact(const Entry& entry) const;
  void open_entry(Entry& entry, const std::optional<RunRecord>& existing);
  /// A cell or a linked run is worked on while one of its stages is; the others all the time.
  void set_at_work(Entry& entry, bool at_work);
  /// After a row that was there has been given a name: takes it over, and says so.
  void tell_new_name(Entry& entry, const std::string& wanted);
  NewRun new_row(const Entry& entry) const;
  /// Circumstances of the command and, for each stage of the run, its plugin, seed and numerics.
  std::vector<std::pair<std::string, std::string>> facts_of(const Entry& entry) const;
  void write_folder(Entry& entry) const;
  void close_entry(Entry& entry, RunStatus status, const std::string& why);
  void close_parent_if_done();
  std::string default_name(const Entry& entry, const std::string& id) const;

  const Configuration& configuration_;
  const JobGraph& graph_;
  const Planner& planner_;
  Store& store_;
  Recorder& recorder_;
  RunObserver& observer_;
  RunBookOptions options_;
  std::vector<Entry> entries_;  // Parent first, then each cell's main run, then its linked ones.
};

}  // namespace cifarpipe
