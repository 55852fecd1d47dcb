#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "cli/progress.hpp"
#include "pipeline/random_id.hpp"

namespace cifarpipe::cli {
namespace {

using nlohmann::ordered_json;

class JsonProgress : public RunObserver {
 public:
  void run_opened(const RunRecord& run, Opened how) override {
    constexpr const char* kHow[] = {"new", "continued", "already finished"};
    print({{"event", "run"},
           {"id", run.id},
           {"name", run.name},
           {"experiment", run.experiment},
           {"how", kHow[static_cast<int>(how)]},
           {"attempt", run.attempt},
           {"status", to_string(run.status)},
           {"folder", run.folder}});
  }
  void job_started(const JobLabel& job, const std::string& reason, int attempt,
                   bool from_checkpoint) override {
    auto line = about("started", job);
    line.update(ordered_json{
        {"reason", reason}, {"attempt", attempt}, {"from_checkpoint", from_checkpoint}});
    print(line);
  }
  void job_progress(const JobLabel& job, const Event& p) override {
    auto line = about("progress", job);
    line.update(
        ordered_json{{"done", p.done}, {"total", p.total}, {"unit", p.unit}, {"text", p.text}});
    print(line);
  }
  void job_log(const JobLabel& job, LogLevel level, const std::string& text) override {
    constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};
    auto line = about("log", job);
    line.update(ordered_json{{"level", kLevels[static_cast<int>(level)]}, {"text", text}});
    print(line);
  }
  void job_ended(const JobLabel& job, const JobEnd& end) override {
    auto line = about("ended", job);
    ordered_json metrics = ordered_json::object();
    for (const VisiblePoint& p : end.finals) {
      if (std::isfinite(p.value)) {
        metrics[p.metric] = p.value;
      } else {
        metrics[p.metric] = number_text(p.value);
      }
    }
    line.update(ordered_json{{"action", end.action},
                             {"status", end.status},
                             {"reason", end.reason},
                             {"message", end.message},
                             {"key", end.key},
                             {"result", end.result_dir},
                             {"wall_ms", end.usage.wall_ms},
                             {"cpu_ms", end.usage.cpu_ms},
                             {"peak_rss_bytes", end.usage.peak_rss_bytes},
                             {"metrics", metrics}});
    print(line);
  }
  void run_ended(const RunRecord& run) override {
    print({{"event", "run_ended"},
           {"id", run.id},
           {"name", run.name},
           {"status", to_string(run.status)}});
  }
  void message(LogLevel, const std::string& text) override {
    print({{"event", "message"}, {"text", text}});
  }
  void tick() override {}

 private:
  static ordered_json about(const char* event, const JobLabel& job) {
    return {{"event", event},
            {"stage", job.stage},
            {"uses", job.uses},
            {"cell", job.cell.empty() ? ordered_json(nullptr) : ordered_json(job.cell)}};
  }
  static void print(const ordered_json& line) {
    fmt::print("{}\n", line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
    std::fflush(stdout);
  }
};

}  // namespace

std::unique_ptr<RunObserver> make_json_progress() {
  return std::make_unique<JsonProgress>();
}

}  // namespace cifarpipe::cli
