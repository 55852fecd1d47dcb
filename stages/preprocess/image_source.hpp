// Where images come from: a data set in one of the layouts that are understood, seen as splits of
// labelled images. Labels and numbers are known before any image is read; images can be asked for
// in any order and by several threads at once. find_source.hpp says which source a folder holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "stages/vision/image.hpp"

namespace cifarpipe::preprocess {

struct SourceSplit {
  std::string name;                  ///< "train", "validation" or "test".
  std::vector<std::int32_t> labels;  ///< One an image.
  std::vector<std::int32_t>
      index;                    ///< Each image's number, rising: its place in the official order.
  bool class_by_class = false;  ///< All of one class stand together.
};

struct SourceInfo {
  std::string layout;  ///< For people: "cifar10", "cifar100", "image folder", "numpy arrays".
  std::vector<std::string> classes;
  bool official_classes = false;     ///< CIFAR-10's own ten, by their short names.
  int channels = 3;                  ///< Of its images, if nothing else is asked for: 1 or 3.
  std::vector<std::string> remarks;  ///< What a person should hear about the files.
};

class ImageSource {
 public:
  virtual ~ImageSource() = default;

  const SourceInfo& info() const { return info_; }
  /// The training split first; it is always there.
  const std::vector<SourceSplit>& splits() const { return splits_; }

  /// With 1 or 3 channels. Throws vision::BadImage for one that cannot be used. Any thread.
  virtual vision::Image load(std::size_t split, std::size_t image, int channels) const = 0;
  /// The image's own file below the input; empty where it has none.
  virtual std::string file_of(std::size_t /*split*/, std::size_t /*image*/) const { return {}; }
  /// For messages: the file, or the split and the number.
  std::string name_of(std::size_t split, std::size_t image) const {
    const std::string file = file_of(split, image);
    return file.empty() ? splits_[split].name + " image " + std::to_string(image) : file;
  }

 protected:
  SourceInfo info_;
  std::vector<SourceSplit> splits_;
};

}  // namespace cifarpipe::preprocess
