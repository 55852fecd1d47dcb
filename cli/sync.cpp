// `cifarpipe sync`: brings MLflow servers up to date with the store, at any time and as often as
// one likes.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <set>

#include "cli/command.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"
#include "cli/sync_report.hpp"
#include "pipeline/error.hpp"
#include "tracking/mirror.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

constexpr std::chrono::seconds kWait{10};  // For another process that sends the same run.
constexpr double kProbeTimeoutS = 20;      // A busy server answers nobody at once.
constexpr int kFailingInARow = 3;          // Runs at which a server that fails is left alone.
constexpr std::size_t kMany = 100;         // Runs whose content is put together only to be counted.

struct SyncArguments {
  std::vector<std::string> runs;
  std::string to;
  bool dry_run = false;
  bool json = false;
};

/// A server with the runs that belong there, oldest first.
struct Target {
  mlflow::Settings settings;
  std::vector<RunRow> runs;
};

std::atomic<bool> stop_asked{false};
std::atomic<int> stop_number{0};

void ask_to_stop(int signal_number) {
  stop_number = signal_number;
  stop_asked = true;
}

mlflow::Settings settings_of(const std::string& uri) {
  const char* home = std::getenv("HOME");
  return mlflow::settings_from(uri, process_environment(), home != nullptr ? home : "");
}

/// What was asked for with all below it, or everything; oldest first, so that parents come before
/// their children.
std::vector<RunRow> chosen_runs(Session& session, RunQueries& queries,
                                const SyncArguments& arguments) {
  RunFilter filter;
  filter.deleted = true;
  std::vector<RunRow> all = queries.runs(filter);
  std::reverse(all.begin(), all.end());
  if (arguments.runs.empty()) return all;
  std::set<std::string> wanted;
  for (const std::string& name : arguments.runs) {
    wanted.insert(session.recorder().resolve_run(name).id);
  }
  std::vector<RunRow> out;
  for (RunRow& run : all) {
    if (wanted.count(run.record.parent_id) != 0) wanted.insert(run.record.id);
    if (wanted.count(run.record.id) != 0) out.push_back(std::move(run));
  }
  return out;
}

std::string server_of(RunQueries& queries, const std::string& run_id) {
  for (const auto& fact : queries.facts(run_id)) {
    if (fact.first == "mlflow.uri") return fact.second;
  }
  return "";
}

/// The servers in the order in which runs name them.
std::vector<Target> targets_of(RunQueries& queries, std::vector<RunRow> runs,
                               const SyncArguments& arguments) {
  std::vector<Target> targets;
  std::map<std::string, std::size_t> places;
  std::size_t nowhere = 0;
  const mlflow::Settings named = settings_of(arguments.to);  // Or MLFLOW_TRACKING_URI.
  for (RunRow& run : runs) {
    std::string uri = arguments.to.empty() ? server_of(queries, run.record.id) : named.uri;
    if (uri.empty()) uri = named.uri;
    if (uri.empty()) {
      ++nowhere;
      continue;
    }
    const auto place = places.emplace(uri, targets.size());
    if (place.second) {
      targets.push_back({arguments.to.empty() ? settings_of(uri) : named, {}});
    }
    targets[place.first->second].runs.push_back(std::move(run));
  }
  if (targets.empty() && nowhere > 0) {
    throw Error(
        "no MLflow server is named: add --to http://HOST:5000, set MLFLOW_TRACKING_URI, or write "
        "uri = \"http://HOST:5000\" below [tracking.mlflow] in the pipeline file",
        ErrorKind::usage);
  }
  if (nowhere > 0) {
    say("{} run{} named no server; `cifarpipe sync --to URI` sends them too\n", nowhere,
        nowhere == 1 ? "" : "s");
  }
  return targets;
}

std::vector<std::string> ids_of(const Target& target) {
  std::vector<std::string> ids;
  for (const RunRow& run : target.runs) ids.push_back(run.record.id);
  return ids;
}

