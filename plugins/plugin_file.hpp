// All that a plugin file says about itself, read without loading it. Shared by the catalog (what
// can be used) and by the loader (what may be loaded). Values only: any thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "plugins/abi.hpp"

namespace cifarpipe {

struct PluginFile {
  std::filesystem::path path;  ///< Absolute.
  unsigned owner = 0;
  unsigned mode = 0;
  Stamp stamp;
  std::string build_id;               ///< Hex; never empty.
  std::optional<std::string> schema;  ///< The text of `.cifarpipe.schema`, if it has one.
};

/// Reads headers, notes and the schema section. Throws Error (environment) with a whole sentence
/// if it is no plugin. The stamp is not compared with anything here.
PluginFile read_plugin_file(const std::filesystem::path& path);

/// Why nobody careful would load a file of this owner and mode: a sentence, or nothing. Accepted:
/// owned by root, by this user, or by whoever owns the program; writable by its owner alone.
std::optional<std::string> permission_problem(const PluginFile& file);

}  // namespace cifarpipe
