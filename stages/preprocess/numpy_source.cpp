#include "stages/preprocess/numpy_source.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "pipeline/error.hpp"
#include "stages/preprocess/array_classes.hpp"
#include "stages/preprocess/class_names.hpp"

namespace cifarpipe::preprocess {
namespace {

constexpr std::int64_t kMostClasses = 65536;
constexpr std::int64_t kLongestSide = 1 << 14;

struct Names {
  std::string images;
  std::string labels;
};

/// Which arrays make which split. Throws an Error for a half, or two that mean the same.
std::map<std::string, Names> find_splits(const ArraySet& arrays) {
  std::map<std::string, Names> splits;
  for (const std::string& name : arrays.names()) {
    const auto role = role_of(name);
    if (!role) continue;
    Names& names = splits[role->split];
    std::string& place = role->labels ? names.labels : names.images;
    if (!place.empty()) {
      throw Error(fmt::format("{}: both {} and {} are {} of one split", arrays.place(), place, name,
                              role->labels ? "labels" : "images"));
    }
    place = name;
  }
  for (const auto& [split, names] : splits) {
    if (!names.images.empty() && !names.labels.empty()) continue;
    throw Error(fmt::format("{}: {} is there without its {}", arrays.place(),
                            names.images + names.labels,
                            names.images.empty() ? "images" : "labels"));
  }
  if (splits.contains("") && splits.size() > 1) {
    throw Error(fmt::format("{}: {} and {} are of no split, while others are", arrays.place(),
                            splits[""].images, splits[""].labels));
  }
  return splits;
}

bool can_be_channels(std::int64_t side) {
  return side == 1 || side == 3 || side == 4;
}

/// Whether the channels are the second axis and not the last.
bool channels_second(const std::vector<std::int64_t>& shape, const std::string& layout,
                     const std::string& name, const std::string& shown) {
  const bool second = layout != "NHWC" && can_be_channels(shape[1]);
  const bool last = layout != "NCHW" && can_be_channels(shape[3]);
  if (second && last) {
    throw Error(fmt::format("{} has the shape {}, whose channels may be the second or the last "
                            "axis: set layout = \"NCHW\" or \"NHWC\"",
                            name, shown),
                ErrorKind::usage);
  }
  if (!second && !last) {
    throw Error(
        fmt::format("{} has the shape {}, in which no axis of channels (1, 3 or 4) is where "
                    "layout = \"{}\" has it",
                    name, shown, layout),
        ErrorKind::usage);
  }
  return second;
}

Error not_a_shade(const std::string& array, std::size_t image, double value) {
  if (!std::isfinite(value)) {
    return Error(
        fmt::format("{}, image {}: the value {} is no number that a pixel can have; put another in "
                    "its place (numpy.nan_to_num) or leave such images out",
                    array, image, value));
  }
  return Error(fmt::format(
      "{}, image {}: the value {} is not from 0 to 1, where floats have to be; {} or save it as "
      "uint8",
      array, image, value,
      value > 1 ? "divide the array by its maximum (255?)"
                : "move and scale the array to that range (x / 2 + 0.5 where it is from -1 to 1)"));
}

}  // namespace

NumpySource::NumpySource(std::unique_ptr<ArraySet> arrays, const std::string& layout)
    : arrays_(std::move(arrays)) {
  info_.layout = "numpy arrays";
  const std::map<std::string, Names> splits = find_splits(*arrays_);
  if (splits.contains("")) {
    const Names& names = splits.at("");
    add_split("train", names.images, names.labels, layout);
  } else if (!splits.contains("train")) {
    throw Error(fmt::format("{} holds no arrays of a training split; there are {}",
                            arrays_->place(), fmt::join(arrays_->names(), ", ")));
  }
  for (const char* split : {"train", "validation", "test"}) {
    const auto found = splits.find(split);
    if (found == splits.end()) continue;
    add_split(split, found->second.images, found->second.labels, layout);
  }
  info_.channels = pixels_.front().channels == 1 ? 1 : 3;
  name_classes();
}

void NumpySource::add_split(const std::string& name, const std::string& images,
                            const std::string& labels, const std::string& layout) {
  Pixels pixels = look_at(images, layout);
  const std::string shown = arrays_->shown(labels);
  const NpyArray array = arrays_->read(labels);
  const bool plain = array.shape.size() == 1 || (array.shape.size() == 2 && array.shape[1] == 1);
  if (!plain || array.shape[0] != pixels.count) {
    throw Error(
        fmt::format("{} has the shape {}, but one label for each of the {} images of {} is "
                    "needed",
                    shown, array.shown_shape(), pixels.count, pixels.name));
  }
  SourceSplit split;
  split.name = name;
  for (const std::int64_t label : whole_numbers(array, shown)) {
    if (label < 0 || label >= kMostClasses) {
      throw Error(fmt::format("{}: label {} of image {} is not from 0 to {}", shown, label,
                              split.labels.size(), kMostClasses - 1));
    }
    split.index.push_back(static_cast<std::int32_t>(split.labels.size()));
    split.labels.push_back(static_cast<std::int32_t>(label));
  }
  splits_.push_back(std::move(split));
  pixels_.push_back(std::move(pixels));
}

NumpySource::Pixels NumpySource::look_at(const std::string& images, const std::string& layout) {
  Pixels pixels;
  pixels.name = arrays_->shown(images);
  pixels.array = arrays_->read(images);
  const NpyArray& array = pixels.array;
  const bool bytes = array.kind == 'u' && (array.size == 1 || array.size == 2);
  const bool floats = array.kind == 'f' && (array.size == 4 || array.size == 8);
  if (!bytes && !floats) {
    throw Error(
        fmt::format("{} holds {}; images are read from uint8, uint16 (0 to 65535), float32 "
                    "and float64 (0 to 1)",
                    pixels.name, array.type()));
  }
  const std::vector<std::int64_t>& shape = array.shape;
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
    throw Error(
        fmt::format("{} has the shape {}, so that no images are in it: leave it out together with "
                    "its labels, or save it again with images",
                    pixels.name, array.shown_shape()));
  }
  const bool ranks = shape.size() == 3 || shape.size() == 4;
  if (!ranks || *std::max_element(shape.begin() + 1, shape.end()) > kLongestSide ||
      shape[0] > INT32_MAX) {
    throw Error(
        fmt::format("{} has the shape {}; images have (N, height, width), (N, height, "
                    "width, channels) or (N, channels, height, width), with sides up to {}",
                    pixels.name, array.shown_shape(), kLongestSide));
  }
  const bool second =
      shape.size() == 4 && channels_second(shape, layout, pixels.name, array.shown_shape());
  const std::size_t row = second ? 2 : 1;
  const std::vector<std::int64_t> strides = array.strides();
  pixels.count = shape[0];
  pixels.height = static_cast<int>(shape[row]);
  pixels.width = static_cast<int>(shape[row + 1]);
  pixels.next_image = strides[0];
  pixels.next_row = strides[row];
  pixels.next_column = strides[row + 1];
  if (shape.size() == 4) {
    pixels.channels = static_cast<int>(shape[second ? 1 : 3]);
    pixels.next_channel = strides[second ? 1 : 3];
  }
  return pixels;
}

