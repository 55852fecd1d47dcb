// How a model of an export does on a whole split, and how much one loses to another there. Stage's
// thread only.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "stages/export/card.hpp"
#include "stages/learn/batch.hpp"

namespace cifarpipe {

/// One of the models that an export judges.
struct Judged {
  std::string name;  ///< For messages: "the checkpoint".
  std::function<at::Tensor(const at::Tensor& normalised)> answer;
};

/// Throws one sentence that names the image unless all of these logits, a row an image, are finite.
/// `positions`: of each image in the source.
void require_finite(const at::Tensor& logits, std::span<const std::int32_t> positions,
                    const std::string& split, const std::string& model);

/// Judges the answers for a whole split. `classes` has the model's class of each of the dataset's,
/// `dataset` is the folder that may list duplicates, `between` is called before each batch and may
/// throw.
SplitFigures judge_split(const learn::DatasetReader& data, const std::filesystem::path& dataset,
                         const std::string& split, const std::vector<std::int32_t>& classes,
                         const learn::BatchMaker& maker, const Judged& model,
                         const std::function<void(std::int64_t done, std::int64_t all)>& between);

/// What a model loses to another one on the same images.
struct AccuracyLoss {
  double whole = 0;  ///< As a fraction of all images; below 0 for a gain.
  /// What chance leaves of it: the lower end of a 95 % interval. The images that only one of the
  /// two answers right decide; where the models do alike, half of them are lost.
  double least = 0;
};

AccuracyLoss accuracy_loss(const SplitFigures& from, const SplitFigures& to);

double accuracy(const SplitFigures& figures);

}  // namespace cifarpipe
