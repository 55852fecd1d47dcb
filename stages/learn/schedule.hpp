// The learning rate of every optimiser step. Pure functions: any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cifarpipe::learn {

/// The rules are PyTorch's, in closed form: `step` and `multi_step` change after whole epochs
/// (StepLR, MultiStepLR), the others at every step (CosineAnnealingLR and LinearLR towards
/// `end`, OneCycleLR with cosine annealing).
struct Schedule {
  std::string rule = "step";  ///< constant, step, multi_step, cosine, linear or one_cycle
  double lr = 1e-3;           ///< The peak.
  int step_size = 10;         ///< step: epochs; 0 = never.
  double gamma = 0.1;         ///< step, multi_step: the factor.
  std::vector<std::int64_t> milestones;  ///< multi_step: after so many epochs, ascending.
  double warmup = 0;       ///< Epochs in which the rate rises linearly; one_cycle: all of its rise.
  double warmup_from = 0;  ///< The rise begins at this share of `lr`.
  double end = 0;  ///< cosine, linear, one_cycle: the share of `lr` that is left at the end.
};

/// Where a step stands.
struct Progress {
  std::int64_t step = 0;  ///< Optimiser steps done.
  std::int64_t steps_per_epoch = 1;
  std::int64_t epochs = 1;
};

double learning_rate(const Schedule& schedule, const Progress& progress);

}  // namespace cifarpipe::learn
