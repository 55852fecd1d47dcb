// System metrics of a run, under the names that MLflow's pages know: CPU and memory of the process
// tree (not of the whole machine), disk of the store, network, GPUs. A moment is looked at once and
// then measured for each run that is going on. docs/tracking-system.md says what each number is.
// One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/nvml.hpp"
#include "pipeline/process_usage.hpp"

namespace cifarpipe {

struct DiskUse {
  std::uint64_t used = 0;       ///< Bytes of the whole file system.
  std::uint64_t available = 0;  ///< Bytes that may still be written without being root.
};
std::optional<DiskUse> disk_use(const std::filesystem::path& folder);

/// What there was to see at one moment.
struct SystemMoment {
  std::chrono::steady_clock::time_point time;
  TreeUse own;                       ///< The supervisor alone.
  std::map<pid_t, TreeUse> workers;  ///< Each with what it started.
  std::optional<NetworkUse> network;
  std::optional<DiskUse> disk;
  std::vector<GpuUse> gpus;
};
/// `gpus`: null for none.
SystemMoment look_at_system(std::span<const pid_t> workers, const std::filesystem::path& disk,
                            const Nvml* gpus);

using SystemValues = std::vector<std::pair<std::string, double>>;

/// The numbers of one run, each from one moment to the next.
class SystemMeter {
 public:
  /// What percentages are of: the cores and the bytes that this program may use.
  SystemMeter(int cores, std::uint64_t memory_bytes) : cores_(cores), memory_bytes_(memory_bytes) {}

  /// Where CPU time is counted from; the first time, also the network.
  void begin(const SystemMoment& moment, std::span<const pid_t> workers);
  /// Since the last call or begin. "system/cpu_utilization_percentage", …; what is not known, and
  /// GPUs where there are none, is left out.
  SystemValues measure(const SystemMoment& moment, std::span<const pid_t> workers);

 private:
  std::uint64_t ticks_since_last(const SystemMoment& moment, std::span<const pid_t> workers) const;
  void add_processes(const SystemMoment& moment, std::span<const pid_t> workers,
                     SystemValues& values) const;

  int cores_;
  std::uint64_t memory_bytes_;
  std::chrono::steady_clock::time_point last_;
  std::uint64_t last_own_ = 0;
  std::map<pid_t, TreeUse> last_workers_;
  std::optional<NetworkUse> network_at_begin_;
};

}  // namespace cifarpipe