void NumpySource::name_classes() {
  ArrayClasses classes = classes_of(arrays_->place(), arrays_->class_names(), splits_);
  info_.classes = std::move(classes.names);
  info_.remarks = std::move(classes.remarks);
  info_.official_classes = shorten_official_names(info_.classes);
}

std::uint8_t NumpySource::byte_at(const Pixels& pixels, std::int64_t place,
                                  std::size_t image) const {
  const double value = number_at(pixels.array, place);
  if (pixels.array.kind == 'u') {
    return static_cast<std::uint8_t>((static_cast<std::uint32_t>(value) * 255u + 32767u) / 65535u);
  }
  if (!(value >= 0 && value <= 1)) throw not_a_shade(pixels.name, image, value);
  return static_cast<std::uint8_t>(std::floor(value * 255 + 0.5));
}

vision::Image NumpySource::load(std::size_t split, std::size_t image, int channels) const {
  const Pixels& from = pixels_[split];
  vision::Image result{from.width, from.height, from.channels, {}};
  result.pixels.resize(result.bytes());
  const bool bytes = from.array.kind == 'u' && from.array.size == 1;
  const std::int64_t first = static_cast<std::int64_t>(image) * from.next_image;
  std::uint8_t* to = result.pixels.data();
  for (int y = 0; y < from.height; ++y) {
    for (int x = 0; x < from.width; ++x) {
      std::int64_t place = first + y * from.next_row + x * from.next_column;
      for (int c = 0; c < from.channels; ++c, place += from.next_channel) {
        *to++ = bytes ? from.array.values[static_cast<std::size_t>(place)]
                      : byte_at(from, place, image);
      }
    }
  }
  if (result.channels == 4) result = vision::without_alpha(result);
  return vision::with_channels(std::move(result), channels);
}

}  // namespace cifarpipe::preprocess
