#include "plugins/loader.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "pipeline/description.hpp"
#include "pipeline/error.hpp"
#include "plugins/plugin.hpp"
#include "plugins/plugin_file.hpp"

namespace cifarpipe {
namespace {

[[noreturn]] void refuse(const std::string& sentence) {
  throw Error(sentence, ErrorKind::environment);
}

// Everything that can be said without running the plugin's code.
PluginFile checked_file(const std::filesystem::path& path, std::string_view expected_build_id) {
  PluginFile file = read_plugin_file(path);
  const std::string name = file.path.string();
  if (const auto problem = permission_problem(file)) refuse(*problem);
  const auto differences = stamp_differences(file.stamp, host_stamp());
  if (!differences.empty()) refuse(stamp_problem(name, differences));
  if (!expected_build_id.empty() && file.build_id != expected_build_id) {
    refuse(
        fmt::format("{} was rebuilt after this run was planned (build {:.12} instead of {:.12}); "
                    "run the command again",
                    name, file.build_id, expected_build_id));
  }
  return file;
}

const cifarpipe_plugin_v1& open_plugin(const PluginFile& file) {
  const std::string name = file.path.string();
  void* handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* reason = ::dlerror();
    refuse(fmt::format("{} cannot be loaded: {}", name, reason == nullptr ? "?" : reason));
  }
  const auto* plugin = static_cast<const cifarpipe_plugin_v1*>(::dlsym(handle, "cifarpipe_plugin"));
  if (plugin == nullptr) {
    refuse(
        fmt::format("{} has no entry 'cifarpipe_plugin'; the line CIFARPIPE_PLUGIN(…) of "
                    "plugins/plugin.hpp makes it",
                    name));
  }
  // The note was compared, but it is this number that the layout of the struct depends on.
  if (plugin->api != CIFARPIPE_SDK_API) {
    refuse(stamp_problem(name, {fmt::format("its entry is for SDK API {} and this program has {}",
                                            plugin->api, CIFARPIPE_SDK_API)}));
  }
  if (plugin->name == nullptr || plugin->version == nullptr || plugin->stamp == nullptr ||
      plugin->register_stages == nullptr) {
    refuse(fmt::format("{} has an incomplete entry 'cifarpipe_plugin'", name));
  }
  if (parse_stamp(plugin->stamp) != file.stamp) {
    refuse(fmt::format("{} was replaced while it was loaded; run the command again", name));
  }
  return *plugin;
}

// Into a registry of its own: whatever happens in there, nothing of it is left in ours.
std::vector<StageRegistry::Entry> registered(const std::string& name,
                                             const cifarpipe_plugin_v1& plugin) {
  StageRegistry scratch;
  std::optional<std::string> reason;
  try {
    plugin.register_stages(scratch);
  } catch (const std::exception& e) {
    reason = e.what();
  } catch (...) {
    reason = "it threw something that is no std::exception";
  }
  if (reason) {
    refuse(fmt::format("{} failed to register its stages: {}", name, *reason));
  }
  if (scratch.entries().empty()) refuse(fmt::format("{} registers no stage", name));
  std::set<std::string_view> names;
  for (const auto& entry : scratch.entries()) {
    const StageDescription& stage = entry.description;
    if (!names.insert(stage.name).second) {
      refuse(fmt::format("{} registers the stage '{}' twice", name, stage.name));
    }
    const auto problems = description_problems(stage);
    if (!problems.empty()) {
      refuse(fmt::format("{} describes its stage '{}' wrongly: {}", name, stage.name,
                         fmt::join(problems, "; ")));
    }
  }
  return scratch.entries();
}

}  // namespace

const LoadedPlugin& PluginLoader::load(const std::filesystem::path& path,
                                       std::string_view expected_build_id) {
  const PluginFile file = checked_file(path, expected_build_id);
  const std::string name = file.path.string();
  for (const auto& plugin : plugins_) {
    if (plugin->build_id == file.build_id) return *plugin;
    if (plugin->path == name) {
      refuse(fmt::format("{} was rebuilt after this process had loaded it; run the command again",
                         name));
    }
  }
  const cifarpipe_plugin_v1& entry = open_plugin(file);
  auto loaded = std::make_unique<LoadedPlugin>(
      LoadedPlugin{name, entry.name, entry.version, file.build_id, registered(name, entry)});
  for (const auto& stage : loaded->stages) {
    for (const auto& plugin : plugins_) {
      const auto same = [&](const auto& s) { return s.description.name == stage.description.name; };
      if (std::any_of(plugin->stages.begin(), plugin->stages.end(), same)) {
        refuse(fmt::format("{} offers the stage '{}', which {} offers already", name,
                           stage.description.name, plugin->path));
      }
    }
  }
  plugins_.push_back(std::move(loaded));
  return *plugins_.back();
}

const StageRegistry::Entry* PluginLoader::find(std::string_view stage) const {
  for (const auto& plugin : plugins_) {
    for (const auto& entry : plugin->stages) {
      if (entry.description.name == stage) return &entry;
    }
  }
  return nullptr;
}

}  // namespace cifarpipe
