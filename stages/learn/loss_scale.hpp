// Scaling of the loss for training in fp16, whose smallest numbers would swallow gradients: the
// loss is multiplied by a large factor, the gradients are divided by it before the optimiser's
// step. The rule and its numbers are those of torch.amp.GradScaler. Stage's thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

struct LossScale {
  static constexpr double kFirst = 65536;
  static constexpr std::int64_t kGrowthSteps = 2000;

  double factor = kFirst;
  std::int64_t good_steps = 0;  ///< Since the factor changed.

  /// Divides the gradients by the factor. False when one of them is not finite: then the step must
  /// be left out. Adapts the factor either way: half after a step left out, twice after
  /// kGrowthSteps good ones.
  bool unscale(const std::vector<NamedTensor>& trained);
};

}  // namespace cifarpipe::learn
