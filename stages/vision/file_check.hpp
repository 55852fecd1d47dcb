// Looks at the bytes of an image file before a decoder does: what it is, how large, how it was
// held, and whether all of it is there. Decoders fill what is missing with grey and say nothing;
// they also take as much memory as a header asks for. Pure functions: any thread.
#pragma once

#include <cstdint>
#include <span>

#include "pipeline/error.hpp"

namespace cifarpipe::vision {

/// An image that cannot be used. The message is a reason without the file's name: "is cut off: …".
class BadImage : public Error {
 public:
  using Error::Error;
};

/// More pixels than any photo has; 1.2 GB at 16 bits and four channels is what decoding may take.
inline constexpr std::int64_t kMaximumPixels = 150'000'000;

struct FileFacts {
  int orientation = 1;     ///< EXIF's 1 to 8: how to turn what is decoded.
  std::int64_t width = 0;  ///< 0 where only the decoder finds out (it has the same limit).
  std::int64_t height = 0;
};

/// Whether a file that begins like this is in a format that images have.
bool looks_like_image(std::span<const std::uint8_t> beginning);

/// Throws BadImage for what is empty, no image, cut off, damaged where the format has a checksum
/// (PNG), or larger than kMaximumPixels.
FileFacts check_file(std::span<const std::uint8_t> file);

}  // namespace cifarpipe::vision
