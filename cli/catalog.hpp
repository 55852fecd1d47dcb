// Where the commands get the stages from: the plugin files on the search path, read but not loaded.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "cli/command.hpp"
#include "pipeline/catalog.hpp"

namespace cifarpipe::cli {

/// `from_file`: the folders that the configuration file names ([plugins] paths).
std::unique_ptr<StageCatalog> open_catalog(const Program& program,
                                           const std::vector<std::filesystem::path>& from_file);

}  // namespace cifarpipe::cli