void send(Session& session, const Target& target, const SyncArguments& arguments,
          SyncProgress& progress, SyncOutcome& outcome) {
  mlflow::Settings settings = target.settings;
  settings.probe_timeout_s = kProbeTimeoutS;
  mlflow::Client client(settings, &stop_asked);
  MirrorOptions options;
  options.retry_parked = true;
  options.thorough = !arguments.runs.empty();
  options.wait = kWait;
  options.progress = [&](const MirrorCounts& counts) { progress.sent(counts); };
  Mirror mirror(session.sqlite().database(), session.store(), client, options);
  try {
    int failing = 0;  // Runs in a row that the server cannot take.
    for (std::size_t i = 0; i < target.runs.size() && !stop_asked; ++i) {
      const RunRecord& run = target.runs[i].record;
      progress.run(i, run.name);
      try {
        if (!mirror.bring(run.id) && !stop_asked) outcome.busy.push_back(run.name);
        failing = 0;
      } catch (const mlflow::CallError& error) {
        if (!error.of_one_call() || ++failing == kFailingInARow) throw;
        mirror.put_off(run.id, error);
      }
    }
  } catch (const mlflow::CallError& error) {
    outcome.error =
        error.failure() == mlflow::Failure::stopped ? "stopped on request" : error.what();
  }
  if (stop_asked && outcome.error.empty()) outcome.error = "stopped on request";
  outcome.sent = mirror.counts();
  outcome.notices = mirror.take_notices();
}

SyncOutcome sync_to(Session& session, const Target& target, const SyncArguments& arguments,
                    SyncProgress& progress) {
  Database& db = session.sqlite().database();
  const std::vector<std::string> ids = ids_of(target);
  const std::string& uri = target.settings.uri;
  SyncOutcome outcome;
  outcome.uri = uri;
  outcome.runs = ids.size();
  if (!arguments.dry_run) {
    progress.begin(uri, ids.size(), unsent_of(db, session.store(), uri, ids, false).points);
    send(session, target, arguments, progress, outcome);
    progress.erase();
  }
  MirrorLedger ledger(db, uri);
  outcome.version = ledger.version();
  for (const std::string& id : ids) {
    for (Parked& parked : ledger.parked(id)) outcome.parked.push_back(std::move(parked));
  }
  const bool count_files = arguments.dry_run || outcome.error.empty() || ids.size() <= kMany;
  outcome.left = unsent_of(db, session.store(), uri, ids, count_files);
  return outcome;
}

int sync(const Program& program, const SyncArguments& arguments) {
  const auto none = [&] {
    if (!arguments.to.empty()) settings_of(arguments.to);  // What is wrong with it, at least.
    fmt::print("{}\n", arguments.json ? "[]" : "no runs yet in " + program.runs_dir);
    return 0;
  };
  std::error_code error;
  if (!std::filesystem::exists(std::filesystem::path(program.runs_dir) / "cifarpipe.db", error)) {
    return none();
  }
  Session session(program);
  RunQueries queries(session.sqlite().database());
  std::vector<RunRow> runs = chosen_runs(session, queries, arguments);
  if (runs.empty()) return none();
  const std::vector<Target> targets = targets_of(queries, std::move(runs), arguments);
  struct sigaction action {};
  action.sa_handler = ask_to_stop;
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaction(s, &action, nullptr);
  SyncProgress progress(isatty(STDERR_FILENO) != 0, arguments.json);
  std::vector<SyncOutcome> outcomes;
  for (const Target& target : targets) {
    if (stop_asked) break;
    outcomes.push_back(sync_to(session, target, arguments, progress));
  }
  if (arguments.json) {
    print_sync_json(outcomes);
  } else {
    print_sync(outcomes, arguments.dry_run, isatty(STDOUT_FILENO) != 0 && program.color);
  }
  if (stop_asked) return 128 + stop_number.load();
  const bool complete = std::all_of(outcomes.begin(), outcomes.end(),
                                    [](const SyncOutcome& o) { return o.complete(); });
  return complete || arguments.dry_run ? 0 : static_cast<int>(ErrorKind::environment);
}

}  // namespace

void add_sync_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "sync", "Send to MLflow what it does not have yet; may be ended and repeated at any time.");
  auto arguments = std::make_shared<SyncArguments>();
  command->add_option("RUN", arguments->runs,
                      "Only these, with the runs below them: id, name or 'latest'.");
  command
      ->add_option("--to", arguments->to,
                   "Send to this server (default: the one that each run named, else "
                   "MLFLOW_TRACKING_URI).")
      ->type_name("URI");
  command->add_flag("--dry-run", arguments->dry_run,
                    "Only say what would be sent; asks no server.");
  command->add_flag("--json", arguments->json, "As JSON.");
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return sync(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
