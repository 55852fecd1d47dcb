// `cifarpipe runs`: what was run, what came out of it, and the little that can be changed about it.
#include "cli/runs.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cctype>
#include <fstream>
#include <memory>

#include "cli/command.hpp"
#include "cli/help.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"
#include "pipeline/diagnostics.hpp"
#include "pipeline/random_id.hpp"
#include "pipeline/run_folder.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

struct RunsArguments {
  std::string run;
  std::vector<std::string> runs;
  std::string key;
  std::string text;
  std::vector<std::string> tags;
  bool json = false;
  bool follow = false;
};

using Arguments = std::shared_ptr<RunsArguments>;

int show(const Program& program, const RunsArguments& arguments) {
  const auto session = open_to_look(program);
  RunQueries queries(session->sqlite().database());
  return show_run(queries, session->recorder().resolve_run(arguments.run), arguments.json);
}

int metrics(const Program& program, const RunsArguments& arguments) {
  const auto session = open_to_look(program);
  RunQueries queries(session->sqlite().database());
  return print_metrics(queries, session->recorder().resolve_run(arguments.run), arguments.key,
                       arguments.json);
}

/// Copies what is there beyond `at` to stdout.
void copy_rest(std::ifstream& log) {
  char buffer[65'536];
  log.clear();
  while (log.read(buffer, sizeof buffer), log.gcount() > 0) {
    std::fwrite(buffer, 1, static_cast<std::size_t>(log.gcount()), stdout);
  }
  std::fflush(stdout);
}

int logs(const Program& program, const RunsArguments& arguments) {
  std::string folder;
  {  // Not held open while following: other commands may want the database to themselves.
    const auto session = open_to_look(program);
    folder = session->recorder().resolve_run(arguments.run).folder;
  }
  const std::filesystem::path file = std::filesystem::path(folder) / "run.log";
  std::ifstream log(file, std::ios::binary);
  if (!log) throw system_error("cannot read " + file.string(), errno);
  for (;;) {
    const bool alive = arguments.follow && RunFolder::is_alive(folder);  // Before the last lines.
    copy_rest(log);
    if (!alive || std::ferror(stdout) != 0) return 0;  // main.cpp tells of a full disk.
    usleep(100'000);
  }
}

/// The place of STAGE or STAGE.PORT of a run.
std::filesystem::path place_in(Session& session, const RunRecord& run, const std::string& what) {
  const std::size_t dot = what.find('.');
  const std::string name = what.substr(0, dot);
  RunQueries queries(session.sqlite().database());
  std::vector<std::string> names;
  for (const StageRow& stage : queries.stages(run.id)) {
    names.push_back(stage.name);
    if (stage.name != name) continue;
    if (stage.status != "finished" || !stage.job) {
      throw Error(
          fmt::format("stage '{}' of {} has no result: it is {}", name, run.name, stage.status),
          ErrorKind::usage);
    }
    const auto result = session.store().find(*stage.job);
    if (!result) {
      throw Error(
          fmt::format("the outputs of stage '{}' of {} are no longer in the store", name, run.name),
          ErrorKind::environment);
    }
    if (dot == std::string::npos) return result->dir;
    const std::string port = what.substr(dot + 1);
    if (result->port(port) != nullptr) return result->port_dir(port);
    std::vector<std::string> ports;
    for (const PortFiles& p : result->record.outputs) ports.push_back(p.port);
    throw Error(fmt::format("stage '{}' of {} has no output '{}'; it has: {}", name, run.name, port,
                            fmt::join(ports, ", ")),
                ErrorKind::usage);
  }
  const std::string near = nearest(name, names);
  throw Error(fmt::format("{} has no stage '{}'{}", run.name, name,
                          near.empty() ? fmt::format("; it has: {}", fmt::join(names, ", "))
                                       : fmt::format("; did you mean '{}'?", near)),
              ErrorKind::usage);
}

int path(const Program& program, const RunsArguments& arguments) {
  const auto session = open_to_look(program);
  const RunRecord run = session->recorder().resolve_run(arguments.run);
  fmt::print("{}\n",
             arguments.key.empty() ? run.folder : place_in(*session, run, arguments.key).string());
  return 0;
}

int tag(const Program& program, const RunsArguments& arguments) {
  std::vector<std::pair<std::string, std::string>> tags;
  for (const std::string& text : arguments.tags) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(fmt::format("'{}' is not a tag: write key=value, or key= to take it away", text),
                  ErrorKind::usage);
    }
    tags.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  const auto session = open_session(program);
  const RunRecord run = session->recorder().resolve_run(arguments.run);
  session->recorder().annotate_run(run.id, std::nullopt, std::nullopt, tags);
  RunQueries queries(session->sqlite().database());
  std::string now;
  for (const auto& [key, value] : queries.tags(run.id)) {
    now += fmt::format(" {}={}", text_shown(key), text_shown(value));
  }
  fmt::print("{} has {}\n", run.name, now.empty() ? "no tags" : "the tags" + now);
  return 0;
}

int note(const Program& program, const RunsArguments& arguments) {
  const auto session = open_session(program);
  const RunRecord run = session->recorder().resolve_run(arguments.run);
  session->recorder().annotate_run(run.id, std::nullopt, arguments.text, {});
  fmt::print("{} has {}\n", run.name, arguments.text.empty() ? "no note" : "a note");
  return 0;
}

int rename(const Program& program, const RunsArguments& arguments) {
  require_run_name(arguments.text);
  const std::string name = program.secrets.redacted(arguments.text);
  const auto session = open_session(program);
  const RunRecord run = session->recorder().resolve_run(arguments.run);
  session->recorder().annotate_run(run.id, name, std::nullopt, {});
  const RunRecord renamed = session->recorder().resolve_run(run.id);
  fmt::print("{} is now {}{}\n", run.name, renamed.name,
             renamed.name == name ? "" : fmt::format(" ({} is taken)", name));
  return 0;
}

/// Whether it or something below it still runs.
bool is_running(RunQueries& queries, const RunRecord& run) {
  if (run.status == RunStatus::running) return true;
  RunFilter filter;
  filter.parent = run.id;
  const auto below = queries.runs(filter);
  return std::any_of(below.begin(), below.end(),
                     [&](const RunRow& row) { return is_running(queries, row.record); });
}

int remove(const Program& program, const RunsArguments& arguments) {
  const auto session = open_session(program);
  RunQueries queries(session->sqlite().database());
  std::vector<RunRecord> runs;
  for (const std::string& name : arguments.runs) {
    runs.push_back(session->recorder().resolve_run(name));
    if (is_running(queries, runs.back())) {
      throw Error(fmt::format("{} is running; stop it first", runs.back().name), ErrorKind::usage);
    }
  }
  for (const RunRecord& run : runs) {
    const std::int64_t count = session->sqlite().delete_run(run.id, now_ms());
    fmt::print("{}{}\n", run.name,
               count == 0  ? " is deleted already"
               : count > 1 ? fmt::format(" and {} below it deleted", count - 1)
                           : " deleted");
  }
  fmt::print(
      "`cifarpipe runs restore` brings a deleted run back until gc has removed its outputs; "
      "its numbers stay\n");
  return 0;
}

int restore(const Program& program, const RunsArguments& arguments) {
  const auto session = open_session(program);
  for (const std::string& name : arguments.runs) {
    const RunRecord run = session->recorder().resolve_run(name);
    const std::int64_t count = session->sqlite().restore_run(run.id);
    fmt::print("{}{}\n", run.name,
               count == 0  ? " is not deleted"
               : count > 1 ? fmt::format(" and {} below it restored", count - 1)
                           : " restored");
  }
  return 0;
}

using Action = int (*)(const Program&, const RunsArguments&);

CLI::App* add(CLI::App& family, Program& program, const Arguments& arguments, const char* name,
              const char* what, Action action) {
  return add_runs_subcommand(family, program, name, what,
                             [&program, arguments, action] { return action(program, *arguments); });
}

CLI::App* with_run(CLI::App* command, const Arguments& arguments) {
  command
      ->add_option("RUN", arguments->run, "Its id or the beginning of it, its name, or 'latest'.")
      ->required();
  return command;
}

void add_looks(CLI::App& family, Program& program, const Arguments& arguments) {
  with_run(add(family, program, arguments, "show",
               "A run on one page: stages, metrics, parameters, facts.", show),
           arguments)
      ->add_flag("--json", arguments->json, "As JSON.");
  auto* points = with_run(add(family, program, arguments, "metrics",
                              "A run's metrics, or every point of one.", metrics),
                          arguments);
  points->add_option("KEY", arguments->key, "Such as train/loss.");
  points->add_flag("--json", arguments->json, "As JSON: [[step, time in ms, value], ...].");
  with_run(add(family, program, arguments, "logs", "What a run and its stages said.", logs),
           arguments)
      ->add_flag("-f,--follow", arguments->follow, "Go on until the run has ended.");
  with_run(add(family, program, arguments, "path", "Where a run, or what a stage made, is.", path),
           arguments)
      ->add_option("STAGE.PORT", arguments->key, "A stage, or one output of it.");
}

void add_changes(CLI::App& family, Program& program, const Arguments& arguments) {
  with_run(
      add(family, program, arguments, "tag", "Set tags (key=value) or take them away (key=).", tag),
      arguments)
      ->add_option("TAG", arguments->tags, "key=value, or key= to take it away.")
      ->required();
  with_run(add(family, program, arguments, "note", "Set the note; \"\" takes it away.", note),
           arguments)
      ->add_option("TEXT", arguments->text, "What is worth knowing about it.")
      ->required();
  with_run(add(family, program, arguments, "rename", "Give a run another name.", rename), arguments)
      ->add_option("NAME", arguments->text, "A taken one gets -2.")
      ->required();
  add(family, program, arguments, "delete", "Hide runs; gc may then remove what only they need.",
      remove)
      ->add_option("RUN", arguments->runs, "Id, name or 'latest'.")
      ->required();
  add(family, program, arguments, "restore", "Bring deleted runs back.", restore)
      ->add_option("RUN", arguments->runs, "Id or name.")
      ->required();
}

}  // namespace

