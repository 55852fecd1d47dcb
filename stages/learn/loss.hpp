// What training minimises: cross entropy, with label smoothing, weights of classes, and images that
// are mixed with one another. Stage's thread only.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "stages/learn/dataset_file.hpp"

namespace cifarpipe::learn {

struct LossOptions {
  double label_smoothing = 0;         ///< The share of the target that all classes get alike.
  std::vector<double> class_weights;  ///< A class each, in the dataset's order; empty = all alike.
  bool balance_classes = false;       ///< Weights inverse to how often a class occurs.
  // Parameters of Beta distributions that shares are drawn from; 0 = off. With both on, each batch
  // gets one of them, by chance.
  double mixup = 0;   ///< arXiv 1710.09412
  double cutmix = 0;  ///< arXiv 1905.04899
};

/// How the images of one batch are mixed: each with the one at the same place from the other end.
struct Mix {
  double share = 1;  ///< Of an image's own label; 1 = not mixed.
  bool cut = false;  ///< A box is pasted; else the images are blended.
  std::int64_t top = 0;
  std::int64_t left = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;

  /// The label with the larger share.
  at::Tensor main_labels(const at::Tensor& labels) const;
};

/// A function of (seed, number of the batch) alone.
Mix draw_mix(const LossOptions& options, std::uint64_t seed, std::int64_t batch,
             std::int64_t height, std::int64_t width);
/// Replaces [N,C,H,W] images by their mix.
void mix_images(at::Tensor& images, const Mix& mix);

class Loss {
 public:
  /// Losses are computed on `device`. Throws a sentence for weights that do not fit the classes.
  Loss(LossOptions options, const SplitView& train, const DatasetInfo& info,
       c10::Device device = c10::kCPU);

  /// Mean over the batch. Class weights are scaled so that their mean over the training split is 1:
  /// the size of steps does not change, and gradients of batches can be added up.
  at::Tensor of(const at::Tensor& logits, const at::Tensor& labels, const Mix& mix) const;

 private:
  at::Tensor plain(const at::Tensor& logits, const at::Tensor& labels) const;

  LossOptions options_;
  at::Tensor weights_;  ///< Undefined when all are alike.
};

}  // namespace cifarpipe::learn
