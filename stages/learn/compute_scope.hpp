// Settings of libtorch that hold for a while and are then put back: mixed precision for a forward
// pass, flushed denormals and memory that is kept for a job. Made and ended on the stage's thread.
#pragma once

#include <c10/core/Device.h>

#include <string_view>

namespace cifarpipe::learn {

/// What convolutions and matrix products are computed in. fp16 has a narrow range: a training in
/// it scales its gradients (loss_scale.hpp).
enum class Precision { fp32, bf16, fp16 };

/// "fp32", "bf16" or "fp16".
Precision parse_precision(std::string_view name);
std::string_view precision_name(Precision precision);

/// Convolutions and matrix products in a shorter type while it lives. Its end drops the cached
/// copies of the weights in that type: an optimiser step would make them stale.
class AutocastScope {
 public:
  explicit AutocastScope(Precision precision, c10::DeviceType device = c10::kCPU);
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;
  ~AutocastScope();

 private:
  bool on_;
  c10::DeviceType device_;
};

/// Denormal numbers count as zero in all computing threads while it lives. They would slow Adam's
/// moments down; and set in one thread only they would make results depend on earlier jobs.
class FlushDenormalScope {
 public:
  FlushDenormalScope();
  FlushDenormalScope(const FlushDenormalScope&) = delete;
  FlushDenormalScope& operator=(const FlushDenormalScope&) = delete;
  ~FlushDenormalScope();
};

/// Freed memory stays with the process while it lives. Tensors of a batch are as large as the last
/// batch's; given back to the system and taken anew, each page is cleared again, which costs a
/// training step a sixth of its time. Its end gives all back.
class MemoryReuseScope {
 public:
  MemoryReuseScope();
  MemoryReuseScope(const MemoryReuseScope&) = delete;
  MemoryReuseScope& operator=(const MemoryReuseScope&) = delete;
  ~MemoryReuseScope();
};

}  // namespace cifarpipe::learn
