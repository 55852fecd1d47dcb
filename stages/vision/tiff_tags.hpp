// The tags of a TIFF file that count here; EXIF is the same structure inside other files. Trusts
// nothing: what cannot be read keeps its default. Pure function: any thread.
#pragma once

#include <cstdint>
#include <span>

namespace cifarpipe::vision {

struct TiffTags {
  int orientation = 1;  ///< 1 to 8.
  std::int64_t width = 0;
  std::int64_t height = 0;
};

TiffTags read_tiff_tags(std::span<const std::uint8_t> tiff);

}  // namespace cifarpipe::vision
