#include "stages/learn/dropout.hpp"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/empty_like.h>
#include <c10/util/BFloat16.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <cmath>
#include <mutex>

namespace cifarpipe::learn {
namespace {

constexpr std::int64_t kPerDraw = 4;   // elements that share one 64-bit draw, 16 bits each
constexpr std::int64_t kBlock = 1024;  // elements whose draws are made ahead, in the cache
constexpr std::int64_t kGrain = 1 << 15;

/// `out` = `in` where kept, times `scale`; element i is kept when its 16 bits reach `threshold`.
template <class T>
void apply_mask(const T* in, T* out, std::int64_t begin, std::int64_t end, std::uint64_t key,
                std::uint32_t threshold, float scale) {
  std::array<std::uint16_t, kBlock> draws;
  for (std::int64_t at = begin; at < end; at += kBlock) {
    const std::int64_t count = std::min(kBlock, end - at);
    std::uint64_t counter = key + static_cast<std::uint64_t>(at / kPerDraw + 1) * kGolden;
    for (std::int64_t i = 0; i < count; i += kPerDraw, counter += kGolden) {
      const std::uint64_t bits = mix_bits(counter);
      for (std::int64_t j = 0; j < kPerDraw; ++j) {
        draws[static_cast<std::size_t>(i + j)] = static_cast<std::uint16_t>(bits >> (16 * j));
      }
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const float factor = draws[static_cast<std::size_t>(i)] >= threshold ? scale : 0.0F;
      out[at + i] = static_cast<T>(static_cast<float>(in[at + i]) * factor);
    }
  }
}

template <class T>
void apply_mask_in_parallel(const at::Tensor& in, at::Tensor& out, std::uint64_t key,
                            std::uint32_t threshold, float scale) {
  const T* from = in.const_data_ptr<T>();
  T* to = out.mutable_data_ptr<T>();
  const std::int64_t count = in.numel();
  const std::int64_t blocks = (count + kBlock - 1) / kBlock;
  at::parallel_for(0, blocks, kGrain / kBlock, [&](std::int64_t begin, std::int64_t end) {
    apply_mask(from, to, begin * kBlock, std::min(count, end * kBlock), key, threshold, scale);
  });
}

at::Tensor masked(const at::Tensor& in, std::uint64_t key, std::uint32_t threshold) {
  at::Tensor out = at::empty_like(in);
  // The probability that is really drawn, so that the expectation is exact.
  const float scale = 65536.0F / static_cast<float>(65536 - threshold);
  if (in.scalar_type() == at::kBFloat16) {
    apply_mask_in_parallel<c10::BFloat16>(in, out, key, threshold, scale);
  } else {
    apply_mask_in_parallel<float>(in, out, key, threshold, scale);
  }
  return out;
}

struct DropoutFunction : torch::autograd::Function<DropoutFunction> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            std::int64_t key, std::int64_t threshold) {
    context->saved_data["key"] = key;
    context->saved_data["threshold"] = threshold;
    context->saved_data["format"] = static_cast<std::int64_t>(x.suggest_memory_format());
    return masked(x, static_cast<std::uint64_t>(key), static_cast<std::uint32_t>(threshold));
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto format = static_cast<at::MemoryFormat>(context->saved_data["format"].toInt());
    const auto key = static_cast<std::uint64_t>(context->saved_data["key"].toInt());
    const auto threshold = static_cast<std::uint32_t>(context->saved_data["threshold"].toInt());
    // The mask belongs to places in memory, so the gradient must lie as the input did.
    return {masked(gradients[0].contiguous(format), key, threshold), {}, {}};
  }
};

}  // namespace

at::Tensor dropout(const at::Tensor& x, double p, std::uint64_t key) {
  const auto threshold = static_cast<std::int64_t>(std::lround(p * 65536));
  if (threshold <= 0) return x;
  const at::Tensor dense = x.contiguous(x.suggest_memory_format());
  return DropoutFunction::apply(dense, static_cast<std::int64_t>(key), threshold);
}

at::Tensor device_dropout(const at::Tensor& x, double p, std::uint64_t key) {
  {
    at::Generator generator = at::globalContext().defaultGenerator(x.device());
    const std::scoped_lock lock(generator.mutex());
    generator.set_current_seed(key);
  }
  return at::dropout(x, p, /*train=*/true);
}

}  // namespace cifarpipe::learn
