#include "stages/learn/saliency.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cifarpipe::learn {
namespace {

/// Adds normal noise to all copies but a single one, by Box and Muller's method.
void add_noise(float* values, std::int64_t count, double deviation) {
  const CounterRandom random(0, Purpose::shuffle, 0x5a11e7c7);
  const auto uniform = [&](std::int64_t i) {
    return (static_cast<double>(random.below(static_cast<std::uint64_t>(i), 1u << 24)) + 0.5) /
           (1u << 24);
  };
  for (std::int64_t i = 0; i < count; ++i) {
    const double radius = std::sqrt(-2 * std::log(uniform(2 * i)));
    values[i] += static_cast<float>(deviation * radius *
                                    std::cos(2 * std::numbers::pi * uniform(2 * i + 1)));
  }
}

/// A 3x3 binomial blur: the gradients of neighbouring pixels are noisy.
std::vector<float> blurred(const std::vector<float>& map, std::int64_t height, std::int64_t width) {
  std::vector<float> out(map.size());
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      float sum = 0;
      float weights = 0;
      for (std::int64_t v = std::max<std::int64_t>(y - 1, 0); v <= std::min(y + 1, height - 1);
           ++v) {
        for (std::int64_t u = std::max<std::int64_t>(x - 1, 0); u <= std::min(x + 1, width - 1);
             ++u) {
          const float weight = (v == y ? 2.0f : 1.0f) * (u == x ? 2.0f : 1.0f);
          sum += weight * map[static_cast<std::size_t>(v * width + u)];
          weights += weight;
        }
      }
      out[static_cast<std::size_t>(y * width + x)] = sum / weights;
    }
  }
  return out;
}

void scale_to_one(std::vector<float>& map) {
  std::vector<float> sorted = map;
  const auto top = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) * 99 / 100);
  std::nth_element(sorted.begin(), top, sorted.end());
  const float largest = *top > 0 ? *top : 1;
  for (float& value : map) {
    value = std::isfinite(value) ? std::clamp(value / largest, 0.0f, 1.0f) : 0;
  }
}

}  // namespace

std::vector<float> saliency(const Model& model, const BatchMaker& maker, const SplitView& split,
                            std::int32_t row, std::int32_t answer, const SaliencyOptions& options) {
  for (const auto& [name, tensor] : model.parameters()) tensor.set_requires_grad(false);
  const std::vector<std::int32_t> copies(static_cast<std::size_t>(options.samples), row);
  at::Tensor images = maker.plain(split, copies).to(at::kFloat).contiguous();
  if (options.samples > 1) {
    float* values = images.mutable_data_ptr<float>();
    const auto [least, most] = std::minmax_element(values, values + images.numel());
    add_noise(values, images.numel(), options.noise * (*most - *least));
  }
  images = images.to(model.device()).contiguous(at::MemoryFormat::ChannelsLast);
  images.set_requires_grad(true);
  const at::AutoGradMode with_gradients(true);
  const ForwardPass pass;
  // The copies do not influence one another: the sum's gradient is each one's own.
  model.forward(images, pass).to(at::kFloat).select(1, answer).sum().backward();
  const at::Tensor gradient = images.grad().abs().mean(0).amax(0).cpu().contiguous();
  const float* values = gradient.const_data_ptr<float>();
  std::vector<float> map(values, values + gradient.numel());
  map = blurred(map, gradient.size(0), gradient.size(1));
  scale_to_one(map);
  return map;
}

}  // namespace cifarpipe::learn
