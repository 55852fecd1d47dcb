// FILE and --set, as several commands take them, and the checked configuration that they give.
// Main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/command.hpp"
#include "pipeline/config.hpp"

namespace cifarpipe::cli {

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

/// Loads, prints what is wrong (warnings too) to stderr, and throws an empty Error on errors: all
/// has been said. Its kind is environment if only plugins are to blame, else usage.
LoadedConfig load_config(const Program& program, const ConfigArguments& arguments);

/// What must never be written down or shown: of the environment, and the secrets of the file.
Secrets secrets_of(const Program& program, const Configuration& configuration);

}  // namespace cifarpipe::cli
