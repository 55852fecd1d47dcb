// `cifarpipe ui`: a local MLflow beside the store, brought up to date and opened. It is a copy:
// everything in it can be made again from the store.
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <memory>
#include <optional>

#include "cli/command.hpp"
#include "cli/help.hpp"
#include "cli/mlflow_server.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"
#include "pipeline/file_ops.hpp"
#include "pipeline/lock.hpp"

extern char** environ;

namespace cifarpipe::cli {
namespace {

namespace fs = std::filesystem;
constexpr int kUsualPort = 5000;  // MLflow's own.

struct UiArguments {
  std::string host = "127.0.0.1";
  std::optional<int> port;
  bool no_browser = false;
};

/// Starts a program and leaves it: what it prints goes to stderr, or nowhere. -1 if it cannot.
pid_t start(std::vector<std::string> arguments, bool quiet) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  if (quiet) {
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  }
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<std::string> environment = environment_without_mlflow();
  std::vector<char*> pointers;
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);
  std::vector<char*> variables;
  for (std::string& variable : environment) variables.push_back(variable.data());
  variables.push_back(nullptr);
  pid_t pid = -1;
  const int error =
      posix_spawnp(&pid, pointers[0], &actions, &attributes, pointers.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  return error == 0 ? pid : -1;
}

/// Sends what the server does not have yet; false if a signal asked to stop meanwhile.
bool bring_up_to_date(const Program& program, const std::string& url, SignalQueue& signals) {
  const pid_t pid = start(
      {program.executable.string(), "--runs", runs_folder(program).string(), "sync", "--to", url},
      false);
  bool stopped = false;
  int status = 0;
  while (pid > 0 && waitpid(pid, &status, WNOHANG) != pid) {
    if (SignalQueue::asks_to_stop(signals.wait(1000))) {
      stopped = true;
      kill(pid, SIGTERM);  // On a terminal it had its Ctrl-C already.
    }
  }
  if (!stopped && (pid < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 0)) {
    say("cifarpipe: not everything is in MLflow yet; `cifarpipe sync --to {}` sends "
        "the rest\n",
        url);
  }
  return !stopped;
}

void open_browser(const std::string& page) {
  const auto is_set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  if (is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")) start({"xdg-open", page}, true);
}

/// Says where it is. MLflow opens in the mode for language models unless the link says otherwise.
void present(const std::string& url, const UiArguments& arguments) {
  const std::string page = url + "/#/experiments?workflowType=machine_learning";
  fmt::print("{}\n", page);
  std::fflush(stdout);
  if (!arguments.no_browser) open_browser(page);
}

int port_for(const UiArguments& arguments) {
  int port = arguments.port.value_or(kUsualPort);
  if (is_free_port(arguments.host, port)) return port;
  if (arguments.port) {
    throw Error(fmt::format("something else listens on port {} of {}; choose another with --port, "
                            "or leave it out for a free one",
                            *arguments.port, arguments.host),
                ErrorKind::environment);
  }
  port = 0;
  if (is_free_port(arguments.host, port)) return port;
  throw Error(fmt::format("no port of {} is free", arguments.host), ErrorKind::environment);
}

fs::path require_mlflow(const Program& program) {
  // build/release/bin/cifarpipe: the launcher's environment is in the checkout.
  const fs::path checkout = program.executable.parent_path() / "../../..";
  const fs::path found = find_mlflow({fs::current_path(), checkout.lexically_normal()});
  if (!found.empty()) return found;
  throw Error(
      "there is no mlflow on the PATH or in .venv/bin; `python3 -m venv .venv && .venv/bin/pip "
      "install mlflow` gets one",
      ErrorKind::environment);
}

/// Another `cifarpipe ui` has this store's server: nothing is started, it is brought up to date.
int join(const Program& program, const UiArguments& arguments, const fs::path& url_file) {
  SignalQueue signals;
  std::string url;
  constexpr int kPatience = 1800;  // Tenths of a second: it may be starting.
  std::error_code error;
  for (int i = 0; i < kPatience && url.empty(); ++i) {
    if (fs::exists(url_file, error)) url = read_text_file(url_file);
    if (url.empty() && SignalQueue::asks_to_stop(signals.wait(100))) return 0;
  }
  if (url.empty()) {
    throw Error("another `cifarpipe ui` of this store is starting its server and does not get done",
                ErrorKind::environment);
  }
  say("another `cifarpipe ui` runs the server of this store\n");
  if (arguments.port && url != server_url(arguments.host, *arguments.port)) {
    say("it listens on {}, not on port {}\n", url, *arguments.port);
  }
  if (bring_up_to_date(program, url, signals)) present(url, arguments);
  return 0;
}

/// Until a signal asks to stop.
void watch(MlflowServer& server, SignalQueue& signals) {
  for (;;) {
    const int signal = signals.wait(3'600'000);
    if (SignalQueue::asks_to_stop(signal)) return;
    if (!server.is_alive()) {
      throw Error("mlflow ended by itself: " + server.last_words(), ErrorKind::environment);
    }
    while (signal == SIGCHLD && waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }
}

int ui(const Program& program, const UiArguments& arguments) {
  const fs::path runs = runs_folder(program);
  std::error_code error;
  if (!fs::exists(runs / "cifarpipe.db", error)) {
    throw Error(fmt::format("no runs yet in {}", program.runs_dir), ErrorKind::usage);
  }
  const fs::path folder = runs / "mlflow";
  const fs::path url_file = folder / "server.url";
  fs::create_directories(folder, error);
  if (error) throw file_error("make", folder, error.value());
  const auto lock = Lock::try_lock(folder / "server.lock");
  if (!lock) return join(program, arguments, url_file);
  fs::remove(url_file, error);  // Of one that was killed.
  const fs::path mlflow = require_mlflow(program);
  const int port = port_for(arguments);
  SignalQueue signals;
  say("starting {}; Ctrl-C ends it\n", mlflow.string());
  MlflowServer server({mlflow, folder, arguments.host, port});
  if (!server.wait_until_healthy(signals)) return 0;
  const std::string url = server_url(arguments.host, port);
  file_ops().replace_file(url_file, url);
  if (bring_up_to_date(program, url, signals)) {
    present(url, arguments);
    watch(server, signals);
  }
  fs::remove(url_file, error);
  say("stopping mlflow\n");
  server.stop();
  return 0;
}

}  // namespace

void add_ui_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "ui", "Bring a local MLflow up to date with the store and open it, until Ctrl-C.");
  const auto arguments = std::make_shared<UiArguments>();
  command->add_option("--host", arguments->host, "Where it listens (default: 127.0.0.1).")
      ->type_name("HOST");
  command->add_option("--port", arguments->port, "Its port (default: 5000, else a free one).")
      ->type_name("N")
      ->check(whole_number(1, 65535));
  command->add_flag("--no-browser", arguments->no_browser, "Only print where it is.");
  command->footer("Its database and artifacts are in DIR/mlflow; they can be removed at any time.");
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return ui(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
