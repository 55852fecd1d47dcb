// NumPy arrays as a source: one .npz, or .npy files in one folder, with images and labels under the
// names that are usual (x_train, train_images, X, labels, …). Arrays stay mapped; compressed ones
// are unpacked into memory.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stages/preprocess/array_set.hpp"
#include "stages/preprocess/folder_tree.hpp"
#include "stages/preprocess/image_source.hpp"

namespace cifarpipe::preprocess {

class NumpySource : public ImageSource {
 public:
  /// `layout` is "auto", "NHWC" or "NCHW". Throws an Error that names file and array.
  NumpySource(std::unique_ptr<ArraySet> arrays, const std::string& layout);

  vision::Image load(std::size_t split, std::size_t image, int channels) const override;

 private:
  /// Images of one split: which axis is which, in values.
  struct Pixels {
    std::string name;
    NpyArray array;
    std::int64_t count = 0;
    int height = 0;
    int width = 0;
    int channels = 1;
    std::int64_t next_image = 0;
    std::int64_t next_row = 0;
    std::int64_t next_column = 0;
    std::int64_t next_channel = 0;
  };

  void add_split(const std::string& name, const std::string& images, const std::string& labels,
                 const std::string& layout);
  Pixels look_at(const std::string& images, const std::string& layout);
  void name_classes();
  std::uint8_t byte_at(const Pixels& pixels, std::int64_t place, std::size_t image) const;

  std::unique_ptr<ArraySet> arrays_;
  std::vector<Pixels> pixels_;
};

}  // namespace cifarpipe::preprocess
