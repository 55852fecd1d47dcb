#include "pipeline/machine.hpp"

#include <cpuid.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sched.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

namespace cifarpipe {
namespace {

/// The first line of a file, or "".
std::string first_line(const char* file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

int affinity_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

/// Cores of the cgroup's quota, rounded up; a large number if there is no quota.
int quota_cores() {
  constexpr int kNone = 1 << 20;
  double quota = -1;
  double period = 100000;
  std::istringstream v2(first_line("/sys/fs/cgroup/cpu.max"));
  std::string word;
  if (v2 >> word >> period) {
    if (word == "max") return kNone;
    quota = std::stod(word);
  } else {
    const std::string q = first_line("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    const std::string p = first_line("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    if (q.empty() || p.empty()) return kNone;
    quota = std::stod(q);
    period = std::stod(p);
  }
  if (quota <= 0 || period <= 0) return kNone;
  return std::max(1, static_cast<int>(std::ceil(quota / period)));
}

std::uint64_t memory_limit() {
  struct sysinfo info {};
  std::uint64_t bytes = ~0ull;
  if (sysinfo(&info) == 0) bytes = static_cast<std::uint64_t>(info.totalram) * info.mem_unit;
  for (const char* file :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    const std::string line = first_line(file);
    if (!line.empty() && line != "max") {
      bytes = std::min<std::uint64_t>(bytes, std::strtoull(line.c_str(), nullptr, 10));
    }
  }
  return bytes;
}

std::string cpu_model_name() {
  std::ifstream in("/proc/cpuinfo");
  std::string line;
  while (std::getline(in, line)) {
    if (line.rfind("model name", 0) == 0) {
      const auto colon = line.find(':');
      if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
    }
  }
  return "unknown";
}

std::uint64_t xcr0() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

/// CPUID says what the processor can do, XCR0 what the system lets it do: both are needed.
void detect_bf16(Machine& machine) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & (1u << 27)) == 0) return;  // OSXSAVE
  const std::uint64_t enabled = xcr0();
  const bool zmm = (enabled & 0xe6) == 0xe6;          // SSE, AVX, opmask, ZMM
  const bool tiles = (enabled & 0x60000) == 0x60000;  // TILECFG, TILEDATA
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return;
  const unsigned subleaves = a;
  machine.amx_bf16 = tiles && (d & (1u << 22)) != 0 && (d & (1u << 24)) != 0;
  bool avx512_bf16 = false;
  if (subleaves >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
    avx512_bf16 = zmm && (a & (1u << 5)) != 0;
  }
  machine.fast_bf16 = machine.amx_bf16 || avx512_bf16;
}

/// Asks the driver's library for compute capabilities; no CUDA toolkit is needed for that.
std::vector<std::string> detect_cuda() {
  std::vector<std::string> devices;
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return devices;
  const auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(library, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(dlsym(library, "cuDeviceGetCount"));
  const auto attribute =
      reinterpret_cast<int (*)(int*, int, int)>(dlsym(library, "cuDeviceGetAttribute"));
  int n = 0;
  if (init == nullptr || count == nullptr || attribute == nullptr || init(0) != 0 ||
      count(&n) != 0) {
    return devices;
  }
  constexpr int kMajor = 75;  // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
  constexpr int kMinor = 76;
  for (int i = 0; i < n; ++i) {
    int major = 0;
    int minor = 0;
    if (attribute(&major, kMajor, i) == 0 && attribute(&minor, kMinor, i) == 0) {
      devices.push_back(fmt::format("sm_{}{}", major, minor));
    }
  }
  return devices;  // The library stays loaded: unloading a driver is asking for trouble.
}

std::string wish(const StageInstance& instance, std::string_view name, std::string fallback) {
  const Value* value = find_value(instance.params, name);
  if (value == nullptr) return fallback;
  const auto* text = std::get_if<std::string>(value);
  return text == nullptr ? fallback : *text;
}

std::string resolve_device(const StageInstance& instance, const Machine& machine) {
  const std::string device = wish(instance, "device", "cpu");
  if (device == "cpu") return "cpu";
  const bool usable = instance.type->cuda && !machine.cuda_devices.empty();
  if (device == "auto") return usable ? "cuda " + machine.cuda_devices.front() : "cpu";
  std::size_t index = 0;
  if (device.rfind("cuda:", 0) == 0) index = std::strtoul(device.c_str() + 5, nullptr, 10);
  if (!instance.type->cuda) {
    throw Error(fmt::format("stage '{}' asks for device '{}', but plugin {} was built with a "
                            "libtorch without CUDA; use device = \"cpu\" or build with a CUDA "
                            "libtorch (CIFARPIPE_TORCH)",
                            instance.name, device, instance.type->plugin_name),
                ErrorKind::environment);
  }
  if (index >= machine.cuda_devices.size()) {
    throw Error(fmt::format("stage '{}' asks for device '{}', but this machine has {} CUDA "
                            "device{}; use device = \"cpu\" or \"auto\"",
                            instance.name, device, machine.cuda_devices.size(),
                            machine.cuda_devices.size() == 1 ? "" : "s"),
                ErrorKind::environment);
  }
  return "cuda " + machine.cuda_devices[index];
}

}  // namespace

Machine detect_machine(bool with_cuda) {
  Machine machine;
  machine.cores = std::min(affinity_cores(), quota_cores());
  machine.memory_bytes = memory_limit();
  machine.cpu_model = cpu_model_name();
  detect_bf16(machine);
  if (with_cuda) machine.cuda_devices = detect_cuda();
  return machine;
}

Numerics resolve_numerics(const StageInstance& instance, int pipeline_threads,
                          const Machine& machine) {
  Numerics numerics;
  const NumericsUse& use = instance.type->description.numerics;
  if (use.threads) numerics.threads = pipeline_threads > 0 ? pipeline_threads : machine.cores;
  if (use.device) numerics.device = resolve_device(instance, machine);
  if (use.precision) {
    numerics.precision = wish(instance, "precision", "fp32");
    if (numerics.precision == "auto") {
      const bool fast = numerics.device != "cpu" || machine.fast_bf16;
      numerics.precision = fast ? "bf16" : "fp32";
    }
    if (numerics.precision == "fp16" && numerics.device == "cpu") {
      throw Error(fmt::format("stage '{}' asks for precision \"fp16\", which is for GPUs, and its "
                              "device is the processor here; use \"bf16\" or \"auto\"",
                              instance.name),
                  ErrorKind::environment);
    }
  }
  return numerics;
}

std::vector<std::pair<std::string, std::string>> machine_facts(const Machine& machine) {
  utsname names{};
  uname(&names);
  const passwd* user = getpwuid(geteuid());
  std::vector<std::pair<std::string, std::string>> facts = {
      {"host", names.nodename},
      {"user", user != nullptr ? user->pw_name : std::to_string(geteuid())},
      {"system", fmt::format("{} {} {}", names.sysname, names.release, names.machine)},
      {"cpu", machine.cpu_model},
      {"cores", std::to_string(machine.cores)},
      {"memory_bytes", std::to_string(machine.memory_bytes)},
  };
  if (!machine.cuda_devices.empty()) {
    facts.emplace_back("gpu", fmt::format("{}", fmt::join(machine.cuda_devices, ", ")));
  }
  return facts;
}

}  // namespace cifarpipe
