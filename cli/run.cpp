// `cifarpipe run FILE`: the product in one line.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "cli/help.hpp"
#include "cli/progress.hpp"
#include "cli/run_mirror.hpp"
#include "cli/runs.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"
#include "cli/stop_signals.hpp"
#include "pipeline/environment.hpp"
#include "pipeline/provenance.hpp"
#include "pipeline/supervisor.hpp"
#include "pipeline/variables.hpp"
#include "tracking/quantities.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

struct RunArguments {
  ConfigArguments config;
  Forcing forcing;
  std::vector<std::string> until;
  std::vector<std::string> accept_code;
  bool new_run = false;
  std::optional<std::string> name;
  std::vector<std::string> tags;
  std::string note;
  int slots = 1;
  bool keep_going = false;
  bool json = false;
  bool quiet = false;
  bool verbose = false;
};

/// A sweep holds a lock and a log for each of its runs.
void allow_many_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

/// Tags for all runs of this shell, as MLflow's own client reads them; --tag wins.
std::vector<std::pair<std::string, std::string>> tags_of_environment() {
  constexpr const char* kVariable = "MLFLOW_RUN_CONTEXT";
  const std::string text = trimmed(Variables(process_environment()).text(kVariable));
  if (text.empty()) return {};
  const auto refuse = [&](const std::string& why) {
    throw Error(fmt::format("{} {}; write it as {{\"KEY\": \"VALUE\"}}", kVariable, why),
                ErrorKind::usage);
  };
  const auto context = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!context.is_object()) refuse("is not a JSON object");
  std::vector<std::pair<std::string, std::string>> tags;
  for (const auto& [key, value] : context.items()) {
    if (key.empty()) refuse("has a tag without a name");
    if (value.is_structured() || value.is_null()) {
      refuse(fmt::format("has a tag '{}' that is not a text", key));
    }
    tags.emplace_back(key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return tags;
}

std::vector<std::pair<std::string, std::string>> parse_tags(const std::vector<std::string>& texts) {
  std::vector<std::pair<std::string, std::string>> tags = tags_of_environment();
  for (const std::string& text : texts) {
    const auto sign = text.find('=');
    if (sign == std::string::npos || sign == 0) {
      throw Error(fmt::format("--tag {}: write it as KEY=VALUE", text), ErrorKind::usage);
    }
    tags.emplace_back(text.substr(0, sign), text.substr(sign + 1));
  }
  return tags;
}

/// What `reproduce` needs to lay the state out again.
void add_git_facts(GitState git, const std::string& file, RunBookOptions& options) {
  if (git.commit.empty()) return;
  options.facts = {{"git.commit", git.commit},
                   {"git.branch", git.branch},
                   {"git.dirty", git.dirty ? "true" : "false"},
                   {"git.top", git.top}};
  if (!git.remote.empty()) options.facts.emplace_back("git.remote", git.remote);
  std::error_code ec;
  const auto inside = std::filesystem::relative(file, git.top, ec);
  if (!ec && !inside.empty()) options.facts.emplace_back("git.file", inside.generic_string());
  options.diff = options.secrets.redacted(git.diff, TextKind::code);
  if (options.diff != git.diff) {
    git.missing += git.missing.empty() ? "secrets, covered" : "; secrets, covered";
  }
  if (!git.missing.empty()) options.facts.emplace_back("git.missing", git.missing);
}

/// The command line as it can be shown.
std::string again(const Program& program, const Secrets& secrets) {
  std::vector<std::string> line = {"cifarpipe"};
  line.insert(line.end(), program.arguments.begin(), program.arguments.end());
  return shell_line(secrets.redacted_arguments(std::move(line)));
}

RunBookOptions book_options(const Program& program, const RunArguments& arguments,
                            const Configuration& configuration, const Machine& machine) {
  RunBookOptions options;
  options.new_run = arguments.new_run;
  options.secrets = secrets_of(program, configuration);
  if (arguments.name) options.name = options.secrets.redacted(*arguments.name);
  if (!arguments.note.empty()) options.note = options.secrets.redacted(arguments.note);
  options.tags = parse_tags(arguments.tags);
  options.command = again(program, options.secrets);
  const auto folder = std::filesystem::absolute(configuration.file).parent_path();
  add_git_facts(git_state(folder, runs_folder(program)), configuration.file, options);
  for (auto& fact : machine_facts(machine)) options.facts.push_back(std::move(fact));
  for (auto& fact : environment_facts(Nvml::open().get())) {
    options.facts.push_back(std::move(fact));
  }
  options.facts.emplace_back("cifarpipe", CIFARPIPE_VERSION);
  for (const Cell& cell : configuration.cells) {
    for (const StageInstance& stage : cell.stages) {
      if (stage.type->torch_version.empty()) continue;
      options.facts.emplace_back("libtorch", stage.type->torch_version);
      return options;
    }
  }
  return options;
}

/// Opens the rows of this command; while another process carries one of them out, waits for it.
/// The number of the signal that ended the waiting, or 0.
int open_runs(RunBook& book, RunObserver& observer) {
  bool told = false;
  while (const auto alive = book.open_all()) {
    if (!told) {
      observer.message(
          LogLevel::info,
          fmt::format("{} is being carried out by another cifarpipe; waiting for it", alive->name));
      told = true;
    }
    const int signal = next_stop_signal(std::chrono::milliseconds(100));
    if (signal > 0) return signal;
  }
  return 0;
}

/// Bytes of data that a worker may have; 0 = no limit. With CUDA a worker maps far more than it
/// uses; without, no plugin needs more than the machine has.
std::uint64_t worker_memory(const Machine& machine) {
  if (const char* bytes = std::getenv("CIFARPIPE_WORKER_MEMORY")) {
    return std::strtoull(bytes, nullptr, 10);
  }
  return machine.cuda_devices.empty() ? machine.memory_bytes / 10 * 9 : 0;
}

/// On stdout: one line a finished run. On stderr: where to look next, or how to go on.
void report(const Program& program, const RunArguments& arguments, const RunBook& book,
            Recorder& recorder, int exit_code) {
  if (arguments.json || (arguments.quiet && exit_code == 0)) return;
  std::size_t cells = 0;
  for (const RunBook::Entry& entry : book.entries()) cells += entry.is_parent ? 0 : 1;
  for (const RunBook::Entry& entry : book.entries()) {
    if (cells > 8 && !entry.is_parent) continue;
    const auto& run = entry.record;
    const std::string when = entry.how == RunObserver::Opened::already_finished
                                 ? "nothing to do"
                                 : duration_text(took_ms(run, run.end_ms));
    fmt::print("{}  {}  {}  {}\n", to_string(run.status), text_shown(run.name), when,
               typed_path(run.folder));
  }
  std::fflush(stdout);
  if (arguments.quiet) return;
  if (exit_code == 0) {
    // Not "latest" where an older row went on or had been done before.
    const RunRecord& run = book.entries().front().record;
    const bool newest = recorder.resolve_run("latest").id == run.id;
    const auto next = [&](const std::vector<std::string>& words) {
      return next_command(program, book.secrets(), words);
    };
    std::vector<std::string> plan = {"plan", arguments.config.file};
    for (const std::string& set : arguments.config.sets) plan.insert(plan.end(), {"--set", set});
    say("next: {} | {} | {}\n", next({"runs", "show", newest ? "latest" : run.name}),
        next({"runs", "list"}), next(plan));
    return;
  }
  for (const RunBook::Entry& entry : book.entries()) {
    if (entry.failed) {
      say("log:  {}\n", typed_path(entry.folder.path() / "run.log"));
      break;
    }
  }
  // A parameter that is wrong is wrong again.
  if (exit_code == static_cast<int>(ErrorKind::usage)) return;
  say("to go on: {}\n", again(program, book.secrets()));
}

/// The recorded results of a run that was finished before, as if its stages had just been looked
/// at.
void show_finished(const Configuration& configuration, const RunBook& book, Recorder& recorder,
                   Store& store, RunObserver& observer) {
  for (const RunBook::Entry& entry : book.entries()) {
    if (entry.is_parent || book.entries().size() > 9) continue;
    for (const std::size_t s : entry.stages) {
      const StageInstance& stage = configuration.cells[entry.cell].stages[s];
      const auto job = recorder.run_stage_job(entry.record.id, stage.name);
      const auto result = job ? store.find(*job) : std::nullopt;
      if (!result) continue;
      JobEnd end;
      end.action = "cached";
      end.status = "finished";
      end.reason = "up to date";
      end.key = job->key;
      end.result_dir = result->dir.string();
      std::map<std::string, std::size_t> seen;
      for (const VisiblePoint& p : recorder.points(*job)) {
        const auto [at, added] = seen.emplace(p.metric, end.finals.size());
        if (added) {
          end.finals.push_back(p);
        } else {
          end.finals[at->second] = p;
        }
      }
      observer.job_ended(
          {0, stage.name, configuration.cells[entry.cell].name, stage.type->description.name}, end);
    }
  }
}

/// Waits while `gc` removes results, which is short.
Lock use_store(const Store& store) {
  for (;;) {
    if (auto lock = Lock::try_share(store.use_lock_file())) return std::move(*lock);
    usleep(20'000);
  }
}

int run(const Program& program, const RunArguments& arguments) {
  if (arguments.name) require_run_name(*arguments.name);
  LoadedConfig loaded = load_config(program, arguments.config);
  Session session(program);
  const Lock in_use = use_store(session.store());
  block_stop_signals();
  allow_many_files();
  const GraphWorld world = session.world(program, loaded.configuration);
  require_stages(loaded.configuration, arguments.until, "--until");
  require_stages(loaded.configuration, arguments.accept_code, "--accept-code");
  const JobGraph graph = build_graph(loaded.configuration, world, arguments.until);
  const Planner planner(loaded.configuration, graph, session.store(), session.recorder(),
                        arguments.forcing);
  const bool live = isatty(STDERR_FILENO) != 0 && !arguments.json;
  const Verbosity verbosity = arguments.quiet     ? Verbosity::quiet
                              : arguments.verbose ? Verbosity::verbose
                                                  : Verbosity::normal;
  const auto observer =
      arguments.json ? make_json_progress() : make_text_progress(verbosity, live, program.color);
  SupervisorOptions options;
  options.system_metrics = sampler_options(loaded.configuration, process_environment());
  const mlflow::Settings mlflow = mirror_settings(loaded.configuration, *observer);
  RunBookOptions of_book = book_options(program, arguments, loaded.configuration, world.machine);
  if (!of_book.name && !mlflow.run_name.empty()) {
    require_run_name(mlflow.run_name);
    of_book.name = mlflow.run_name;
  }
  for (auto& fact : mirror_facts(loaded.configuration, mlflow)) {
    of_book.facts.push_back(std::move(fact));
  }
  RunBook book(loaded.configuration, graph, planner, session.store(), session.recorder(), *observer,
               std::move(of_book));
  session.sqlite().keep_out(book.secrets());
  if (const int signal = open_runs(book, *observer); signal != 0) return 128 + signal;
  if (book.all_finished()) {
    show_finished(loaded.configuration, book, session.recorder(), session.store(), *observer);
    report(program, arguments, book, session.recorder(), 0);
    return 0;
  }
  options.slots = arguments.slots;
  options.keep_going = arguments.keep_going;
  options.accept_code = arguments.accept_code;
  options.worker.executable = program.executable.parent_path() / "cifarpipe-worker";
  options.worker.rings_dir = session.store().rings_dir();
  options.worker.memory_limit = worker_memory(world.machine);
  RunMirror mirror(program, loaded.configuration, mlflow, session, book, *observer);
  Supervisor supervisor(loaded.configuration, graph, planner, session.store(), session.recorder(),
                        book, mirror.observer(), world.machine, options);
  const int exit_code = supervisor.run();
  observer->tick();
  mirror.finish(exit_code, arguments.json);
  report(program, arguments, book, session.recorder(), exit_code);
  return exit_code;
}

}  // namespace

void add_run_command(CLI::App& app, Program& program) {
  auto* command =
      app.add_subcommand("run", "Carry out a pipeline: run what has to, skip what is done.");
  auto arguments = std::make_shared<RunArguments>();
  add_config_arguments(*command, arguments->config);
  command
      ->add_option("--force", arguments->forcing.stages, "Run STAGE although its result is there.")
      ->type_name("STAGE")
      ->allow_extra_args(false);
  command->add_option("--from", arguments->forcing.from, "Run STAGE and all after it again.")
      ->type_name("STAGE")
      ->allow_extra_args(false);
  command->add_option("--until", arguments->until, "Only STAGE and what it needs.")
      ->type_name("STAGE")
      ->allow_extra_args(false);
  command->add_flag("--no-cache", arguments->forcing.all, "Run every stage again.");
  command
      ->add_option("--accept-code", arguments->accept_code,
                   "Take over STAGE's result of older plugin code.")
      ->type_name("STAGE")
      ->allow_extra_args(false);
  command->add_flag("--new-run", arguments->new_run,
                    "Make a new row even if an equal run is there.");
  command->add_option("--name", arguments->name, "The run's name.");
  command->add_option("--tag", arguments->tags, "A tag of the run, KEY=VALUE.")
      ->type_name("K=V")
      ->allow_extra_args(false);
  command->add_option("--note", arguments->note, "A note for the run.");
  command
      ->add_option(
          "--slots", arguments->slots,
          "Jobs at once, at most. Where several wait, jobs of one thread (pipeline.threads = "
          "1) use the cores better than one job of many.")
      ->type_name("N")
      ->check(whole_number(1, 1024))
      ->capture_default_str();
  command->add_flag("--keep-going", arguments->keep_going,
                    "After a failure go on with what does not depend on it.");
  command->add_flag("--json", arguments->json, "One JSON object a line on stdout.");
  auto* quiet = command->add_flag("-q,--quiet", arguments->quiet, "Say only what failed.");
  command->add_flag("-v,--verbose", arguments->verbose, "Show debug lines of the stages.")
      ->excludes(quiet);
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return run(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
