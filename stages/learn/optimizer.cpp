#include "stages/learn/optimizer.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_foreach_add.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/_fused_sgd.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>

#include "stages/learn/muon.hpp"

namespace cifarpipe::learn {
namespace {

// PyTorch's defaults.
constexpr double kBeta1 = 0.9;
constexpr double kBeta2 = 0.999;
constexpr double kEpsilon = 1e-8;

void adam(at::TensorList parameters, at::TensorList gradients, at::TensorList first,
          at::TensorList second, at::TensorList steps, double lr, double weight_decay) {
  at::_fused_adam_(parameters, gradients, first, second, {}, steps, lr, kBeta1, kBeta2,
                   weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
}

void adamw(at::TensorList parameters, at::TensorList gradients, at::TensorList first,
           at::TensorList second, at::TensorList steps, double lr, double weight_decay) {
  at::_fused_adamw_(parameters, gradients, first, second, {}, steps, lr, kBeta1, kBeta2,
                    weight_decay, kEpsilon, /*amsgrad=*/false, /*maximize=*/false);
}

}  // namespace

Optimizer::Optimizer(OptimizerOptions options, const std::vector<NamedTensor>& parameters)
    : options_(std::move(options)) {
  const at::NoGradGuard no_grad;
  if (options_.rule != "adam" && options_.rule != "adamw" && options_.rule != "sgd" &&
      options_.rule != "muon") {
    throw Error("there is no optimizer '" + options_.rule + "'");
  }
  Group all{1, options_.weight_decay, false, {}, {}, {}, {}, {}};
  Group biases = all;
  biases.lr_factor = options_.bias_lr;
  biases.weight_decay /= options_.bias_lr;
  Group filters = all;
  filters.lr_factor = options_.muon_lr;
  filters.muon = true;
  for (const auto& parameter : parameters) {
    if (options_.rule == "muon" && parameter.tensor.dim() == 4) {
      add(filters, parameter);
    } else {
      const bool apart = options_.bias_lr != 1 && parameter.name.ends_with(".bias");
      add(apart ? biases : all, parameter);
    }
  }
  for (Group* group : {&all, &biases, &filters}) {
    if (!group->parameters.empty()) groups_.push_back(std::move(*group));
  }
}

void Optimizer::add(Group& group, const NamedTensor& parameter) {
  const bool adam = options_.rule.starts_with("adam");
  group.names.push_back(parameter.name);
  group.parameters.push_back(parameter.tensor);
  // The fused kernels walk through memory, so all must lie as the parameter does.
  if (adam || group.muon || options_.momentum != 0)
    group.first.push_back(at::zeros_like(parameter.tensor));
  if (!adam) return;
  group.second.push_back(at::zeros_like(parameter.tensor));
  group.steps.push_back(at::zeros({}, parameter.tensor.options().requires_grad(false)));
}

void Optimizer::step(double lr) {
  const at::NoGradGuard no_grad;
  if (options_.clip_norm > 0) clip();
  for (Group& group : groups_) move(group, lr * group.lr_factor);
}

/// As PyTorch's clip_grad_norm_.
void Optimizer::clip() {
  std::vector<at::Tensor> gradients;
  for (const Group& group : groups_) {
    for (const at::Tensor& parameter : group.parameters) gradients.push_back(parameter.grad());
  }
  double squares = 0;
  for (const at::Tensor& norm : at::_foreach_norm(gradients, 2)) {
    const auto value = static_cast<double>(norm.item<float>());
    squares += value * value;
  }
  const double factor = options_.clip_norm / (std::sqrt(squares) + 1e-6);
  if (factor < 1) at::_foreach_mul_(gradients, factor);
}

void Optimizer::move(Group& group, double lr) {
  std::vector<at::Tensor> gradients;
  gradients.reserve(group.parameters.size());
  for (const at::Tensor& parameter : group.parameters) gradients.push_back(parameter.grad());
  if (group.muon) {
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      muon_step(group.parameters[i], gradients[i], group.first[i], lr, options_.muon_momentum);
    }
    return;
  }
  if (!options_.rule.starts_with("adam")) {
    // A momentum of zeros becomes the gradient itself, as PyTorch's first step has it.
    at::_fused_sgd_(group.parameters, gradients, group.first, group.weight_decay, options_.momentum,
                    lr, /*dampening=*/0, options_.nesterov,
                    /*maximize=*/false, /*is_first_step=*/false);
    return;
  }
  at::_foreach_add_(group.steps, 1);
  const auto update = options_.rule == "adam" ? adam : adamw;
  update(group.parameters, gradients, group.first, group.second, group.steps, lr,
         group.weight_decay);
}

std::vector<NamedTensor> Optimizer::state() const {
  std::vector<NamedTensor> all;
  for (const Group& group : groups_) {
    for (std::size_t i = 0; i < group.names.size(); ++i) {
      const std::string& name = group.names[i];
      if (!group.first.empty()) all.push_back({name + ".first", group.first[i]});
      if (!group.second.empty()) all.push_back({name + ".second", group.second[i]});
      if (!group.steps.empty()) all.push_back({name + ".steps", group.steps[i]});
    }
  }
  return all;
}

}  // namespace cifarpipe::learn
