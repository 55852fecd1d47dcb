// Loads plugins into this process: only a worker does. Checks everything that can be known from
// the file before any of its code runs. What is loaded stays: neither libtorch nor its users
// survive being unloaded. Load from one thread; it must outlive every stage made by its entries.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/stage.hpp"

namespace cifarpipe {

struct LoadedPlugin {
  std::string path;  ///< Absolute.
  std::string name;
  std::string version;
  std::string build_id;
  std::vector<StageRegistry::Entry> stages;
};

class PluginLoader {
 public:
  /// Loads a plugin, or gives the one that was loaded from this path and build before. With
  /// `expected_build_id`, any other build is refused. Throws Error (environment) with a sentence
  /// that names the file; a refused plugin's stages are not found.
  const LoadedPlugin& load(const std::filesystem::path& path,
                           std::string_view expected_build_id = {});

  /// The stage called so in a loaded plugin, or null.
  const StageRegistry::Entry* find(std::string_view stage) const;

 private:
  std::vector<std::unique_ptr<LoadedPlugin>> plugins_;
};

}  // namespace cifarpipe
