// The update rules, by libtorch's fused kernels, and the learning rate of an epoch.
// An Optimizer shares the model's parameters. Stage's thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

struct OptimizerOptions {
  std::string rule = "adam";  ///< "adam" (L2 in the gradient), "adamw" (decoupled) or "sgd".
  double weight_decay = 1e-4;
  double momentum = 0.9;  ///< sgd only; 0 = none.
};

class Optimizer {
 public:
  Optimizer(OptimizerOptions options, const std::vector<NamedTensor>& parameters);

  /// Moves the parameters by their gradients. Gradients must be there and dense.
  void step(double lr);
  /// What a checkpoint must hold beside the weights; handles to the optimiser's own storage.
  std::vector<NamedTensor> state() const;

 private:
  OptimizerOptions options_;
  std::vector<std::string> names_;
  std::vector<at::Tensor> parameters_;
  std::vector<at::Tensor> first_;   ///< adam: mean of the gradient; sgd: momentum.
  std::vector<at::Tensor> second_;  ///< adam: mean of its square.
  std::vector<at::Tensor> steps_;   ///< adam: one count a parameter, as float.
};

/// PyTorch's StepLR: `lr` times `gamma` once for every `step_size` whole epochs; `epoch` from 0.
/// A step size of 0 leaves it constant.
double step_lr(double lr, std::int64_t step_size, double gamma, std::int64_t epoch);

}  // namespace cifarpipe::learn
