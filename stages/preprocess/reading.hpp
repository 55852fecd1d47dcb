// From a source's images to images of one size and one number of channels, on several threads, in
// order. An image that cannot be used comes as the reason why.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "stages/preprocess/splits.hpp"

namespace cifarpipe::preprocess {

struct ImageShape {
  int width = 0;
  int height = 0;
  int channels = 3;
};

struct ReadImage {
  vision::Image image;
  std::string bad;  ///< Not empty: there is no image, because of this.
};

/// The size of the first image that can be used; nothing if none can.
std::optional<ImageShape> first_shape(const ImageSource& source, const std::vector<Item>& items,
                                      int channels);

/// Calls `take` on this thread for each item in order. `resize`: brings images to `shape`; else one
/// of another size is an Error that names it and the first one.
void read_images(const ImageSource& source, const std::vector<Item>& items, const ImageShape& shape,
                 bool resize, int threads, const std::function<void(const Item&, ReadImage)>& take);

}  // namespace cifarpipe::preprocess
