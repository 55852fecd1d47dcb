#include "stages/learn/optimizer.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

namespace cifarpipe::learn {
namespace {

// PyTorch's defaults.
constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEpsilon = 1e-8;

}  // namespace

Optimizer::Optimizer(OptimizerOptions options, const std::vector<NamedTensor>& parameters)
    : options_(std::move(options)) {
  const at::NoGradGuard no_grad;
  const bool adam = options_.rule == "adam" || options_.rule == "adamw";
  if (!adam && options_.rule != "sgd") throw Error("there is no optimizer '" + options_.rule + "'");
  for (const auto& [name, tensor] : parameters) {
    names_.push_back(name);
    parameters_.push_back(tensor);
    // The fused kernels walk through memory, so all must lie as the parameter does.
    if (adam || options_.momentum != 0) first_.push_back(at::zeros_like(tensor));
    if (!adam) continue;
    second_.push_back(at::zeros_like(tensor));
    steps_.push_back(at::zeros({}, at::kFloat));
  }
}

void Optimizer::step(double lr) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  gradients.reserve(parameters_.size());
  for (const at::Tensor& parameter : parameters_) gradients.push_back(parameter.grad());
  if (options_.rule == "sgd") {
    // A momentum of zeros becomes the gradient itself, as PyTorch's first step has it.
    at::_fused_sgd_(parameters_, gradients, first_, options_.weight_decay, options_.momentum, lr,
                    /*dampening=*/0, /*nesterov=*/false, /*maximize=*/false,
                    /*is_first_step=*/false);
    return;
  }
  at::_foreach_add_(steps_, 1);
  const std::vector<at::Tensor> none;
  if (options_.rule == "adam") {
    at::_fused_adam_(parameters_, gradients, first_, second_, none, steps_, lr, kBeta1, kBeta2,
                     options_.weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
  } else {
    at::_fused_adamw_(parameters_, gradients, first_, second_, none, steps_, lr, kBeta1, kBeta2,
                      options_.weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
  }
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> all;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (!first_.empty()) all.push_back({names_[i] + ".first", first_[i]});
    if (!second_.empty()) all.push_back({names_[i] + ".second", second_[i]});
    if (!steps_.empty()) all.push_back({names_[i] + ".steps", steps_[i]});
  }
  return all;
}

double step_lr(double lr, std::int64_t step_size, double gamma, std::int64_t epoch) {
  // Multiplied again and again, as PyTorch does: the same double.
  for (std::int64_t i = 0; step_size > 0 && i < epoch / step_size; ++i) lr *= gamma;
  return lr;
}

}  // namespace cifarpipe::learn
