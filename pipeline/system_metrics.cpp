#include "pipeline/system_metrics.hpp"

#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

namespace cifarpipe {
namespace {

constexpr double kMegabyte = 1e6;  // As MLflow's own client counts.

double rounded(double value) {
  return std::round(value * 10) / 10;
}

double percentage(double part, double whole) {
  return whole > 0 ? rounded(std::clamp(100 * part / whole, 0.0, 100.0)) : 0;
}

double megabytes(std::uint64_t bytes) {
  return rounded(static_cast<double>(bytes) / kMegabyte);
}

double seconds_of(std::uint64_t ticks) {
  static const auto per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  return static_cast<double>(ticks) / per_second;
}

void add_gpus(const std::vector<GpuUse>& gpus, SystemValues& values) {
  for (std::size_t i = 0; i < gpus.size(); ++i) {
    const GpuUse& gpu = gpus[i];
    const auto add = [&](std::string_view name, double value) {
      values.emplace_back(fmt::format("system/gpu_{}_{}", i, name), value);
    };
    if (gpu.memory_used) {
      if (gpu.memory_total) {
        add("memory_usage_percentage", percentage(static_cast<double>(*gpu.memory_used),
                                                  static_cast<double>(*gpu.memory_total)));
      }
      add("memory_usage_megabytes", megabytes(*gpu.memory_used));
    }
    if (gpu.utilization) add("utilization_percentage", rounded(*gpu.utilization));
    if (gpu.power_watts) {
      add("power_usage_watts", rounded(*gpu.power_watts));
      if (gpu.power_limit_watts) {
        add("power_usage_percentage", percentage(*gpu.power_watts, *gpu.power_limit_watts));
      }
    }
  }
}

}  // namespace

std::optional<DiskUse> disk_use(const std::filesystem::path& folder) {
  struct statvfs info {};
  if (statvfs(folder.c_str(), &info) != 0) return std::nullopt;
  const auto block = static_cast<std::uint64_t>(info.f_frsize);
  return DiskUse{(info.f_blocks - std::min(info.f_bfree, info.f_blocks)) * block,
                 info.f_bavail * block};
}

SystemMoment look_at_system(std::span<const pid_t> workers, const std::filesystem::path& disk,
                            const Nvml* gpus) {
  SystemMoment moment;
  moment.time = std::chrono::steady_clock::now();
  moment.own = own_use();
  for (const pid_t worker : workers) {
    if (moment.workers.contains(worker)) continue;
    const TreeUse use = tree_use(worker);
    if (use.start != 0) moment.workers[worker] = use;
  }
  moment.network = network_use();
  moment.disk = disk_use(disk);
  if (gpus != nullptr) moment.gpus = gpus->use();
  return moment;
}

void SystemMeter::begin(const SystemMoment& moment, std::span<const pid_t> workers) {
  last_ = moment.time;
  last_own_ = moment.own.ticks;
  last_workers_.clear();
  for (const pid_t worker : workers) {
    const auto use = moment.workers.find(worker);
    if (use != moment.workers.end()) last_workers_.insert(*use);
  }
  if (!network_at_begin_) network_at_begin_ = moment.network;
}

std::uint64_t SystemMeter::ticks_since_last(const SystemMoment& moment,
                                            std::span<const pid_t> workers) const {
  std::uint64_t ticks = moment.own.ticks - std::min(last_own_, moment.own.ticks);
  for (const pid_t worker : workers) {
    const auto now = moment.workers.find(worker);
    if (now == moment.workers.end()) continue;
    const auto before = last_workers_.find(worker);
    // One that was not there has all its time behind it since; one that did something else until
    // now begins to count here.
    const bool same = before != last_workers_.end() && before->second.start == now->second.start;
    const bool younger =
        !same && !last_workers_.empty() &&
        std::all_of(last_workers_.begin(), last_workers_.end(),
                    [&](const auto& other) { return other.second.start <= now->second.start; });
    if (same) {
      ticks += now->second.ticks - std::min(before->second.ticks, now->second.ticks);
    } else if (younger) {
      ticks += now->second.ticks;
    }
  }
  return ticks;
}

void SystemMeter::add_processes(const SystemMoment& moment, std::span<const pid_t> workers,
                                SystemValues& values) const {
  const double wall = std::chrono::duration<double>(moment.time - last_).count();
  if (wall > 0) {
    values.emplace_back("system/cpu_utilization_percentage",
                        percentage(seconds_of(ticks_since_last(moment, workers)), wall * cores_));
  }
  std::uint64_t own = moment.own.own_bytes;
  std::uint64_t shared = moment.own.shared_bytes;
  for (const pid_t worker : workers) {
    const auto use = moment.workers.find(worker);
    if (use == moment.workers.end()) continue;
    own += use->second.own_bytes;
    shared = std::max(shared, use->second.shared_bytes);
  }
  values.emplace_back("system/system_memory_usage_megabytes", megabytes(own + shared));
  values.emplace_back(
      "system/system_memory_usage_percentage",
      percentage(static_cast<double>(own + shared), static_cast<double>(memory_bytes_)));
}

SystemValues SystemMeter::measure(const SystemMoment& moment, std::span<const pid_t> workers) {
  SystemValues values;
  add_processes(moment, workers, values);
  if (moment.disk) {
    const DiskUse& disk = *moment.disk;
    values.emplace_back("system/disk_usage_percentage",
                        percentage(static_cast<double>(disk.used),
                                   static_cast<double>(disk.used + disk.available)));
    values.emplace_back("system/disk_usage_megabytes", megabytes(disk.used));
    values.emplace_back("system/disk_available_megabytes", megabytes(disk.available));
  }
  if (moment.network && network_at_begin_) {
    const NetworkUse& first = *network_at_begin_;
    const auto since = [](std::uint64_t now, std::uint64_t then) {
      return megabytes(now - std::min(then, now));
    };
    values.emplace_back("system/network_receive_megabytes",
                        since(moment.network->received, first.received));
    values.emplace_back("system/network_transmit_megabytes",
                        since(moment.network->sent, first.sent));
  }
  add_gpus(moment.gpus, values);
  begin(moment, workers);
  return values;
}

}  // namespace cifarpipe
