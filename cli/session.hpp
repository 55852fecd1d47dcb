// What `run` and `plan` need before they can begin: the configuration with its catalog, the store
// with its recorder, the machine. One thread.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/config_arguments.hpp"
#include "pipeline/graph.hpp"
#include "pipeline/recorder.hpp"
#include "pipeline/store.hpp"

namespace cifarpipe {
class SqliteRecorder;
}

namespace cifarpipe::cli {

/// The folder of the store, absolute, whether it is there or not.
std::filesystem::path runs_folder(const Program& program);

/// The store of `program.runs_dir`, with what a command does first in it: rows of dead runs are
/// closed, metrics that dead workers left are stored, a lost database is indexed again. Who only
/// looks and may not write there, or finds the disk full, sees the store as it is: none of that is
/// done.
class Session {
 public:
  enum class Purpose { change, look };
  explicit Session(const Program& program, Purpose purpose = Purpose::change);
  ~Session();

  Store& store() { return store_; }
  Recorder& recorder();
  SqliteRecorder& sqlite() { return *recorder_; }
  /// What the graph asks of the world; borrows this session.
  GraphWorld world(const Program& program, const Configuration& configuration);

 private:
  Session(const std::filesystem::path& runs, Purpose purpose);
  Session(const std::filesystem::path& runs, bool as_it_is);
  RunRecord earlier_run(const InputSource& source);
  std::string digest_of(const std::string& path);
  using NewDigests = std::vector<std::pair<Recorder::FileStamp, std::string>>;
  /// From the table where it is known, else hashed and added to `made`.
  std::string digest_of_file(const std::filesystem::path& file, NewDigests& made);
  /// In one commit: one a file would take longer than all the hashing.
  void remember(NewDigests& made);

  const bool as_it_is_;
  Store store_;
  std::unique_ptr<SqliteRecorder> recorder_;
};

}  // namespace cifarpipe::cli
