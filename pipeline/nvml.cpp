#include "pipeline/nvml.hpp"

#include <dlfcn.h>

namespace cifarpipe {
namespace {

// Of nvml.h, whose numbers never change.
constexpr int kSuccess = 0;
constexpr unsigned kTextSize = 96;

struct MemoryInfo {
  unsigned long long total = 0;
  unsigned long long free = 0;
  unsigned long long used = 0;
};
struct Utilization {
  unsigned gpu = 0;
  unsigned memory = 0;
};

}  // namespace

struct Nvml::Calls {
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*driver_version)(char*, unsigned) = nullptr;
  int (*count)(unsigned*) = nullptr;
  int (*handle)(unsigned, void**) = nullptr;
  int (*name)(void*, char*, unsigned) = nullptr;
  int (*memory)(void*, MemoryInfo*) = nullptr;
  int (*utilization)(void*, Utilization*) = nullptr;
  int (*power)(void*, unsigned*) = nullptr;
  int (*power_limit)(void*, unsigned*) = nullptr;
};

namespace {

template <class F>
void find(void* library, const char* symbol, F& out) {
  out = reinterpret_cast<F>(dlsym(library, symbol));
}

}  // namespace

Nvml::Nvml() : calls_(std::make_unique<Calls>()) {}

Nvml::~Nvml() {
  if (calls_->shutdown != nullptr) calls_->shutdown();
}

std::unique_ptr<Nvml> Nvml::open(const char* file) {
  // The library stays loaded, as libcuda does: drivers do not like to be unloaded.
  void* library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  std::unique_ptr<Nvml> nvml(new Nvml);
  Calls& calls = *nvml->calls_;
  find(library, "nvmlInit_v2", calls.init);
  find(library, "nvmlSystemGetDriverVersion", calls.driver_version);
  find(library, "nvmlDeviceGetCount_v2", calls.count);
  find(library, "nvmlDeviceGetHandleByIndex_v2", calls.handle);
  find(library, "nvmlDeviceGetName", calls.name);
  find(library, "nvmlDeviceGetMemoryInfo", calls.memory);
  find(library, "nvmlDeviceGetUtilizationRates", calls.utilization);
  find(library, "nvmlDeviceGetPowerUsage", calls.power);
  find(library, "nvmlDeviceGetEnforcedPowerLimit", calls.power_limit);
  if (calls.init == nullptr || calls.count == nullptr || calls.handle == nullptr ||
      calls.init() != kSuccess) {
    return nullptr;
  }
  find(library, "nvmlShutdown", calls.shutdown);
  unsigned count = 0;
  if (calls.count(&count) != kSuccess) return nullptr;
  for (unsigned i = 0; i < count; ++i) {
    void* device = nullptr;
    if (calls.handle(i, &device) == kSuccess) nvml->devices_.push_back(device);
  }
  return nvml;
}

std::string Nvml::driver() const {
  char text[kTextSize] = {};
  if (calls_->driver_version == nullptr || calls_->driver_version(text, kTextSize) != kSuccess) {
    return "";
  }
  return text;
}

std::vector<std::string> Nvml::names() const {
  std::vector<std::string> names;
  for (void* device : devices_) {
    char text[kTextSize] = {};
    const bool known = calls_->name != nullptr && calls_->name(device, text, kTextSize) == kSuccess;
    names.emplace_back(known ? text : "unknown");
  }
  return names;
}

std::vector<GpuUse> Nvml::use() const {
  std::vector<GpuUse> all;
  for (void* device : devices_) {
    GpuUse& gpu = all.emplace_back();
    MemoryInfo memory;
    if (calls_->memory != nullptr && calls_->memory(device, &memory) == kSuccess) {
      gpu.memory_used = memory.used;
      gpu.memory_total = memory.total;
    }
    Utilization rates;
    if (calls_->utilization != nullptr && calls_->utilization(device, &rates) == kSuccess) {
      gpu.utilization = rates.gpu;
    }
    unsigned milliwatts = 0;
    if (calls_->power != nullptr && calls_->power(device, &milliwatts) == kSuccess) {
      gpu.power_watts = milliwatts / 1000.0;
    }
    if (calls_->power_limit != nullptr && calls_->power_limit(device, &milliwatts) == kSuccess) {
      gpu.power_limit_watts = milliwatts / 1000.0;
    }
  }
  return all;
}

}  // namespace cifarpipe
