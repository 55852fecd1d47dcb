// When system metrics are taken, and of which runs: while a stage of a run is being carried out, a
// second after it began, then at growing distances up to the interval. Each sample is durable in
// the recorder when `tick` returns. The supervisor's thread.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/machine.hpp"
#include "pipeline/recorder.hpp"
#include "pipeline/system_metrics.hpp"
#include "pipeline/variables.hpp"

namespace cifarpipe {

struct SamplerOptions {
  bool enabled = true;
  double interval_s = 10;
  int samples_a_point = 1;  ///< A point is the mean of so many samples.
  std::string node = "";    ///< "system/NODE/…", to tell machines apart; "" "system/…".
};

/// [tracking] of the file; what it does not say, the variables of MLflow's own client do:
/// MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING, MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL,
/// _SAMPLES_BEFORE_LOGGING, _NODE_ID. Throws Error (usage) if one of them makes no sense.
SamplerOptions sampler_options(const Configuration& configuration, const Environment& environment);

class RunSampler {
 public:
  using Time = std::chrono::steady_clock::time_point;
  /// Run → the workers that count for it.
  using Busy = std::map<std::string, std::vector<pid_t>>;

  /// `recorder` is borrowed; `disk` is a folder of the file system to be watched.
  RunSampler(SamplerOptions options, const Machine& machine, std::filesystem::path disk,
             Recorder& recorder);

  /// The runs that have stages going on from now on.
  void watch(Busy busy, Time now);
  /// Takes the samples that are due. Costs next to nothing while none is.
  void tick(Time now);

 private:
  struct Watched {
    explicit Watched(SystemMeter m) : meter(std::move(m)) {}
    SystemMeter meter;
    std::vector<pid_t> workers;         // Empty: nothing of it is going on.
    std::vector<SystemValues> samples;  // Not yet a point.
    Time begin;
    Time next;
  };

  SystemValues named(SystemValues values) const;
  SystemMoment look(const std::vector<Watched*>& runs);
  std::chrono::steady_clock::duration first_gap() const;

  SamplerOptions options_;
  int cores_;
  std::uint64_t memory_bytes_;
  std::filesystem::path disk_;
  Recorder& recorder_;
  std::map<std::string, Watched> runs_;
  Time next_ = Time::max();  // The earliest of theirs.
  bool asked_for_gpus_ = false;
  std::unique_ptr<Nvml> gpus_;
};

}  // namespace cifarpipe
