// Makes the tensors of a batch straight from a split's uint8 images: crop, flip, colour, normalise,
// cutout and cast in one pass over the pixels. What is drawn depends on (seed, epoch, row) only,
// never on the batch, the order or the thread.
// Immutable after construction: any thread. Computes on libtorch's threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "stages/learn/counter_random.hpp"
#include "stages/learn/dataset_file.hpp"

namespace cifarpipe::learn {

/// By default the reference's augmentation: black padding on every side, a random crop of the old
/// size, a horizontal flip with this probability.
struct Augmentation {
  int padding = 4;
  double flip = 0.5;
  bool reflect = false;    ///< The padding mirrors the image at its edge instead of being black.
  bool alternate = false;  ///< Flip every image each second epoch; half of them begin flipped.
  int cutout = 0;          ///< Side of a square that is set to the mean; it lies within the image.
  // Colour jitter as torchvision's, always in this order: a factor from [1 - x, 1 + x] each.
  double brightness = 0;
  double contrast = 0;
  double saturation = 0;
};

/// What one image gets. `top` and `left` are within the padded image, the square's within the
/// image.
struct Draw {
  int top = 0;
  int left = 0;
  bool flip = false;
  int cutout_top = 0;
  int cutout_left = 0;
  float brightness = 1;
  float contrast = 1;
  float saturation = 1;
  friend bool operator==(const Draw&, const Draw&) = default;
};

/// `height` and `width` are the image's.
Draw draw_augmentation(const Augmentation& augmentation, std::int64_t height, std::int64_t width,
                       std::uint64_t seed, std::int64_t epoch, std::int64_t row);

/// What a batch maker is made for.
struct BatchFormat {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::vector<double> mean;  ///< A channel, on [0, 1].
  std::vector<double> std;
  bool bf16 = false;          ///< Else float.
  bool channels_last = true;  ///< The memory order; the shape is always N, C, H, W.
};

class BatchMaker {
 public:
  explicit BatchMaker(BatchFormat format);

  /// The images of `rows`, normalised.
  at::Tensor plain(const SplitView& split, std::span<const std::int32_t> rows) const;
  /// The same, augmented as `epoch` wants it.
  at::Tensor augmented(const SplitView& split, std::span<const std::int32_t> rows,
                       const Augmentation& augmentation, std::uint64_t seed,
                       std::int64_t epoch) const;
  /// The labels of `rows` as int64.
  static at::Tensor labels(const SplitView& split, std::span<const std::int32_t> rows);

 private:
  at::Tensor make(const SplitView& split, std::span<const std::int32_t> rows,
                  const Augmentation& augmentation, const std::vector<Draw>& draws) const;

  BatchFormat format_;
  std::vector<float> mean_;       ///< For each place of a row of an image.
  std::vector<float> deviation_;  ///< The same.
};

}  // namespace cifarpipe::learn
