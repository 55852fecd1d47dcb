#include "pipeline/run_sampler.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/random_id.hpp"

namespace cifarpipe {
namespace {

constexpr double kShortest = 0.1;  // Seconds: how often the supervisor looks at all.
constexpr std::string_view kPrefix = "system/";

/// The mean of each key over the samples that have it; keys in the order they first came in.
SystemValues means(const std::vector<SystemValues>& samples) {
  SystemValues out;
  std::map<std::string, std::pair<std::size_t, int>> at;  // Key → its place and how often it came.
  for (const SystemValues& sample : samples) {
    for (const auto& [key, value] : sample) {
      const auto [found, added] = at.try_emplace(key, out.size(), 0);
      if (added) out.emplace_back(key, 0.0);
      out[found->second.first].second += value;
      ++found->second.second;
    }
  }
  for (auto& [key, sum] : out) sum /= at.at(key).second;
  return out;
}

std::chrono::steady_clock::duration seconds(double s) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(s));
}

}  // namespace

SamplerOptions sampler_options(const Configuration& configuration, const Environment& environment) {
  const Variables variables(environment);
  SamplerOptions options;
  options.enabled = configuration.system_metrics;
  options.interval_s = configuration.system_metrics_interval_s;
  if (!configuration.origins.contains("tracking.system_metrics")) {
    options.enabled = variables.flag("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", options.enabled);
  }
  if (!configuration.origins.contains("tracking.system_metrics_interval")) {
    options.interval_s =
        std::max(kShortest, variables.number("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL",
                                             options.interval_s, 1e-9, 86400));
  }
  options.samples_a_point =
      variables.whole_number("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", 1, 1, 1'000'000);
  options.node = trimmed(variables.text("MLFLOW_SYSTEM_METRICS_NODE_ID"));
  return options;
}

RunSampler::RunSampler(SamplerOptions options, const Machine& machine, std::filesystem::path disk,
                       Recorder& recorder)
    : options_(std::move(options)),
      cores_(machine.cores),
      memory_bytes_(machine.memory_bytes),
      disk_(std::move(disk)),
      recorder_(recorder) {}

std::chrono::steady_clock::duration RunSampler::first_gap() const {
  return seconds(std::min(1.0, options_.interval_s));
}

SystemValues RunSampler::named(SystemValues values) const {
  if (options_.node.empty()) return values;
  for (auto& [key, value] : values) key.insert(kPrefix.size(), options_.node + "/");
  return values;
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
    run.samples.push_back(run.meter.measure(moment, run.workers));
    if (std::ssize(run.samples) >= options_.samples_a_point) {
      recorder_.store_run_sample(*one.first, {time_ms, named(means(run.samples))});
      run.samples.clear();
    }
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
