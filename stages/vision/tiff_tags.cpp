#include "stages/vision/tiff_tags.hpp"

#include <cstddef>

namespace cifarpipe::vision {
namespace {

constexpr std::uint32_t kWidth = 256;
constexpr std::uint32_t kHeight = 257;
constexpr std::uint32_t kOrientation = 274;
constexpr std::uint32_t kShort = 3;
constexpr std::uint32_t kLong = 4;

class Tags {
 public:
  explicit Tags(std::span<const std::uint8_t> tiff)
      : tiff_(tiff), big_endian_(!tiff.empty() && tiff[0] == 'M') {}

  TiffTags read() const {
    TiffTags tags;
    const std::size_t directory = number(4, 4);
    const std::size_t count = number(directory, 2);
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t at = directory + 2 + 12 * i;
      if (at + 12 > tiff_.size()) break;
      const std::uint32_t type = number(at + 2, 2);
      if (type != kShort && type != kLong) continue;
      const std::uint32_t value = number(at + 8, type == kShort ? 2 : 4);
      switch (number(at, 2)) {
        case kWidth:
          tags.width = value;
          break;
        case kHeight:
          tags.height = value;
          break;
        case kOrientation:
          if (value >= 1 && value <= 8) tags.orientation = static_cast<int>(value);
          break;
        default:
          break;
      }
    }
    return tags;
  }

 private:
  /// 0 where there is nothing.
  std::uint32_t number(std::size_t at, std::size_t bytes) const {
    if (at > tiff_.size() || bytes > tiff_.size() - at) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) {
      const std::size_t from = big_endian_ ? at + i : at + bytes - 1 - i;
      value = value << 8 | tiff_[from];
    }
    return value;
  }

  std::span<const std::uint8_t> tiff_;
  bool big_endian_;
};

}  // namespace

TiffTags read_tiff_tags(std::span<const std::uint8_t> tiff) {
  return Tags(tiff).read();
}

}  // namespace cifarpipe::vision
