#include "plugins/catalog.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "plugins/plugin_file.hpp"
#include "plugins/schema_section.hpp"

namespace cifarpipe {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kSuffix = ".stage.so";

}  // namespace

std::vector<fs::path> plugin_search_path(const std::vector<fs::path>& from_command_line,
                                         const std::vector<fs::path>& from_file,
                                         const char* environment, const fs::path& executable) {
  std::vector<fs::path> out;
  const auto add = [&out](const fs::path& folder) {
    const fs::path path = fs::absolute(folder).lexically_normal();
    if (std::find(out.begin(), out.end(), path) == out.end()) out.push_back(path);
  };
  for (const fs::path& folder : from_command_line) add(folder);
  for (const fs::path& folder : from_file) add(folder);
  std::string_view rest = environment == nullptr ? "" : environment;
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    if (part.starts_with('/')) add(fs::path(part));
  }
  const fs::path own = executable.parent_path().parent_path() / "lib/cifarpipe/plugins";
  // Last even if it was named before: "missing" is no problem only there.
  if (std::find(out.begin(), out.end(), own.lexically_normal()) == out.end()) add(own);
  return out;
}

PluginCatalog::PluginCatalog(const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    std::error_code error;
    if (fs::is_directory(folder, error)) {
      read_folder(folder);
    } else if (&folder != &folders.back()) {
      problems_.push_back(
          {folder.string(),
           fmt::format("{}, where plugins were to be looked for, is no folder", folder.string()),
           {}});
    }
  }
  for (const auto& [name, message] : duplicates_) {
    problems_.push_back({types_.at(name)->plugin_path, message, {name}});
    types_.erase(name);
  }
}

PluginCatalog::~PluginCatalog() = default;

void PluginCatalog::read_folder(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().ends_with(kSuffix)) files.push_back(it->path());
  }
  if (error) {
    problems_.push_back({folder.string(),
                         fmt::format("{} cannot be read: {}", folder.string(), error.message()),
                         {}});
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) read_file(file);
}

void PluginCatalog::read_file(const fs::path& path) {
  std::string stem = path.filename().string();
  stem.resize(stem.size() - kSuffix.size());
  Problem problem{path.string(), "", {stem}};
  try {
    const PluginFile file = read_plugin_file(path);
    if (file.schema) {
      const auto names = stage_names_in(*file.schema);
      if (!names.empty()) problem.stages = names;
    }
    const auto differences = stamp_differences(file.stamp, host_stamp());
    if (!differences.empty()) {
      problem.message = stamp_problem(file.path.string(), differences);
    } else if (const auto permission = permission_problem(file)) {
      problem.message = *permission;
    } else if (!file.schema) {
      problem.message = fmt::format(
          "{} does not describe its stages; rebuild it with "
          "cifarpipe_add_stage",
          file.path.string());
    } else {
      PluginDescription plugin = parse_schema_section(*file.schema);
      if (plugin.build_id != file.build_id) {
        problem.message = fmt::format(
            "{} holds the description of another build; rebuild it with "
            "cifarpipe_add_stage",
            file.path.string());
      } else {
        for (StageDescription& stage : plugin.stages) {
          add({std::move(stage), plugin.name, plugin.version, file.path.string(), file.build_id,
               file.stamp.torch, !file.stamp.torch_cuda.empty()});
        }
        return;
      }
    }
  } catch (const std::exception& e) {
    problem.message = e.what();
    if (!problem.message.starts_with('/')) {
      problem.message = fmt::format("{} cannot be used: {}; rebuild it with cifarpipe_add_stage",
                                    path.string(), problem.message);
    }
  }
  problems_.push_back(std::move(problem));
}

void PluginCatalog::add(StageType type) {
  const std::string name = type.description.name;
  const auto [it, fresh] = types_.try_emplace(name);
  if (fresh) {
    it->second = std::make_unique<StageType>(std::move(type));
  } else if (it->second->build_id != type.build_id) {
    // The same build twice (a copy, a link, a folder named twice) is no contradiction.
    duplicates_.try_emplace(
        name, fmt::format("stage '{}' is offered by both {} and {}; remove one of the two or its "
                          "folder from the search path",
                          name, it->second->plugin_path, type.plugin_path));
  }
}

const StageType* PluginCatalog::find(std::string_view uses) const {
  const auto it = types_.find(uses);
  return it == types_.end() ? nullptr : it->second.get();
}

std::vector<std::string> PluginCatalog::names() const {
  std::vector<std::string> out;
  for (const auto& [name, type] : types_) out.push_back(name);
  return out;
}

std::optional<std::string> PluginCatalog::problem_for(std::string_view uses) const {
  for (const Problem& problem : problems_) {
    if (std::find(problem.stages.begin(), problem.stages.end(), uses) != problem.stages.end()) {
      return problem.message;
    }
  }
  return std::nullopt;
}

}  // namespace cifarpipe
