#include "plugins/schema_section.hpp"

#include <nlohmann/json.hpp>

#include "pipeline/description.hpp"

namespace cifarpipe {
namespace {

using Json = nlohmann::ordered_json;

// Raised when an older program could not read the section.
constexpr int kFormat = 1;

}  // namespace

std::string schema_section_text(const PluginDescription& plugin) {
  Json stages = Json::array();
  for (const StageDescription& stage : plugin.stages) stages.push_back(Json::parse(to_json(stage)));
  const Json j = {{"format", kFormat},
                  {"name", plugin.name},
                  {"version", plugin.version},
                  {"build_id", plugin.build_id},
                  {"stages", std::move(stages)}};
  return j.dump() + "\n";
}

PluginDescription parse_schema_section(std::string_view text) {
  try {
    const Json j = Json::parse(text);
    const int format = j.at("format");
    if (format != kFormat) {
      throw Error("its description has format " + std::to_string(format) + " and not " +
                  std::to_string(kFormat));
    }
    PluginDescription plugin{j.at("name"), j.at("version"), j.at("build_id"), {}};
    for (const Json& stage : j.at("stages")) {
      plugin.stages.push_back(description_from_json(stage.dump()));
    }
    return plugin;
  } catch (const nlohmann::json::exception& e) {
    throw Error(std::string("its description cannot be read: ") + e.what());
  }
}

std::vector<std::string> stage_names_in(std::string_view text) {
  std::vector<std::string> names;
  const Json j = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!j.is_object() || !j.contains("stages")) return names;
  for (const Json& stage : j["stages"]) {
    if (!stage.is_object()) continue;
    const auto name = stage.find("name");
    if (name != stage.end() && name->is_string()) names.push_back(name->get<std::string>());
  }
  return names;
}

}  // namespace cifarpipe
