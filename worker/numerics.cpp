#include "worker/numerics.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

namespace cifarpipe {

void reset_numerics(const Numerics& numerics, std::uint64_t seed) {
  const bool cuda = numerics.device.rfind("cuda", 0) == 0;
  if (cuda && !at::hasCUDA()) {
    throw Error(fmt::format("the plan says {}, but this worker's libtorch sees no CUDA device",
                            numerics.device),
                ErrorKind::environment);
  }
  at::set_num_threads(numerics.threads);
  if (at::get_num_threads() != numerics.threads) {
    throw Error(fmt::format("the plan says {} threads, but the worker got {}", numerics.threads,
                            at::get_num_threads()),
                ErrorKind::environment);
  }
  at::manual_seed(seed);
  at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(at::kCPU, false);
  c10::set_default_dtype(caffe2::TypeMeta::Make<float>());
  c10::GradMode::set_enabled(true);
  auto& context = at::globalContext();
  context.setFlushDenormal(false);
  context.setDeterministicAlgorithms(false, false);
  context.setBenchmarkCuDNN(false);
  context.setDeterministicCuDNN(cuda);
}

}  // namespace cifarpipe
