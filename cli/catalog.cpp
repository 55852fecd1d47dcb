#include "cli/catalog.hpp"

#include <fmt/format.h>

#include <cstdlib>

#include "pipeline/error.hpp"
#include "plugins/catalog.hpp"

namespace cifarpipe::cli {

std::unique_ptr<StageCatalog> open_catalog(const Program& program,
                                           const std::vector<std::filesystem::path>& from_file) {
  // Named in this call: a folder of a file or of the environment may be for another machine.
  for (const std::filesystem::path& folder : program.plugin_paths) {
    std::error_code error;
    if (std::filesystem::is_directory(folder, error)) continue;
    throw Error(fmt::format("--plugin-path {}: there is no such folder", folder.string()),
                ErrorKind::usage);
  }
  return std::make_unique<PluginCatalog>(plugin_search_path(
      program.plugin_paths, from_file, std::getenv("CIFARPIPE_PLUGIN_PATH"), program.executable));
}

}  // namespace cifarpipe::cli
