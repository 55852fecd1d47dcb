// The images that an epoch is trained on: the dataset's, or in the first epochs smaller ones, which
// cost less and teach nearly as much (progressive resizing: Howard in DAWNBench 2018; Tan and Le,
// arXiv 2104.00298). One thread, the stage's; computes on libtorch's threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "stages/learn/batch.hpp"
#include "stages/learn/dataset_file.hpp"
#include "stages/learn/model.hpp"

namespace cifarpipe::learn {

struct ImageSize {
  std::int64_t height = 0;
  std::int64_t width = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

/// The size of `own`'s proportions whose longer side is `longer`; no side becomes 0.
ImageSize size_with(const ImageSize& own, std::int64_t longer);

/// The images of `split`, which are as `info` says, at another size: [count, height, width,
/// channels], each pixel the mean of those about its place, weighted by a triangle (Pillow's
/// BILINEAR).
std::vector<std::uint8_t> resized_images(const SplitView& split, const DatasetInfo& info,
                                         const ImageSize& size);

class EpochImages {
 public:
  /// `split` is borrowed; `format` is of its own size. `longer_sides`: one for each of the first
  /// epochs. Throws a usage Error for one that is larger than the images, or for which
  /// `architecture` would have other weights.
  EpochImages(std::string architecture, SplitView split, DatasetInfo info, BatchFormat format,
              std::vector<std::int64_t> longer_sides);

  /// Gets the images of `epoch` ready, and `model` for their size: a copy of the split in memory
  /// unless they are the dataset's.
  void begin(std::int64_t epoch, Model& model);
  /// The model is for the dataset's size again: to judge, or to be kept.
  void end(Model& model);

  /// Of the epoch that was begun.
  const ImageSize& size() const { return size_; }
  at::Tensor augmented(std::span<const std::int32_t> rows, const Augmentation& augmentation,
                       std::uint64_t seed, std::int64_t epoch) const;

 private:
  Network network(const ImageSize& size) const;
  void check(std::int64_t longer) const;
  void set_size(const ImageSize& size);

  std::string architecture_;
  SplitView own_;
  DatasetInfo info_;
  BatchFormat format_;
  std::vector<std::int64_t> longer_sides_;
  ImageSize own_size_;
  ImageSize size_;
  std::vector<std::uint8_t> pixels_;  ///< Of `size_`, if that is not the dataset's.
  BatchMaker maker_;
};

}  // namespace cifarpipe::learn
