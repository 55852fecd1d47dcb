#include "tracking/png_shrink.hpp"

#include <png.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace cifarpipe {
namespace {

constexpr std::string_view kLastChunk("\0\0\0\0IEND\xae\x42\x60\x82", 12);
constexpr png_uint_32 kLongestSide = 1 << 14;  // Pictures of ours are far below.

/// One picture in libpng's simplified interface; frees what that allocates.
struct Image {
  png_image png{};
  std::vector<png_byte> pixels;  ///< Row by row.
  Image() { png.version = PNG_IMAGE_VERSION; }
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;
  ~Image() { png_image_free(&png); }
  std::size_t channels() const { return PNG_IMAGE_PIXEL_CHANNELS(png.format); }
};

/// False if it is no picture, damaged, or cut off: libpng is content once it has all pixels.
bool read(std::string_view file, Image& image) {
  if (!file.ends_with(kLastChunk)) return false;
  if (png_image_begin_read_from_memory(&image.png, file.data(), file.size()) == 0) return false;
  if (std::max(image.png.width, image.png.height) > kLongestSide) return false;
  image.png.format &= PNG_FORMAT_FLAG_COLOR | PNG_FORMAT_FLAG_ALPHA;  // 8 bits, no palette.
  image.pixels.resize(PNG_IMAGE_SIZE(image.png));
  return png_image_finish_read(&image.png, nullptr, image.pixels.data(), 0, nullptr) != 0 &&
         image.png.warning_or_error == 0;
}

void shrink(const Image& from, png_uint_32 longest, Image& to) {
  const std::size_t width = from.png.width;
  const std::size_t height = from.png.height;
  const std::size_t longer = std::max(width, height);
  const std::size_t channels = from.channels();
  to.png.format = from.png.format;
  to.png.width = static_cast<png_uint_32>(std::max<std::size_t>(width * longest / longer, 1));
  to.png.height = static_cast<png_uint_32>(std::max<std::size_t>(height * longest / longer, 1));
  to.pixels.reserve(PNG_IMAGE_SIZE(to.png));
  for (std::size_t y = 0; y < to.png.height; ++y) {
    const std::size_t top = y * height / to.png.height;
    const std::size_t bottom = (y + 1) * height / to.png.height;
    for (std::size_t x = 0; x < to.png.width; ++x) {
      const std::size_t left = x * width / to.png.width;
      const std::size_t right = (x + 1) * width / to.png.width;
      const std::size_t count = (bottom - top) * (right - left);
      for (std::size_t c = 0; c < channels; ++c) {
        std::size_t sum = count / 2;
        for (std::size_t v = top; v < bottom; ++v) {
          for (std::size_t u = left; u < right; ++u) {
            sum += from.pixels[(v * width + u) * channels + c];
          }
        }
        to.pixels.push_back(static_cast<png_byte>(sum / count));
      }
    }
  }
}

std::optional<std::string> written(Image& image) {
  image.png.flags |= PNG_IMAGE_FLAG_FAST;  // A fifth larger, and quicker.
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image.png);
  std::string out(size, '\0');
  if (png_image_write_to_memory(&image.png, out.data(), &size, 0, image.pixels.data(), 0,
                                nullptr) == 0) {
    return std::nullopt;
  }
  out.resize(size);
  return out;
}

}  // namespace

std::optional<std::string> shrunk_png(std::string_view png, int longest) {
  const auto side = static_cast<png_uint_32>(longest);
  Image whole;
  if (!read(png, whole) || std::max(whole.png.width, whole.png.height) <= side) {
    return std::nullopt;
  }
  Image small;
  shrink(whole, side, small);
  return written(small);
}

}  // namespace cifarpipe
