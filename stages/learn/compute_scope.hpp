// Settings of libtorch that hold for a while and are then put back: mixed precision for a forward
// pass, flushed denormals and memory that is kept for a job. Made and ended on the stage's thread.
#pragma once

namespace cifarpipe::learn {

/// Convolutions and matrix products in bfloat16 while it lives. Its end drops the cached bfloat16
/// copies of the weights: an optimiser step would make them stale.
class AutocastScope {
 public:
  explicit AutocastScope(bool bf16);
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;
  ~AutocastScope();

 private:
  bool bf16_;
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
