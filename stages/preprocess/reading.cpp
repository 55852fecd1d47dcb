#include "stages/preprocess/reading.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/error.hpp"
#include "stages/preprocess/in_order.hpp"
#include "stages/vision/file_check.hpp"
#include "stages/vision/resize.hpp"

namespace cifarpipe::preprocess {
namespace {

// Of one thread's results at a time: enough to make handing over cheap, and little memory.
constexpr std::size_t kBlockBytes = 1 << 19;

std::size_t block_size(const ImageShape& shape) {
  const std::size_t bytes = vision::Image{shape.width, shape.height, shape.channels, {}}.bytes();
  return std::clamp<std::size_t>(kBlockBytes / bytes, 1, 128);
}

}  // namespace

std::optional<ImageShape> first_shape(const ImageSource& source, const std::vector<Item>& items,
                                      int channels) {
  for (const Item& item : items) {
    try {
      const vision::Image image = source.load(item.split, item.image, channels);
      return ImageShape{image.width, image.height, channels};
    } catch (const vision::BadImage&) {
      // Told when its turn comes.
    }
  }
  return std::nullopt;
}

void read_images(const ImageSource& source, const std::vector<Item>& items, const ImageShape& shape,
                 bool resize, int threads,
                 const std::function<void(const Item&, ReadImage)>& take) {
  const auto make = [&](std::size_t i) {
    ReadImage read;
    try {
      read.image = source.load(items[i].split, items[i].image, shape.channels);
      if (resize) read.image = vision::fitted(std::move(read.image), shape.width, shape.height);
    } catch (const vision::BadImage& bad) {
      read.bad = bad.what();
    }
    return read;
  };
  std::string first;
  in_order<ReadImage>(
      items.size(), block_size(shape), threads, make, [&](std::size_t i, ReadImage read) {
        const Item& item = items[i];
        const vision::Image& image = read.image;
        if (!read.bad.empty()) return take(item, std::move(read));
        if (first.empty()) first = source.name_of(item.split, item.image);
        if (image.width != shape.width || image.height != shape.height) {
          throw Error(
              fmt::format(
                  "{} has {} x {} pixels (height x width) and {} has {} x {}: set size, such "
                  "as size = [32] or size = [height, width], to bring all images to one size",
                  first, shape.height, shape.width, source.name_of(item.split, item.image),
                  image.height, image.width),
              ErrorKind::usage);
        }
        take(item, std::move(read));
      });
}

}  // namespace cifarpipe::preprocess
