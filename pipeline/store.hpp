// The results on disk: `store/3f/3f9c…e1[.<generation>]/{stage.json, metrics.jsonl, <port>/…}`,
// each complete or absent. Directories are the truth; the database is an index of them.
// docs/store.md tells what holds at every instant. One thread a Store; any number of processes on
// one folder.
//
// What makes or removes a result of a job does so under that job's lock (`lock_file`).
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/file_ops.hpp"
#include "pipeline/lock.hpp"
#include "pipeline/recorder.hpp"

namespace cifarpipe {

/// A result that is there.
struct StoredResult {
  ResultRecord record;
  std::filesystem::path dir;
  const PortFiles* port(std::string_view name) const;
  std::filesystem::path port_dir(std::string_view name) const { return dir / name; }
};

struct VerifyProblem {
  JobRef job;
  std::string message;
};

class Store {
 public:
  /// Makes the folders that are missing below `runs_dir`. An Error has kind environment.
  Store(std::filesystem::path runs_dir, FileOps& ops);
  /// As it is, for those who only look.
  enum class AsItIs {};
  Store(std::filesystem::path runs_dir, FileOps& ops, AsItIs);

  const std::filesystem::path& root() const { return root_; }  ///< runs/
  std::filesystem::path rings_dir() const { return root_ / "store/rings"; }
  std::filesystem::path result_dir(const JobRef& job) const;
  std::filesystem::path partial_dir(const JobRef& job) const;  ///< Kept through attempts.
  std::filesystem::path lock_file(const JobRef& job) const;
  /// Shared by all who carry out pipelines, exclusive for who removes results: a result that a run
  /// is about to find or to read does not go.
  std::filesystem::path use_lock_file() const { return root_ / "store/use.lock"; }

  /// The current result of a key: the highest generation that is intact as far as the sizes of its
  /// files tell. A damaged one is moved to store/tmp (unless someone is at work on that job) and
  /// counts as absent.
  std::optional<StoredResult> find(const std::string& key);
  /// A certain generation, intact or not at all.
  std::optional<StoredResult> find(const JobRef& job);
  /// The lowest generation above all that have a directory.
  int next_generation(const std::string& key) const;

  /// A new empty directory below store/tmp in which a job writes its outputs; what an earlier,
  /// killed attempt of the same job left there is removed. The caller holds the job's lock.
  std::filesystem::path new_work_dir(const JobRef& job);
  /// Publishes `work_dir` (its port folders already durable, digests in `record`): writes
  /// metrics.jsonl and stage.json, sets modes, renames into place, fsyncs the parent, and removes
  /// partial_dir. Throws and leaves no half result if anything fails; `work_dir` is gone then too.
  /// The caller holds the job's lock.
  StoredResult publish(const std::filesystem::path& work_dir, const ResultRecord& record,
                       const std::vector<VisiblePoint>& points);

  /// Every directory of a result in the store, intact or not, in the order of keys.
  std::vector<JobRef> list() const;
  /// Rehashes one result; the problems found.
  std::vector<VerifyProblem> verify(const JobRef& job) const;
  /// Moves a damaged result out of the way.
  void set_aside(const JobRef& job);
  /// Removes a result with what an unfinished attempt left in partial_dir.
  void remove(const JobRef& job);
  /// Points from a result's metrics.jsonl.
  std::vector<VisiblePoint> read_points(const JobRef& job) const;

  /// What is in store/tmp of jobs that nobody holds: work of killed attempts, damaged results.
  std::vector<std::filesystem::path> stale_work_dirs() const;
  /// The jobs that have a partial_dir: unfinished ones, or finished in the instant of a kill.
  std::vector<JobRef> partials() const;
  /// Removes the lock files that nobody holds.
  void remove_free_locks();

 private:
  std::filesystem::path store_dir() const { return root_ / "store"; }
  std::filesystem::path tmp_dir() const { return root_ / "store/tmp"; }
  /// Moves a result to store/tmp; its path there.
  std::filesystem::path take_away(const JobRef& job, std::string_view why);
  void write_result(const std::filesystem::path& work_dir, const ResultRecord& record,
                    const std::vector<VisiblePoint>& points);

  std::filesystem::path root_;
  FileOps& ops_;
};

/// Whether two results have the same files with the same contents, port by port.
bool same_outputs(const ResultRecord& a, const ResultRecord& b);
/// The files that differ or that only one of them has, as "port/path", sorted.
std::vector<std::string> differing_files(const ResultRecord& a, const ResultRecord& b);

}  // namespace cifarpipe
