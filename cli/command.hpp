// What the commands of the program share. Each command is one file with one function that adds its
// options to the parser; main.cpp only lists them and dispatches. Main thread.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pipeline/secrets.hpp"

namespace CLI {
class App;
}

namespace cifarpipe::cli {

/// The program as it was called. Filled while the command line is parsed, read by the actions.
struct Program {
  std::filesystem::path executable;                 ///< Absolute.
  std::vector<std::string> arguments;               ///< As typed, without the program's name.
  std::string runs_dir;                             ///< --runs, else CIFARPIPE_RUNS, else "runs".
  std::vector<std::filesystem::path> plugin_paths;  ///< --plugin-path, in order.
  Secrets secrets;                                  ///< Of the environment: not in any message.
  bool color = false;  ///< stderr is a terminal and NO_COLOR is not set.
  /// What the chosen subcommand does; returns the exit code. Set by its parser callback; throws
  /// Error, whose kind becomes the exit code.
  std::function<int()> action;
};

/// Throws Error (usage) for what can be no folder of runs: a file, or nothing.
void require_runs_folder(const Program& program);
/// The words that lead a further command to the same store and plugins: "cifarpipe --runs DIR".
std::vector<std::string> same_program(const Program& program);
/// Such a command as it can be shown and typed: "cifarpipe --runs DIR runs list".
std::string next_command(const Program& program, const Secrets& secrets,
                         const std::vector<std::string>& words);

// Each adds one subcommand (or a family) to `app`.
void add_run_command(CLI::App& app, Program& program);
void add_plan_command(CLI::App& app, Program& program);
void add_check_command(CLI::App& app, Program& program);
void add_config_command(CLI::App& app, Program& program);
void add_stages_command(CLI::App& app, Program& program);
void add_runs_command(CLI::App& app, Program& program);
void add_sync_command(CLI::App& app, Program& program);
void add_report_command(CLI::App& app, Program& program);
void add_ui_command(CLI::App& app, Program& program);
void add_export_run_command(CLI::App& app, Program& program);
void add_reproduce_command(CLI::App& app, Program& program);
void add_gc_command(CLI::App& app, Program& program);
void add_verify_command(CLI::App& app, Program& program);
void add_doctor_command(CLI::App& app, Program& program);
void add_init_command(CLI::App& app, Program& program);
void add_completion_command(CLI::App& app, Program& program);

}  // namespace cifarpipe::cli
