// `cifarpipe runs …`: the history. Each command here reads the database, and some annotate it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <thread>

#include "cli/command.hpp"
#include "cli/runs_text.hpp"
#include "cli/session.hpp"
#include "pipeline/run_folder.hpp"
#include "tracking/queries.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

/// What the commands of the family take; each uses some.
struct RunsArguments {
  std::string run;
  std::string key;
  std::string text;
  std::vector<std::string> pairs;
  RunFilter filter;
  bool json = false;
  bool follow = false;
};

bool has_database(const Program& program) {
  return std::filesystem::exists(std::filesystem::path(program.runs_dir) / "cifarpipe.db");
}

int list(const Program& program, RunsArguments& arguments) {
  if (!has_database(program)) {
    fmt::print("{}\n", arguments.json ? "[]" : "no runs yet in " + program.runs_dir);
    return 0;
  }
  std::transform(arguments.filter.status.begin(), arguments.filter.status.end(),
                 arguments.filter.status.begin(), ::toupper);
  Session session(program);
  const std::vector<RunRow> runs = list_runs(session.sqlite().database(), arguments.filter);
  fmt::print("{}\n", arguments.json ? runs_json(runs) : runs_table(runs));
  return 0;
}

/// A session with the run that the user named; Error (usage) without a database or a run.
struct Found {
  Session session;
  RunRecord run;
  Found(const Program& program, const std::string& name) : session(checked(program)) {
    run = session.recorder().resolve_run(name);
  }
  RunRow row() { return show_run(session.sqlite().database(), run); }
  Database& database() { return session.sqlite().database(); }

 private:
  static const Program& checked(const Program& program) {
    if (!has_database(program)) {
      throw Error("no runs yet in " + program.runs_dir, ErrorKind::usage);
    }
    return program;
  }
};

int show(const Program& program, const RunsArguments& arguments) {
  Found found(program, arguments.run);
  const RunRow row = found.row();
  fmt::print("{}\n", arguments.json ? run_json(row) : run_page(row));
  return 0;
}

int metrics(const Program& program, const RunsArguments& arguments) {
  Found found(program, arguments.run);
  if (arguments.key.empty()) {
    const RunRow row = found.row();
    if (arguments.json) {
      std::string keys;
      for (const MetricSummary& m : row.metrics) {
        keys += fmt::format("{}\"{}\"", keys.empty() ? "" : ", ", m.key);
      }
      fmt::print("[{}]\n", keys);
    } else {
      fmt::print("{}\n", metrics_table(row.metrics));
    }
    return 0;
  }
  const auto points = run_metric(found.database(), found.run.id, arguments.key);
  if (points.empty()) {
    std::vector<std::string> keys;
    for (const MetricSummary& m : found.row().metrics) keys.push_back(m.key);
    const std::string near = nearest(arguments.key, keys);
    throw Error(fmt::format("run {} has no metric '{}'{}", found.run.name, arguments.key,
                            near.empty() ? "; `cifarpipe runs metrics RUN` lists them"
                                         : fmt::format("; did you mean '{}'?", near)),
                ErrorKind::usage);
  }
  if (arguments.json) {
    fmt::print("{}\n", points_json(points));
  } else {
    for (const VisiblePoint& p : points) fmt::print("{:>8}  {}\n", p.step, number_text(p.value));
  }
  return 0;
}

