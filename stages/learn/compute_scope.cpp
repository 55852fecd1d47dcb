#include "stages/learn/compute_scope.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <malloc.h>

#include <limits>
#include <string>

#include "pipeline/error.hpp"

namespace cifarpipe::learn {
namespace {

/// Each computing thread has a setting of its own: those that exist are told one by one, later
/// ones inherit it from this thread.
void set_flush_denormal(bool flush) {
  at::globalContext().setFlushDenormal(flush);
  const int threads = at::get_num_threads();
  at::parallel_for(0, threads, 1, [flush](std::int64_t, std::int64_t) {
    at::globalContext().setFlushDenormal(flush);
  });
}

}  // namespace

Precision parse_precision(std::string_view name) {
  if (name == "fp32") return Precision::fp32;
  if (name == "bf16") return Precision::bf16;
  if (name == "fp16") return Precision::fp16;
  throw Error("there is no precision '" + std::string(name) + "'");
}

std::string_view precision_name(Precision precision) {
  return precision == Precision::fp32 ? "fp32" : precision == Precision::bf16 ? "bf16" : "fp16";
}

AutocastScope::AutocastScope(Precision precision, c10::DeviceType device)
    : on_(precision != Precision::fp32), device_(device) {
  if (!on_) return;
  at::autocast::increment_nesting();
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::set_autocast_dtype(device_,
                                   precision == Precision::bf16 ? at::kBFloat16 : at::kHalf);
}

AutocastScope::~AutocastScope() {
  if (!on_) return;
  at::autocast::set_autocast_enabled(device_, false);
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
}

FlushDenormalScope::FlushDenormalScope() {
  set_flush_denormal(true);
}

FlushDenormalScope::~FlushDenormalScope() {
  set_flush_denormal(false);
}

#ifdef __GLIBC__
MemoryReuseScope::MemoryReuseScope() {
  ::mallopt(M_MMAP_THRESHOLD, std::numeric_limits<int>::max());
  ::mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  ::mallopt(M_TOP_PAD, 64 << 20);
}

MemoryReuseScope::~MemoryReuseScope() {
  // glibc's defaults; setting them also ends their adaptation, which matters to nobody here.
  ::mallopt(M_MMAP_THRESHOLD, 128 << 10);
  ::mallopt(M_TRIM_THRESHOLD, 128 << 10);
  ::mallopt(M_TOP_PAD, 128 << 10);
  ::malloc_trim(0);
}
#else
MemoryReuseScope::MemoryReuseScope() = default;
MemoryReuseScope::~MemoryReuseScope() = default;
#endif

}  // namespace cifarpipe::learn
