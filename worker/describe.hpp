// `cifarpipe-worker --describe FILE`: what cifarpipe_add_stage asks after linking a plugin. Main
// thread; ends the process.
#pragma once

#include <filesystem>

namespace cifarpipe {

/// Loads the plugin and prints the text of its schema section to stdout; what the plugin itself
/// prints goes to stderr. Returns the exit code, with the reason of a failure on stderr.
int describe_plugin(const std::filesystem::path& path);

}  // namespace cifarpipe
