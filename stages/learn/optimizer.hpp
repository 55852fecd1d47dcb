// The update rules, by libtorch's fused kernels. An Optimizer shares the model's parameters.
// Stage's thread only.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

struct OptimizerOptions {
  /// "adam" (L2 in the gradient), "adamw" (decoupled), "sgd", or "muon": muon.hpp for the filters
  /// of convolutions, sgd for the rest.
  std::string rule = "adam";
  double weight_decay = 1e-4;
  double momentum = 0.9;  ///< sgd, and muon's sgd; 0 = none.
  bool nesterov = false;  ///< The same.
  /// Biases move with this times the learning rate, and with the weight decay divided by it.
  double bias_lr = 1;
  double muon_lr = 1;  ///< Filters move with this times the learning rate.
  double muon_momentum = 0.6;
  double clip_norm = 0;  ///< All gradients together are made no longer than this; 0 = as they are.
};

class Optimizer {
 public:
  Optimizer(OptimizerOptions options, const std::vector<NamedTensor>& parameters);

  /// Moves the parameters by their gradients, which must be there and dense. Clipping changes them.
  void step(double lr);
  /// What a checkpoint must hold beside the weights; handles to the optimiser's own storage.
  std::vector<NamedTensor> state() const;

 private:
  /// Parameters that share a learning rate.
  struct Group {
    double lr_factor = 1;
    double weight_decay = 0;
    bool muon = false;
    std::vector<std::string> names;
    std::vector<at::Tensor> parameters;
    std::vector<at::Tensor> first;   ///< adam: mean of the gradient; sgd: momentum.
    std::vector<at::Tensor> second;  ///< adam: mean of its square.
    std::vector<at::Tensor> steps;   ///< adam: one count a parameter, as float.
  };
  void add(Group& group, const NamedTensor& parameter);
  void move(Group& group, double lr);
  void clip();

  OptimizerOptions options_;
  std::vector<Group> groups_;
};

}  // namespace cifarpipe::learn
