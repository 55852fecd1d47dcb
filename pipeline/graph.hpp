// One graph of jobs for all cells of a configuration: jobs of equal identity exist once, so a sweep
// of a hundred learning rates downloads and preprocesses once. Built before anything runs.
// Values only: any thread.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/key.hpp"
#include "pipeline/machine.hpp"
#include "pipeline/recorder.hpp"
#include "pipeline/secrets.hpp"

namespace cifarpipe {

/// Where a job's input comes from: another job of the graph, or a result of an earlier run.
struct JobInput {
  static constexpr std::size_t kEarlierRun = static_cast<std::size_t>(-1);
  std::string port;
  std::size_t producer = kEarlierRun;  ///< Index into JobGraph::jobs.
  std::string producer_port;
  JobRef earlier;              ///< For kEarlierRun: the result,
  std::string earlier_digest;  ///< and the digest of its port.
};

/// A stage instance of one cell that wants this job.
struct JobUser {
  std::size_t cell = 0;
  std::size_t stage = 0;  ///< Index into the cell's stages.
};

struct Job {
  const StageInstance* instance = nullptr;  ///< Of its first user; borrowed from the configuration.
  KeyParts parts;
  std::vector<JobInput> inputs;
  std::string identity;
  std::vector<JobUser> users;
};

struct JobGraph {
  std::vector<Job> jobs;  ///< Producers before consumers.
  /// cell → stage index → job index; kSkipped for a stage that `--until` leaves out.
  std::vector<std::vector<std::size_t>> cell_jobs;
  static constexpr std::size_t kSkipped = static_cast<std::size_t>(-1);
  Secrets secrets;  ///< Of the world: not in what is said about the jobs.
};

/// What the graph needs to know of the world; the program gives the real thing, tests give lambdas.
struct GraphWorld {
  Machine machine;
  /// Content digest of the file or folder at an absolute path. Throws Error.
  std::function<std::string(const std::string& path)> digest_path;
  /// The result behind `run:RUN/STAGE.PORT`: the job and the port's digest. Throws Error.
  std::function<std::pair<JobRef, std::string>(const InputSource&)> earlier_result;
  Secrets secrets = {};  ///< What may stand in no key document and in no reason.
};

/// `until`: only these instances and what they need; empty = all. Throws Error for a path that is
/// not there (usage) and for a device that is not there (environment).
JobGraph build_graph(const Configuration& configuration, const GraphWorld& world,
                     const std::vector<std::string>& until = {});

/// The indices of `cell`'s stages that are `names` or come after one of them.
std::vector<bool> downstream_of(const Cell& cell, const std::vector<std::string>& names);
/// The indices of `cell`'s stages that are `names` or come before one of them.
std::vector<bool> upstream_of(const Cell& cell, const std::vector<std::string>& names);

/// Whether an input_path value names something on this machine (and not a keyword or a URL).
bool names_local_path(const FieldInfo& field, const std::string& value);

}  // namespace cifarpipe
