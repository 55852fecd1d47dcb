// `cifarpipe check`: every check that needs no work done.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/config_arguments.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
namespace {

int check(const Program& program, const ConfigArguments& arguments) {
  const LoadedConfig loaded = load_config(program, arguments);
  const Configuration& configuration = loaded.configuration;
  fmt::print("{}: ok: {}{}\n", configuration.file,
             counted(configuration.cells.front().stages.size(), "stage"),
             configuration.has_matrix ? ", " + counted(configuration.cells.size(), "cell") : "");
  return 0;
}

}  // namespace

void add_check_command(CLI::App& app, Program& program) {
  auto* command =
      app.add_subcommand("check", "Check a file, all cells of it, without running anything.");
  auto arguments = std::make_shared<ConfigArguments>();
  add_config_arguments(*command, *arguments);
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return check(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
