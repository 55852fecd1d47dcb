// An image in memory: 8 bits a channel, rows from the top, channels side by side. A value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cifarpipe::vision {

struct Image {
  int width = 0;
  int height = 0;
  int channels = 0;                  ///< 1 = grey, 3 = red, green, blue.
  std::vector<std::uint8_t> pixels;  ///< height x width x channels

  std::size_t bytes() const {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(height) *
           static_cast<std::size_t>(channels);
  }
};

/// What stands where an image has nothing to show: beside a resized one, behind a transparent one.
inline constexpr std::uint8_t kPaddingGrey = 128;

/// Grey for `channels` = 1 (ITU-R 601 luma in 16-bit fixed point, rounded), else three channels.
Image with_channels(Image image, int channels);

/// Four channels over the padding grey: what is transparent looks like what is beside an image.
Image without_alpha(const Image& rgba);

}  // namespace cifarpipe::vision
