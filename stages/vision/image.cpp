#include "stages/vision/image.hpp"

namespace cifarpipe::vision {
namespace {

std::uint8_t luma(const std::uint8_t* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >>
                                   16);
}

}  // namespace

Image with_channels(Image image, int channels) {
  if (image.channels == channels) return image;
  Image result{image.width, image.height, channels, {}};
  result.pixels.resize(result.bytes());
  const std::size_t count = image.pixels.size() / static_cast<std::size_t>(image.channels);
  for (std::size_t i = 0; i < count; ++i) {
    if (channels == 1) {
      result.pixels[i] = luma(&image.pixels[3 * i]);
    } else {
      for (std::size_t c = 0; c < 3; ++c) result.pixels[3 * i + c] = image.pixels[i];
    }
  }
  return result;
}

Image without_alpha(const Image& rgba) {
  Image result{rgba.width, rgba.height, 3, {}};
  result.pixels.resize(result.bytes());
  for (std::size_t i = 0; i < rgba.pixels.size() / 4; ++i) {
    const std::uint8_t* from = &rgba.pixels[4 * i];
    const unsigned alpha = from[3];
    for (std::size_t c = 0; c < 3; ++c) {
      result.pixels[3 * i + c] =
          static_cast<std::uint8_t>((from[c] * alpha + kPaddingGrey * (255 - alpha) + 127) / 255);
    }
  }
  return result;
}

}  // namespace cifarpipe::vision
