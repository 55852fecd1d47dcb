// CIFAR-10's and CIFAR-100's binary files as a source: records of label and planes, each checked.
// The files are mapped: the system reads and drops their pages as they are used.
#pragma once

#include <span>
#include <vector>

#include "stages/learn/files.hpp"
#include "stages/preprocess/cifar_layout.hpp"
#include "stages/preprocess/image_source.hpp"

namespace cifarpipe::preprocess {

class CifarSource : public ImageSource {
 public:
  /// Reads all labels. Throws an Error with file and byte for a file that ends within a record and
  /// for a label that is not a class.
  explicit CifarSource(CifarLayout layout);

  vision::Image load(std::size_t split, std::size_t image, int channels) const override;

 private:
  void add_split(const char* name, const std::vector<std::filesystem::path>& files);

  CifarLayout layout_;
  std::vector<learn::MappedFile> files_;
  std::vector<std::vector<const std::uint8_t*>> planes_;  ///< Of each split and image.
};

}  // namespace cifarpipe::preprocess
