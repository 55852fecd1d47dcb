#include "stages/learn/averaging.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_lerp.h>

#include <cmath>

namespace cifarpipe::learn {

Averaging::Averaging(AveragingOptions options, const Model& model) : options_(std::move(options)) {
  if (!on()) return;
  const at::NoGradGuard no_grad;
  weights_ = all_tensors(model);
  for (const auto& [name, tensor] : weights_) averages_.push_back({name, tensor.detach().clone()});
}

void Averaging::after_step(std::int64_t steps, std::int64_t total) {
  if (!on() || steps % options_.every != 0) return;
  double decay = std::pow(options_.decay, options_.every);
  if (options_.rule == "ema") return move(decay);
  // What the average remembers grows; in the end it is not looked at once more.
  decay *= std::pow(static_cast<double>(steps) / static_cast<double>(total), 3);
  move(decay);
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    weights_[i].tensor.copy_(averages_[i].tensor);
  }
}

void Averaging::move(double decay) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> averages, weights;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    if (!weights_[i].tensor.is_floating_point()) {
      averages_[i].tensor.copy_(weights_[i].tensor);  // a count
      continue;
    }
    averages.push_back(averages_[i].tensor);
    weights.push_back(weights_[i].tensor);
  }
  at::_foreach_lerp_(averages, weights, 1 - decay);
}

void Averaging::swap() {
  if (!on()) return;
  const at::NoGradGuard no_grad;
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const at::Tensor kept = weights_[i].tensor.detach().clone();
    weights_[i].tensor.copy_(averages_[i].tensor);
    averages_[i].tensor.copy_(kept);
  }
}

}  // namespace cifarpipe::learn