/// Prints the log; with --follow goes on until the run has ended.
int logs(const Program& program, const RunsArguments& arguments) {
  Found found(program, arguments.run);
  const std::filesystem::path folder = found.run.folder;
  std::FILE* log = std::fopen((folder / "run.log").c_str(), "r");
  if (log == nullptr) {
    throw Error(fmt::format("{} has no run.log", folder.string()), ErrorKind::environment);
  }
  char buffer[65536];
  for (bool alive = true; alive;) {
    alive = arguments.follow && RunFolder::is_alive(folder);
    std::size_t n = 0;
    std::clearerr(log);
    while ((n = std::fread(buffer, 1, sizeof(buffer), log)) > 0) {
      std::fwrite(buffer, 1, n, stdout);
    }
    std::fflush(stdout);
    if (alive) std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  std::fclose(log);
  return 0;
}

/// The run's folder; with STAGE or STAGE.PORT the result's.
int path(const Program& program, const RunsArguments& arguments) {
  Found found(program, arguments.run);
  if (arguments.key.empty()) {
    fmt::print("{}\n", found.run.folder);
    return 0;
  }
  const auto dot = arguments.key.find('.');
  const std::string stage = arguments.key.substr(0, dot);
  const auto job = found.session.recorder().run_stage_job(found.run.id, stage);
  const auto result = job ? found.session.store().find(*job) : std::nullopt;
  if (!result) {
    std::vector<std::string> names;
    for (const StageRow& row : found.row().stages) names.push_back(row.stage.name);
    throw Error(fmt::format("run {} has no result of a stage '{}'; its stages: {}", found.run.name,
                            stage, fmt::join(names, ", ")),
                ErrorKind::usage);
  }
  if (dot == std::string::npos) {
    fmt::print("{}\n", result->dir.string());
    return 0;
  }
  const std::string port = arguments.key.substr(dot + 1);
  if (result->port(port) == nullptr) {
    std::vector<std::string> names;
    for (const PortFiles& p : result->record.outputs) names.push_back(p.port);
    throw Error(fmt::format("stage '{}' has no output '{}'; it has {}", stage, port,
                            fmt::join(names, ", ")),
                ErrorKind::usage);
  }
  fmt::print("{}\n", result->port_dir(port).string());
  return 0;
}

int tag(const Program& program, const RunsArguments& arguments) {
  Found found(program, arguments.run);
  std::vector<std::pair<std::string, std::string>> tags;
  for (const std::string& pair : arguments.pairs) {
    const auto sign = pair.find('=');
    if (sign == std::string::npos || sign == 0) {
      throw Error(fmt::format("'{}': write KEY=VALUE, or KEY= to remove a tag", pair),
                  ErrorKind::usage);
    }
    tags.emplace_back(pair.substr(0, sign), pair.substr(sign + 1));
  }
  found.session.recorder().annotate_run(found.run.id, {}, {}, tags);
  return 0;
}

int note(const Program& program, const RunsArguments& arguments) {
  Found found(program, arguments.run);
  found.session.recorder().annotate_run(found.run.id, {}, arguments.text, {});
  return 0;
}

int rename(const Program& program, const RunsArguments& arguments) {
  if (arguments.text.empty()) throw Error("a run's name cannot be empty", ErrorKind::usage);
  Found found(program, arguments.run);
  found.session.recorder().annotate_run(found.run.id, arguments.text, {}, {});
  fmt::print("{}\n", found.row().run.name);
  return 0;
}

int set_deleted(const Program& program, const RunsArguments& arguments, bool deleted) {
  Found found(program, arguments.run);
  if (deleted && found.run.status == RunStatus::running) {
    throw Error(fmt::format("run {} is running; stop it first", found.run.name), ErrorKind::usage);
  }
  found.session.sqlite().set_deleted(found.run.id, deleted);
  fmt::print("{} {}\n", found.run.name,
             deleted
                 ? "deleted (`cifarpipe runs restore` brings it back; `cifarpipe gc` frees what "
                   "only it needed)"
                 : "restored");
  return 0;
}

/// One command of the family, with the arguments that all but `list` take.
CLI::App* add(CLI::App& family, Program& program, const std::shared_ptr<RunsArguments>& arguments,
              const char* name, const char* help, std::function<int()> act) {
  CLI::App* command = family.add_subcommand(name, help);
  if (std::string_view(name) != "list") {
    command->add_option("RUN", arguments->run, "Its name, id, the beginning of it, or 'latest'.")
        ->required();
  }
  command->callback([&program, act = std::move(act)] { program.action = act; });
  return command;
}

}  // namespace

void add_runs_command(CLI::App& app, Program& program) {
  auto* family = app.add_subcommand("runs", "The history: list, show, metrics, logs, path, tag, …");
  family->require_subcommand(1);
  auto a = std::make_shared<RunsArguments>();
  Program* p = &program;
  auto* c =
      add(*family, program, a, "list", "All runs, newest first.", [p, a] { return list(*p, *a); });
  c->add_option("--experiment", a->filter.experiment, "Only those of this experiment.");
  c->add_option("--status", a->filter.status, "Only RUNNING, FINISHED, FAILED or KILLED ones.")
      ->check(CLI::IsMember({"RUNNING", "FINISHED", "FAILED", "KILLED"}, CLI::ignore_case));
  c->add_option("--limit", a->filter.limit, "At most N.")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  c->add_flag("--all", a->filter.deleted, "Deleted ones too.");
  c->add_flag("--json", a->json, "A JSON list.");
  c = add(*family, program, a, "show", "Everything about a run.", [p, a] { return show(*p, *a); });
  c->add_flag("--json", a->json, "As JSON.");
  c = add(*family, program, a, "metrics", "The points of a metric, or which metrics there are.",
          [p, a] { return metrics(*p, *a); });
  c->add_option("KEY", a->key, "Such as train/loss.");
  c->add_flag("--json", a->json, "[[step, time_ms, value], …]");
  c = add(*family, program, a, "logs", "The log of a run.", [p, a] { return logs(*p, *a); });
  c->add_flag("-f,--follow", a->follow, "Go on until the run has ended.");
  c = add(*family, program, a, "path", "Where a run, or a stage's result, lies.",
          [p, a] { return path(*p, *a); });
  c->add_option("STAGE", a->key, "STAGE or STAGE.PORT.");
  c = add(*family, program, a, "tag", "Set tags; KEY= removes one.",
          [p, a] { return tag(*p, *a); });
  c->add_option("PAIRS", a->pairs, "KEY=VALUE …")->required();
  c = add(*family, program, a, "note", "Set the note.", [p, a] { return note(*p, *a); });
  c->add_option("TEXT", a->text, "The note; empty removes it.")->required();
  c = add(*family, program, a, "rename", "Give a run another name.",
          [p, a] { return rename(*p, *a); });
  c->add_option("NAME", a->text, "The new name; a taken one gets -2.")->required();
  add(*family, program, a, "delete", "Hide a run; gc then frees what only it needed.",
      [p, a] { return set_deleted(*p, *a, true); });
  add(*family, program, a, "restore", "Bring a deleted run back.",
      [p, a] { return set_deleted(*p, *a, false); });
}

}  // namespace cifarpipe::cli
