// What this machine can compute with, found without libtorch, and what a stage's wishes ("auto",
// "cuda:1") become on it. Made concrete before planning, because results depend on it.
// Stateless: any thread.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/config.hpp"
#include "pipeline/stage.hpp"

namespace cifarpipe {

struct Machine {
  int cores = 1;                   ///< Of the affinity mask, bounded by the cgroup's CPU quota.
  std::uint64_t memory_bytes = 0;  ///< Of the machine, bounded by the cgroup's limit.
  std::string cpu_model;
  bool fast_bf16 = false;  ///< AMX-BF16 or AVX512-BF16, enabled by the system (CPUID, XCR0).
  bool amx_bf16 = false;
  std::vector<std::string> cuda_devices;  ///< "sm_90", … in the driver's order; from libcuda.
};

/// Looks once. `with_cuda`: also asks libcuda, which takes some 100 ms where there is a GPU.
Machine detect_machine(bool with_cuda);

/// The numerics that a job of `instance` computes with. Throws Error (environment) for a device
/// that is not there.
Numerics resolve_numerics(const StageInstance& instance, int pipeline_threads,
                          const Machine& machine);

/// What describes this machine in a run: host, kernel, cpu, cores, memory, gpu.
std::vector<std::pair<std::string, std::string>> machine_facts(const Machine& machine);

}  // namespace cifarpipe
