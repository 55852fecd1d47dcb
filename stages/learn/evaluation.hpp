// Runs a model over a split and judges its logits: the same code for the validation split in
// training and for the evaluate stage. Stage's thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "stages/learn/batch.hpp"
#include "stages/learn/compute_scope.hpp"
#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

/// The model's answer for one image.
struct Judgement {
  std::int64_t row = 0;  ///< Within the split.
  std::int32_t label = 0;
  std::int32_t predicted = 0;  ///< The class of the largest logit; the first of equal ones.
  double loss = 0;             ///< Cross entropy.
  double confidence = 0;       ///< Probability of `predicted`.
  double label_probability = 0;
  /// How many classes are likelier than the label: a larger logit, or an equal one before it.
  std::int32_t label_rank = 0;
  bool finite = true;  ///< Whether all logits are; else the rest means nothing.
};

/// A strict weak order for sorting: the surest first, and what is not a number last.
bool surer(const Judgement& a, const Judgement& b);

/// Judges one row of logits.
Judgement judge(std::span<const float> logits, std::int32_t label);

struct Evaluation {
  double loss = 0;      ///< Mean over all images.
  double accuracy = 0;  ///< A fraction.
  std::int64_t images = 0;
  bool finite = true;  ///< Whether all answers are.
};

/// Test-time augmentation: whose logits are averaged.
enum class Views {
  plain,       ///< The image alone.
  flip,        ///< It and its mirror image.
  flip_shift,  ///< Those, counting half, and both moved one pixel up left and one down right
               ///< (airbench's multi-crop, Jordan 2024, arXiv 2404.00498, section 3.5).
};

struct EvaluationOptions {
  std::int64_t batch_size = 256;
  Precision precision = Precision::fp32;
  Views views = Views::plain;
};

/// Computes where the model is. `each` gets every image in order; `between` is called before each
/// batch and may throw.
Evaluation evaluate(const Model& model, const BatchMaker& maker, const SplitView& split,
                    const EvaluationOptions& options,
                    const std::function<void(const Judgement&)>& each,
                    const std::function<void(std::int64_t done)>& between);

}  // namespace cifarpipe::learn
