// The program: lists the commands, dispatches, and turns what they throw into one line and an exit
// code. What a command does stands in its own file.
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <optional>

#include "cli/command.hpp"
#include "cli/help.hpp"
#include "cli/say.hpp"
#include "pipeline/diagnostics.hpp"
#include "pipeline/error.hpp"

namespace cifarpipe::cli {
namespace {

void add_commands(CLI::App& app, Program& program) {
  add_run_command(app, program);
  add_plan_command(app, program);
  add_check_command(app, program);
  add_config_command(app, program);
  add_stages_command(app, program);
  add_init_command(app, program);
  add_runs_command(app, program);
  add_sync_command(app, program);
  add_report_command(app, program);
  add_ui_command(app, program);
  add_export_run_command(app, program);
  add_reproduce_command(app, program);
  add_gc_command(app, program);
  add_verify_command(app, program);
  add_doctor_command(app, program);
  add_completion_command(app, program);
}

void add_global_options(CLI::App& app, Program& program) {
  app.add_option("--runs", program.runs_dir,
                 "Where runs and results are kept (default: ./runs, or CIFARPIPE_RUNS).")
      ->type_name("DIR");
  app.add_option("--plugin-path", program.plugin_paths,
                 "One more folder with plugins; may be given many times.")
      ->type_name("DIR")
      ->allow_extra_args(false);
  app.add_flag_callback(
      "--version", [] { throw CLI::CallForVersion("cifarpipe " CIFARPIPE_VERSION, 0); },
      "Show the version.");
}

bool wants_color() {
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') &&
         term != nullptr && std::string_view(term) != "dumb";
}

Program program_as_called(int argc, char** argv) {
  Program program;
  std::error_code ec;
  program.executable = std::filesystem::read_symlink("/proc/self/exe", ec);
  program.arguments.assign(argv + 1, argv + argc);
  const char* runs = std::getenv("CIFARPIPE_RUNS");
  program.runs_dir = runs != nullptr && *runs != '\0' ? runs : "runs";
  program.color = wants_color();
  program.secrets = Secrets::of_environment();
  return program;
}

int complain(const Program& program, std::string_view message, int code) {
  const bool color = program.color;
  if (!message.empty()) {
    say("cifarpipe: {}error:{} {}\n", color ? "\x1b[31;1m" : "", color ? "\x1b[0m" : "",
        program.secrets.redacted(message));
  }
  return code;
}

// An Error that points at a place prints like the checks do.
int complain(const Program& program, const Error& error) {
  const std::string_view what = error.what();
  // A stage that fails does so in its worker, and `run` tells it as it goes on. What is thrown in
  // this process (a file that cannot be read or written) is the machine's.
  const int code = error.kind() == ErrorKind::stage ? static_cast<int>(ErrorKind::environment)
                                                    : error.exit_code();
  if (!error.place() || !error.place()->known() || what.empty()) {
    return complain(program, what, code);
  }
  Diagnostics diagnostics;
  diagnostics.error(*error.place(), what);
  say_text(program.secrets.redacted(diagnostics.render(program.color)));
  return code;
}

/// Whether all that was printed has got out; else why not. A reader that has left is no failure.
std::optional<std::string> output_problem() {
  if (std::fflush(stdout) != 0) {  // std::cout has no buffer of its own.
    if (errno == EPIPE) return std::nullopt;
    return std::strerror(errno);
  }
  if (std::ferror(stdout) == 0 && !std::cout.fail()) return std::nullopt;
  // Something failed before, and why is forgotten.
  pollfd out{STDOUT_FILENO, POLLOUT, 0};
  const bool left = ::poll(&out, 1, 0) == 1 && (out.revents & POLLERR) != 0;
  if (left) return std::nullopt;
  return "a part of it is missing; is the disk full?";
}

int parse(CLI::App& app, Program& program, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForVersion& version) {
    fmt::print("{}\n", version.what());
    return 0;
  } catch (const CLI::Success& help) {  // CallForHelp, of whichever command.
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return complain(program, usage_problem(app, error), static_cast<int>(ErrorKind::usage));
  }
  if (!program.action) {
    say_text(front_page(app));
    return static_cast<int>(ErrorKind::usage);
  }
  return -1;
}

int act(const Program& program) {
  try {
    require_runs_folder(program);
    return program.action();
  } catch (const Error& error) {
    return complain(program, error);
  } catch (const std::exception& error) {
    if (std::ferror(stdout) != 0) return static_cast<int>(ErrorKind::environment);  // Told below.
    return complain(program, error.what(), static_cast<int>(ErrorKind::environment));
  }
}

int run(int argc, char** argv) {
  Program program = program_as_called(argc, argv);
  CLI::App app{"cifarpipe: pipelines of plugin stages that train image classifiers", "cifarpipe"};
  app.fallthrough();
  // One command a call, at every level (inherited): else a word that another command is called by,
  // such as a stage's name, would begin that one instead of being an argument of this one.
  app.require_subcommand(0, 1);
  add_global_options(app, program);
  add_commands(app, program);
  for (CLI::App* sub : app.get_subcommands({})) sub->fallthrough();
  use_own_help(app);
  int code = parse(app, program, argc, argv);
  if (code < 0) {
    // `runs list | head` ends quietly, but a run goes on when its reader leaves.
    const bool is_run = app.get_subcommands().front()->get_name() == "run";
    std::signal(SIGPIPE, is_run ? SIG_IGN : SIG_DFL);
    code = act(program);
  }
  if (const auto problem = output_problem()) {
    return complain(program, fmt::format("cannot write the output: {}", *problem),
                    static_cast<int>(ErrorKind::environment));
  }
  return code;
}

}  // namespace
}  // namespace cifarpipe::cli

int main(int argc, char** argv) {
  cifarpipe::cli::fill_standard_streams();
  return cifarpipe::cli::run(argc, argv);
}
