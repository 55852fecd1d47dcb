// The results on disk: `store/3f/3f9c…e1[.<generation>]/{stage.json, metrics.jsonl, <port>/…}`, each
// complete or absent. Directories are the truth; the database is an index of them. One thread.
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
  /// Makes the folders that are missing below `runs_dir`.
  Store(std::filesystem::path runs_dir, FileOps& ops);

  const std::filesystem::path& root() const { return root_; }          ///< runs/
  std::filesystem::path rings_dir() const { return root_ / "store/rings"; }
  std::filesystem::path result_dir(const JobRef& job) const;
  std::filesystem::path partial_dir(const JobRef& job) const;  ///< Kept through attempts.
  std::filesystem::path lock_file(const JobRef& job) const;

  /// The current result of a key: the highest generation that is intact as far as the sizes of its
  /// files tell. A damaged one is moved to store/tmp and counts as absent.
  std::optional<StoredResult> find(const std::string& key);
  /// A certain generation, intact or not at all.
  std::optional<StoredResult> find(const JobRef& job);
  /// The lowest generation without a directory.
  int next_generation(const std::string& key) const;

  /// A new empty directory below store/tmp in which a job writes its outputs.
  std::filesystem::path new_work_dir();
  /// Publishes `work_dir` (its port folders already durable, digests in `record`): writes
  /// metrics.jsonl and stage.json, sets modes, renames into place, fsyncs the parent, and removes
  /// partial_dir. Throws and leaves no half result if anything fails.
  StoredResult publish(const std::filesystem::path& work_dir, const ResultRecord& record,
                       const std::vector<VisiblePoint>& points);

  /// Every result in the store, in the order of keys.
  std::vector<JobRef> list() const;
  /// Rehashes one result; the problems found.
  std::vector<VerifyProblem> verify(const JobRef& job);
  /// Moves a damaged result out of the way.
  void set_aside(const JobRef& job);
  void remove(const JobRef& job);
  /// Points from a result's metrics.jsonl.
  std::vector<VisiblePoint> read_points(const JobRef& job) const;
  /// Removes what nobody holds any more in store/tmp (older than `seconds`) and locks of no job.
  std::vector<std::filesystem::path> stale_work_dirs() const;

 private:
  std::filesystem::path root_;
  FileOps& ops_;
};

}  // namespace cifarpipe
