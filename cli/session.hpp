// What `run` and `plan` need before they can begin: the configuration with its catalog, the store
// with its recorder, the machine. One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "pipeline/graph.hpp"
#include "pipeline/store.hpp"

namespace cifarpipe {
class SqliteRecorder;
}

namespace cifarpipe::cli {

/// FILE and --set, as several commands take them.
struct ConfigArguments {
  std::string file;
  std::vector<std::string> sets;
};
void add_config_arguments(CLI::App& command, ConfigArguments& arguments);

/// A configuration that has passed every check, with the catalog that it borrows from.
struct LoadedConfig {
  std::unique_ptr<StageCatalog> catalog;
  Configuration configuration;
};

/// Loads, prints what is wrong (warnings too) to stderr, and throws an empty Error (usage) on
/// errors: all has been said.
LoadedConfig load_config(const Program& program, const ConfigArguments& arguments);

/// The store of `program.runs_dir`, with what a command does first in it: rows of dead runs are
/// closed, metrics that dead workers left are stored, a lost database is indexed again.
class Session {
 public:
  explicit Session(const Program& program);
  ~Session();

  Store& store() { return store_; }
  Recorder& recorder();
  SqliteRecorder& sqlite() { return *recorder_; }
  /// What the graph asks of the world; borrows this session.
  GraphWorld world(const Configuration& configuration);

 private:
  std::string digest_of(const std::string& path);
  std::string digest_of_file(const std::filesystem::path& file);

  Store store_;
  std::unique_ptr<SqliteRecorder> recorder_;
};

}  // namespace cifarpipe::cli
