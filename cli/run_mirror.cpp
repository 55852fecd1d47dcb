#include "cli/run_mirror.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/stop_signals.hpp"
#include "pipeline/error.hpp"
#include "pipeline/provenance.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPatience{500};         // Before the waiting is explained.
constexpr milliseconds kAfterInterrupt{3000};  // Who pressed Ctrl-C wants to be gone.

std::filesystem::path home_folder() {
  const char* home = std::getenv("HOME");
  return home != nullptr ? home : "";
}

nlohmann::ordered_json json_of(const MirrorCounts& counts) {
  return {{"runs", counts.runs},
          {"points", counts.points},
          {"artifacts", counts.artifacts},
          {"models", counts.models}};
}

}  // namespace

mlflow::Settings mirror_settings(const Configuration& configuration, RunObserver& observer) {
  if (!configuration.mlflow_enabled) return {};
  try {
    return mlflow::settings_from(configuration.mlflow_uri, process_environment(), home_folder());
  } catch (const Error& error) {
    observer.message(LogLevel::warning, fmt::format("nothing is sent to MLflow: {}", error.what()));
    return {};
  }
}

std::vector<std::pair<std::string, std::string>> mirror_facts(const Configuration& configuration,
                                                              const mlflow::Settings& settings) {
  std::vector<std::pair<std::string, std::string>> facts;
  if (!settings.empty()) {
    facts.emplace_back("mlflow.uri", settings.uri);
    if (!settings.experiment.empty()) facts.emplace_back("mlflow.experiment", settings.experiment);
    if (!settings.experiment_id.empty()) {
      facts.emplace_back("mlflow.experiment_id", settings.experiment_id);
    }
  }
  if (!configuration.mlflow_register.empty()) {
    facts.emplace_back("mlflow.register", configuration.mlflow_register);
    if (!configuration.mlflow_alias.empty()) {
      facts.emplace_back("mlflow.alias", configuration.mlflow_alias);
    }
  }
  return facts;
}

/// Passes everything on, and at each tick what the mirror has to say.
class RunMirror::Teller : public RunObserver {
 public:
  Teller(RunObserver& inner, LiveMirror* live) : inner_(inner), live_(live) {}
  void run_opened(const RunRecord& run, Opened how) override { inner_.run_opened(run, how); }
  void job_started(const JobLabel& job, const std::string& reason, int attempt,
                   bool from_checkpoint) override {
    inner_.job_started(job, reason, attempt, from_checkpoint);
  }
  void job_progress(const JobLabel& job, const Event& progress) override {
    inner_.job_progress(job, progress);
  }
  void job_log(const JobLabel& job, LogLevel level, const std::string& line) override {
    inner_.job_log(job, level, line);
  }
  void job_ended(const JobLabel& job, const JobEnd& end) override { inner_.job_ended(job, end); }
  void run_ended(const RunRecord& run) override { inner_.run_ended(run); }
  void message(LogLevel level, const std::string& text) override { inner_.message(level, text); }
  void tick() override {
    tell();
    inner_.tick();
  }
  void tell() {
    const auto news = live_ != nullptr ? live_->news() : std::nullopt;
    if (!news) return;
    std::istringstream lines(*news);
    for (std::string line; std::getline(lines, line);) inner_.message(LogLevel::warning, line);
  }

 private:
  RunObserver& inner_;
  LiveMirror* live_;
};

RunMirror::RunMirror(const Program& program, const Configuration& configuration,
                     const mlflow::Settings& settings, Session& session, const RunBook& book,
                     RunObserver& observer)
    : program_(program),
      configuration_(configuration),
      session_(session),
      observer_(observer),
      uri_(settings.uri) {
  if (!settings.empty()) {
    for (const RunBook::Entry& entry : book.entries()) {
      if (entry.how == RunObserver::Opened::already_finished) continue;
      runs_.push_back(entry.record.id);
      if (entry.how != RunObserver::Opened::continued) continue;
      // A run that goes on goes to the server that is named now.
      for (const auto& fact : mirror_facts(configuration, settings)) {
        session.sqlite().set_fact(entry.record.id, fact.first, fact.second);
      }
    }
    LiveMirrorOptions options;
    options.runs_dir = session.store().root();
    options.settings = settings;
    options.runs = runs_;
    live_ = std::make_unique<LiveMirror>(std::move(options));
  }
  teller_ = std::make_unique<Teller>(observer, live_.get());
}

RunMirror::~RunMirror() = default;

RunObserver& RunMirror::observer() {
  return *teller_;
}

void RunMirror::finish(int exit_code, bool json) {
  if (live_ == nullptr) return;
  live_->finish();
  wait_for_rest(exit_code);
  live_->stop();
  teller_->tell();
  tell_rest(json);
}

void RunMirror::wait_for_rest(int exit_code) {
  auto deadline = milliseconds(static_cast<std::int64_t>(configuration_.mlflow_deadline_s * 1000));
  if (exit_code >= 128) deadline = std::min(deadline, kAfterInterrupt);
  const auto begin = steady_clock::now();
  bool told = false;
  while (!live_->done() && steady_clock::now() - begin < deadline) {
    if (next_stop_signal(milliseconds(5)) != 0) return;
    if (told || steady_clock::now() - begin < kPatience) continue;
    observer_.message(LogLevel::info,
                      fmt::format("sending the rest to {} (at most {:.0f} s; Ctrl-C leaves it to "
                                  "`cifarpipe sync`)",
                                  uri_, std::chrono::duration<double>(deadline).count()));
    told = true;
  }
}

void RunMirror::tell_rest(bool json) {
  Database& db = session_.sqlite().database();
  MirrorCounts left;
  std::size_t parked = 0;
  std::string reason;  // Of the first that was refused.
  std::string link;
  try {
    constexpr std::size_t kMany = 100;  // A sweep's files are not worth the time here.
    left = unsent_of(db, session_.store(), uri_, runs_, runs_.size() <= kMany);
    MirrorLedger ledger(db, uri_);
    for (const std::string& run : runs_) {
      const std::vector<Parked> those = ledger.parked(run);
      if (parked == 0 && !those.empty()) {
        reason = fmt::format("{}: {}", those.front().item, those.front().reason);
      }
      parked += those.size();
    }
    const auto first = runs_.empty() ? std::nullopt : ledger.run(runs_.front());
    if (first && !first->remote_id.empty()) {
      link = run_link(uri_, first->experiment_id, first->remote_id);
    }
  } catch (const std::exception& error) {
    observer_.message(LogLevel::warning,
                      fmt::format("what MLflow lacks cannot be counted: {}", error.what()));
    return;
  }
  if (json) {
    const nlohmann::ordered_json line = {{"event", "mirror"},
                                         {"server", uri_},
                                         {"left", json_of(left)},
                                         {"parked", parked},
                                         {"link", link}};
    fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    std::fflush(stdout);
    return;
  }
  if (!link.empty()) observer_.message(LogLevel::info, "MLflow: " + link);
  if (left.none() && parked == 0) return;
  std::vector<std::string> parts;
  if (!left.none()) parts.push_back(fmt::format("not sent yet: {}", counts_text(left)));
  if (parked > 0) parts.push_back(fmt::format("refused: {} ({})", parked, reason));
  observer_.message(LogLevel::warning,
                    fmt::format("MLflow at {}: {}; later: {}", uri_, fmt::join(parts, "; "),
                                next_command(program_, program_.secrets, {"sync"})));
}

}  // namespace cifarpipe::cli
