// What has to run and why: for each job of the graph, whether its result is there, is missing, or
// cannot be told yet because its inputs do not exist. Reads the store and the recorder, changes
// nothing. One thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/graph.hpp"
#include "pipeline/store.hpp"

namespace cifarpipe {

enum class Action { run, cached, maybe };
std::string_view to_string(Action action);  ///< "run", "cached", "maybe"

/// What the command line forces to run although its result is there.
struct Forcing {
  std::vector<std::string> stages;  ///< --force
  std::vector<std::string> from;    ///< --from: these and all after them
  bool all = false;                 ///< --no-cache
  bool any() const { return all || !stages.empty() || !from.empty(); }
};

/// Every name must be an instance of some cell; else an Error (usage) that offers the nearest one.
void require_stages(const Configuration& configuration, const std::vector<std::string>& names,
                    std::string_view option);

/// What is decided about one job.
struct Decision {
  Action action = Action::maybe;
  std::string reason;
  std::string key;           ///< Empty for `maybe`.
  std::string key_document;  ///< Empty for `maybe`.
  bool forced = false;
  std::optional<StoredResult> result;  ///< For `cached`; for a forced job what was there before.
};

class Planner {
 public:
  /// All borrowed for the planner's life.
  Planner(const Configuration& configuration, const JobGraph& graph, Store& store,
          Recorder& recorder, Forcing forcing);

  /// The instances of a cell that are forced, by stage index.
  const std::vector<bool>& forced_stages(std::size_t cell) const { return forced_[cell]; }
  bool is_forced(std::size_t job) const;
  /// The sorted names of the forced instances of a cell, joined: a run's "forced set".
  std::string forced_set(std::size_t cell) const;

  /// Decides one job. `results[i]` is job i's result once it is there. A producer without one
  /// makes it `maybe`.
  Decision decide(std::size_t job, const std::vector<std::optional<StoredResult>>& results,
                  bool ignore_force = false) const;

  /// Every job as things stand now, producers first.
  std::vector<Decision> decide_all() const;

 private:
  std::string reason_to_run(const Job& job, const Decision& decision) const;

  const Configuration& configuration_;
  const JobGraph& graph_;
  Store& store_;
  Recorder& recorder_;
  std::vector<std::vector<bool>> forced_;
};

/// The digest of one output port of a result, as it goes into the keys of those who read it.
std::string port_digest(const StoredResult& result, std::string_view port);

/// Mermaid text of the graph with the decisions, for documents and issue trackers.
std::string mermaid(const Configuration& configuration, const JobGraph& graph,
                    const std::vector<Decision>& decisions);

}  // namespace cifarpipe
