// The loops of fused_norm.cpp and batch.cpp: plain memory in, plain memory out, one range of
// rows a call, so that the caller can spread rows over threads. Compiled once for each instruction
// set and chosen by the processor. Channels are innermost everywhere, so vectors run over channels
// and every instruction set adds up in the same order: the same bits.
// No libtorch and no templates of std in the implementation: what a compiler makes of those for a
// newer processor must never be linked into code that runs on an older one.
#pragma once

#include <cstdint>

namespace cifarpipe::learn {

enum class Activation { none, relu, gelu };

/// Batch norm, what is added to it, activation, 2x2 max-pool and dropout as one operation:
///   y = dropout(pool(act(x * scale + shift + residual)))
/// Tensors are [N,H,W,C] in memory, of one element type; rows count n * H + h.
struct NormPass {
  const void* x = nullptr;
  const void* residual = nullptr;  ///< As x; may be null. Never together with `pool`.
  const void* gradient = nullptr;  ///< As y.
  void* y = nullptr;
  void* x_gradient = nullptr;
  void* residual_gradient = nullptr;
  const float* scale = nullptr;  ///< A channel.
  const float* shift = nullptr;
  const float* pivot = nullptr;  ///< Near the mean: sums of (x - pivot) lose no digits.
  std::int64_t channels = 0;
  std::int64_t height = 0;  ///< Of x. With `pool`, y has half of it, rounded down.
  std::int64_t width = 0;
  Activation activation = Activation::none;
  bool pool = false;
  std::uint64_t dropout_key = 0;
  std::uint32_t dropout_threshold = 0;  ///< 0 = no dropout; as in dropout.hpp.

  std::int64_t out_width() const { return pool ? width / 2 : width; }
  std::int64_t out_height() const { return pool ? height / 2 : height; }
};

/// x_gradient = a * dv + b * x + d, a number a channel each; dv is the gradient of x * scale +
/// shift.
struct NormGradient {
  const float* a = nullptr;
  const float* b = nullptr;
  const float* d = nullptr;
};

struct PoolPass {
  const void* x = nullptr;
  const void* gradient = nullptr;  ///< As y.
  void* y = nullptr;
  void* x_gradient = nullptr;
  std::int64_t channels = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t kernel = 2;
};

/// Rows of `statistics` are x's; of all others y's. `sums` has two numbers a channel: all first
/// ones, then all second ones; what is there is added to.
struct FusedKernels {
  /// Sums of x - pivot and of its square.
  void (*statistics)(const NormPass& pass, std::int64_t begin, std::int64_t end, float* sums);
  void (*forward)(const NormPass& pass, std::int64_t begin, std::int64_t end);
  /// Sums of dv and of dv * (x - pivot); writes residual_gradient if there is a residual.
  void (*reduce)(const NormPass& pass, std::int64_t begin, std::int64_t end, float* sums);
  void (*backward)(const NormPass& pass, const NormGradient& gradient, std::int64_t begin,
                   std::int64_t end);
  void (*pool_forward)(const PoolPass& pass, std::int64_t begin, std::int64_t end);
  void (*pool_backward)(const PoolPass& pass, std::int64_t begin, std::int64_t end);
  /// Rows of `size` bytes to (byte / 255 - mean) / deviation, each place in a row with numbers of
  /// its own. The bits are those of the same sum in scalar float.
  void (*normalise)(const std::uint8_t* bytes, std::int64_t rows, std::int64_t size,
                    const float* mean, const float* deviation, void* out);
};

/// The best that this processor runs.
const FusedKernels& fused_kernels(bool bf16);

namespace baseline {
const FusedKernels& kernels(bool bf16);
}
namespace avx2 {
const FusedKernels& kernels(bool bf16);
}
namespace avx512 {
const FusedKernels& kernels(bool bf16);
}

}  // namespace cifarpipe::learn
