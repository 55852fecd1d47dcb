// Batch norm together with what stands around it: the convolution's bias before it, a residual
// sum, an activation, a 2x2 max-pool and dropout after it. One pass over memory for the statistics
// and one for the rest, forward; two, backward; nothing is kept between them but the input. In the
// unfused form these are up to five operations with a tensor each.
// Also max-pooling alone, with the place of the largest found again instead of kept.
// Computes on libtorch's threads, with the same bits for any number of them. Stage's thread only.
#pragma once

#include <ATen/core/Tensor.h>

#include "stages/learn/counter_random.hpp"
#include "stages/learn/fused_kernels.hpp"

namespace cifarpipe::learn {

/// The tensors of a batch norm: all float, [C].
struct NormTensors {
  at::Tensor weight;
  at::Tensor bias;
  at::Tensor running_mean;
  at::Tensor running_var;
  /// Of the convolution before, which then must not add it; may be undefined. With the batch's
  /// statistics it cancels out and its gradient is exactly 0.
  at::Tensor conv_bias;
};

struct NormSettings {
  double epsilon = 1e-5;
  double momentum = 0.1;
  bool batch_statistics = true;  ///< And running statistics move; else those are used.
  Activation activation = Activation::none;
  bool pool = false;
  double dropout = 0;
  std::uint64_t dropout_key = 0;
};

/// `x` [N,C,H,W], float or bfloat16; `residual`, which may be undefined, as x. Returns x's type,
/// channels innermost in memory.
at::Tensor fused_norm(const at::Tensor& x, const at::Tensor& residual, const NormTensors& norm,
                      const NormSettings& settings);

/// Windows of kernel x kernel that do not overlap; what is left over at the edges is cut off.
at::Tensor fused_max_pool(const at::Tensor& x, std::int64_t kernel);

}  // namespace cifarpipe::learn