void require_run_name(const std::string& name) {
  if (name.empty()) throw Error("the name of a run cannot be empty", ErrorKind::usage);
  if (name == "latest") {
    throw Error("a run cannot be called 'latest', which always means the newest one",
                ErrorKind::usage);
  }
  if (std::any_of(name.begin(), name.end(), [](unsigned char c) { return std::iscntrl(c) != 0; })) {
    throw Error("the name of a run cannot have line breaks or other control characters in it",
                ErrorKind::usage);
  }
}

bool has_database(const Program& program) {
  std::error_code error;
  return std::filesystem::exists(std::filesystem::path(program.runs_dir) / "cifarpipe.db", error);
}

void require_store(const Program& program) {
  std::error_code error;
  const auto results = std::filesystem::path(program.runs_dir) / "store";
  if (!has_database(program) && !std::filesystem::exists(results, error)) {
    throw Error(fmt::format("no runs yet in {}", program.runs_dir), ErrorKind::usage);
  }
}

namespace {

std::unique_ptr<Session> open(const Program& program, Session::Purpose purpose) {
  if (!has_database(program)) {
    throw Error(fmt::format("no runs yet in {}", program.runs_dir), ErrorKind::usage);
  }
  return std::make_unique<Session>(program, purpose);
}

}  // namespace

std::unique_ptr<Session> open_session(const Program& program) {
  return open(program, Session::Purpose::change);
}

std::unique_ptr<Session> open_to_look(const Program& program) {
  return open(program, Session::Purpose::look);
}

CLI::App* add_runs_subcommand(CLI::App& family, Program& program, const char* name,
                              const char* what, std::function<int()> action) {
  auto* command = family.add_subcommand(name, what);
  command->fallthrough();
  command->callback([&program, action = std::move(action)] { program.action = action; });
  return command;
}

void add_runs_command(CLI::App& app, Program& program) {
  auto* family = app.add_subcommand("runs", "What was run: list, show, compare, plot, export, …");
  const auto arguments = std::make_shared<RunsArguments>();
  add_runs_list(*family, program);
  add_looks(*family, program, arguments);
  add_runs_compare(*family, program);
  add_runs_plot(*family, program);
  add_runs_export(*family, program);
  add_changes(*family, program, arguments);
  family->callback([family, &program] {
    if (!family->get_subcommands().empty()) return;
    program.action = [family] {
      say_text(family->help());
      return static_cast<int>(ErrorKind::usage);
    };
  });
}

}  // namespace cifarpipe::cli
