// NVIDIA GPUs as their driver's management library tells of them, if there is one: it is opened
// when first asked for, never linked. Without it there are simply no GPUs. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace cifarpipe {

/// One GPU at a moment; what it does not tell is left out.
struct GpuUse {
  std::optional<std::uint64_t> memory_used;   ///< Bytes.
  std::optional<std::uint64_t> memory_total;  ///< Bytes.
  std::optional<double> utilization;          ///< Percent of the time.
  std::optional<double> power_watts;
  std::optional<double> power_limit_watts;
};

class Nvml {
 public:
  /// libnvidia-ml.so.1, started; null where there is none or it refuses. `file`: another one.
  static std::unique_ptr<Nvml> open(const char* file = "libnvidia-ml.so.1");
  ~Nvml();
  Nvml(const Nvml&) = delete;

  std::string driver() const;              ///< "550.54.15"; "" if it does not say.
  std::vector<std::string> names() const;  ///< "NVIDIA H100 80GB HBM3", … in NVML's order.
  std::vector<GpuUse> use() const;

 private:
  struct Calls;
  Nvml();
  std::unique_ptr<Calls> calls_;
  std::vector<void*> devices_;
};

}  // namespace cifarpipe
