// Which pixels an answer hangs on: SmoothGrad (Smilkov et al. 2017), the mean size of the answer's
// gradient over noisy copies of the image. A function of model and image alone. Stage's thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "stages/learn/batch.hpp"
#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

struct SaliencyOptions {
  int samples = 32;    ///< 1 = the plain gradient, without noise.
  double noise = 0.1;  ///< Standard deviation, as a share of the normalised image's range.
};

/// height x width values on [0, 1], lightly smoothed; 1 = the 99th percentile and above. Takes the
/// model's parameters out of training.
std::vector<float> saliency(const Model& model, const BatchMaker& maker, const SplitView& split,
                            std::int32_t row, std::int32_t answer, const SaliencyOptions& options);

}  // namespace cifarpipe::learn
