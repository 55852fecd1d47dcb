#include "stages/vision/decode.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <opencv2/core.hpp>
#include <utility>

namespace cifarpipe::vision {
namespace {

constexpr int kUnchanged = -1;  // cv::IMREAD_UNCHANGED: all channels, all bits, not turned.

using Decoder = cv::Mat (*)(cv::InputArray, int);

/// cv::imdecode, from a library that is loaded here and stays.
Decoder load_decoder() {
  // OpenCV reads its limit while it is loaded. It holds for what check_file cannot see.
  ::setenv("OPENCV_IO_MAX_IMAGE_PIXELS", std::to_string(kMaximumPixels).c_str(), 1);
  cv::setNumThreads(1);  // Its pool is not used.
  void* library = ::dlopen(CIFARPIPE_IMGCODECS, RTLD_NOW | RTLD_LOCAL);
  void* symbol =
      library == nullptr ? nullptr : ::dlsym(library, "_ZN2cv8imdecodeERKNS_11_InputArrayEi");
  if (symbol == nullptr) {
    throw Error(
        fmt::format("image files cannot be decoded: {}; install OpenCV's imgcodecs", ::dlerror()),
        ErrorKind::environment);
  }
  return reinterpret_cast<Decoder>(symbol);
}

Decoder decoder() {
  static const Decoder loaded = load_decoder();
  return loaded;
}

cv::Mat decoded(std::span<const std::uint8_t> file) {
  const cv::Mat bytes(1, static_cast<int>(file.size()), CV_8U,
                      const_cast<std::uint8_t*>(file.data()));
  try {
    cv::Mat result = decoder()(bytes, kUnchanged);
    if (!result.empty()) return result;
  } catch (const cv::Exception& error) {
    if (error.code == cv::Error::StsNoMem) throw BadImage("needs more memory than there is");
  }
  throw BadImage("is damaged or of a kind that OpenCV does not read");
}

/// Bytes for samples of 8 or 16 bits, red first.
template <class Sample>
Image taken_over(const cv::Mat& from) {
  const int channels = from.channels();
  Image image{from.cols, from.rows, channels, {}};
  image.pixels.resize(image.bytes());
  std::uint8_t* to = image.pixels.data();
  const auto byte = [](Sample value) {
    if constexpr (sizeof(Sample) == 1) return value;
    return static_cast<std::uint8_t>((value * 255u + 32767u) / 65535u);
  };
  for (int y = 0; y < from.rows; ++y) {
    const auto* row = from.ptr<Sample>(y);
    for (int x = 0; x < from.cols; ++x, row += channels, to += channels) {
      for (int c = 0; c < channels; ++c) to[c] = byte(row[c]);
      if (channels >= 3) std::swap(to[0], to[2]);
    }
  }
  return image;
}

/// EXIF's eight ways to hold a camera: each swaps axes, mirrors, or both.
Image turned(Image image, int orientation) {
  if (orientation == 1) return image;
  const bool swapped = orientation >= 5;
  const bool mirrored_x =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirrored_y =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image result{swapped ? image.height : image.width,
               swapped ? image.width : image.height,
               image.channels,
               {}};
  result.pixels.resize(result.bytes());
  const auto channels = static_cast<std::size_t>(image.channels);
  std::uint8_t* to = result.pixels.data();
  for (int y = 0; y < result.height; ++y) {
    for (int x = 0; x < result.width; ++x, to += channels) {
      int from_x = swapped ? y : x;
      int from_y = swapped ? x : y;
      if (mirrored_x) from_x = image.width - 1 - from_x;
      if (mirrored_y) from_y = image.height - 1 - from_y;
      const std::size_t at =
          static_cast<std::size_t>(from_y) * static_cast<std::size_t>(image.width) +
          static_cast<std::size_t>(from_x);
      std::copy_n(image.pixels.data() + at * channels, channels, to);
    }
  }
  return result;
}

}  // namespace

void open_decoder() {
  decoder();
}

Image decode_image(std::span<const std::uint8_t> file, int channels) {
  const FileFacts facts = check_file(file);
  const cv::Mat raw = decoded(file);
  Image image;
  switch (raw.depth()) {
    case CV_8U:
      image = taken_over<std::uint8_t>(raw);
      break;
    case CV_16U:
      image = taken_over<std::uint16_t>(raw);
      break;
    default:
      throw BadImage("has pixels that are neither of 8 nor of 16 bits");
  }
  if (image.channels == 4) image = without_alpha(image);
  if (image.channels != 1 && image.channels != 3) {
    throw BadImage(fmt::format("has {} channels", image.channels));
  }
  return turned(with_channels(std::move(image), channels), facts.orientation);
}

}  // namespace cifarpipe::vision
