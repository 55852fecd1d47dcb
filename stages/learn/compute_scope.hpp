// Settings of libtorch that hold for a while and are then put back: mixed precision for a forward
// pass, flushed denormals for a job. Made and ended on the stage's thread.
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

}  // namespace cifarpipe::learn
