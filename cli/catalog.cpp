#include "cli/catalog.hpp"

#include <cstdlib>

#include "plugins/catalog.hpp"

namespace cifarpipe::cli {

std::unique_ptr<StageCatalog> open_catalog(const Program& program,
                                           const std::vector<std::filesystem::path>& from_file) {
  return std::make_unique<PluginCatalog>(plugin_search_path(
      program.plugin_paths, from_file, std::getenv("CIFARPIPE_PLUGIN_PATH"), program.executable));
}

}  // namespace cifarpipe::cli
