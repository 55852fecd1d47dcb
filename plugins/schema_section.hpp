// What `.cifarpipe.schema` of a plugin file holds: all its stages, as JSON, with the build-id of
// the code that they describe. cifarpipe_add_stage writes it after linking. Values: any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/stage.hpp"

namespace cifarpipe {

inline constexpr std::string_view kSchemaSection = ".cifarpipe.schema";
inline constexpr std::size_t kMaxSchemaSection = 4 << 20;

struct PluginDescription {
  std::string name;
  std::string version;
  std::string build_id;  ///< Of the file that was described.
  std::vector<StageDescription> stages;
};

/// One line, ended by a newline.
std::string schema_section_text(const PluginDescription& plugin);
/// Throws Error; the sentence has no file in it.
PluginDescription parse_schema_section(std::string_view text);
/// Only the names, from a section that may be of another version of cifarpipe. Never throws.
std::vector<std::string> stage_names_in(std::string_view text);

}  // namespace cifarpipe
