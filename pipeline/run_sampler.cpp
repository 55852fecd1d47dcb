#include "pipeline/run_sampler.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "pipeline/random_id.hpp"

namespace cifarpipe {
namespace {

constexpr const char* kSwitch = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING";
constexpr const char* kInterval = "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL";
constexpr double kShortest = 0.1;  // Seconds: how often the supervisor looks at all.

bool switch_of(std::string_view text) {
  for (const std::string_view yes : {"true", "True", "TRUE", "1"}) {
    if (text == yes) return true;
  }
  for (const std::string_view no : {"false", "False", "FALSE", "0"}) {
    if (text == no) return false;
  }
  throw Error(fmt::format("{} is '{}'; it may be true or false", kSwitch, text), ErrorKind::usage);
}

double interval_of(std::string_view text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() ||
      !(seconds > 0 && seconds <= 86400)) {
    throw Error(fmt::format("{} is '{}'; it must be a number of seconds, above 0 and at most 86400",
                            kInterval, text),
                ErrorKind::usage);
  }
  return std::max(seconds, kShortest);
}

std::chrono::steady_clock::duration seconds(double s) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(s));
}

}  // namespace

SamplerOptions sampler_options(const Configuration& configuration,
                               const std::function<const char*(const char*)>& lookup) {
  SamplerOptions options{configuration.system_metrics, configuration.system_metrics_interval_s};
  const auto from_environment = [&](const char* path, const char* variable) -> std::string_view {
    if (configuration.origins.contains(path)) return "";
    const char* text = lookup(variable);
    return text != nullptr ? text : "";
  };
  const auto wanted = from_environment("tracking.system_metrics", kSwitch);
  if (!wanted.empty()) options.enabled = switch_of(wanted);
  const auto interval = from_environment("tracking.system_metrics_interval", kInterval);
  if (!interval.empty()) options.interval_s = interval_of(interval);
  return options;
}

RunSampler::RunSampler(SamplerOptions options, const Machine& machine, std::filesystem::path disk,
                       Recorder& recorder)
    : options_(options),
      cores_(machine.cores),
      memory_bytes_(machine.memory_bytes),
      disk_(std::move(disk)),
      recorder_(recorder) {}

std::chrono::steady_clock::duration RunSampler::first_gap() const {
  return seconds(std::min(1.0, options_.interval_s));
}

SystemMoment RunSampler::look(const std::vector<Watched*>& runs) {
  std::vector<pid_t> workers;
  for (const Watched* run : runs) {
    workers.insert(workers.end(), run->workers.begin(), run->workers.end());
  }
  return look_at_system(workers, disk_, gpus_.get());
}

void RunSampler::watch(Busy busy, Time now) {
  if (!options_.enabled) return;
  for (auto& [id, run] : runs_) {
    if (!busy.contains(id)) run.workers.clear();
  }
  std::vector<Watched*> begun;
  for (auto& [id, workers] : busy) {
    auto [at, added] = runs_.try_emplace(id, SystemMeter(cores_, memory_bytes_));
    Watched& run = at->second;
    const bool idle = run.workers.empty();
    run.workers = std::move(workers);
    if (!idle) continue;
    if (added) run.begin = now;
    run.next = now + first_gap();
    begun.push_back(&run);
  }
  if (!begun.empty()) {
    const SystemMoment moment = look(begun);
    for (Watched* run : begun) run->meter.begin(moment, run->workers);
  }
  next_ = Time::max();
  for (const auto& [id, run] : runs_) {
    if (!run.workers.empty()) next_ = std::min(next_, run.next);
  }
}

void RunSampler::tick(Time now) {
  if (now < next_) return;
  if (!asked_for_gpus_) {
    gpus_ = Nvml::open();  // Not before the first sample: short runs need not wait for a driver.
    asked_for_gpus_ = true;
  }
  std::vector<std::pair<const std::string*, Watched*>> due;
  std::vector<Watched*> runs;
  for (auto& [id, run] : runs_) {
    if (run.workers.empty() || now < run.next) continue;
    due.emplace_back(&id, &run);
    runs.push_back(&run);
  }
  const SystemMoment moment = look(runs);
  const std::int64_t time_ms = now_ms();
  Batch batch(recorder_);
  for (const auto& one : due) {
    Watched& run = *one.second;
    recorder_.store_run_sample(*one.first, {time_ms, run.meter.measure(moment, run.workers)});
    // After 1, 2, 4, 8 s, and so on until the interval is reached.
    run.next = now + std::clamp(now - run.begin, first_gap(), seconds(options_.interval_s));
  }
  batch.commit();
  next_ = Time::max();
  for (const auto& [id, run] : runs_) {
    if (!run.workers.empty()) next_ = std::min(next_, run.next);
  }
}

}  // namespace cifarpipe
