#include "cli/config_arguments.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "cli/catalog.hpp"
#include "cli/say.hpp"

namespace cifarpipe::cli {
namespace {

// A plugin that cannot be used but that the file does not ask for: worth a line, not a failure.
void warn_about_other_plugins(const StageCatalog& catalog, const Configuration& configuration) {
  std::set<std::string> used;
  for (const StageInstance& stage : configuration.cells.front().stages) {
    used.insert(stage.type->description.name);
  }
  for (const StageCatalog::Problem& problem : catalog.problems()) {
    const bool needed = std::any_of(problem.stages.begin(), problem.stages.end(),
                                    [&](const std::string& s) { return used.count(s) > 0; });
    if (!needed) say("cifarpipe: warning: {}\n", problem.message);
  }
}

}  // namespace

void add_config_arguments(CLI::App& command, ConfigArguments& arguments) {
  command.add_option("FILE", arguments.file, "The pipeline file.")->required();
  command
      .add_option("--set", arguments.sets,
                  "Set one value, such as train.lr=0.01 (texts need no quotes); may be given many "
                  "times.")
      ->type_name("PATH=VALUE")
      ->allow_extra_args(false);
}

LoadedConfig load_config(const Program& program, const ConfigArguments& arguments) {
  if (arguments.file.empty()) {
    throw Error("the name of the pipeline file is empty", ErrorKind::usage);
  }
  LoadedConfig loaded;
  loaded.catalog = open_catalog(program, plugin_paths_of(arguments.file));
  std::vector<SetArgument> sets;
  for (const std::string& text : arguments.sets) {
    sets.push_back({text, static_cast<int>(sets.size()) + 1});
  }
  Diagnostics diagnostics;
  auto configuration = load_configuration(arguments.file, sets, *loaded.catalog, diagnostics);
  if (!diagnostics.all().empty()) {
    say_text(program.secrets.redacted(diagnostics.render(program.color)));
  }
  if (!configuration) throw Error("", static_cast<ErrorKind>(diagnostics.exit_code()));
  loaded.configuration = std::move(*configuration);
  warn_about_other_plugins(*loaded.catalog, loaded.configuration);
  return loaded;
}

Secrets secrets_of(const Program& program, const Configuration& configuration) {
  Secrets secrets = program.secrets;
  for (const Cell& cell : configuration.cells) {
    for (const StageInstance& stage : cell.stages) {
      for (const auto& [name, value] : stage.params) {
        const FieldInfo* field = stage.type->description.params.find(name);
        if (field == nullptr || !field->secret) continue;
        const auto* text = std::get_if<std::string>(&value);
        secrets.add_parameter(stage.name, name, text != nullptr ? *text : to_text(value));
      }
    }
  }
  return secrets;
}

}  // namespace cifarpipe::cli
