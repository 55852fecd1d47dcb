// Decodes the files that cameras and programs make: JPEG, PNG, BMP, TIFF, WebP, PNM, JPEG 2000. By
// OpenCV's imgcodecs, which is loaded when the first image comes: it costs 0.08 s and 40 MB, and
// whoever has no image files should not pay. Any thread.
#pragma once

#include <cstdint>
#include <span>

#include "stages/vision/file_check.hpp"
#include "stages/vision/image.hpp"

namespace cifarpipe::vision {

/// Loads the decoder now. Once before threads decode: it sets a variable of the environment.
void open_decoder();

/// The image upright (EXIF orientation applied), at 8 bits (16 are rounded), without transparency
/// (over the padding grey), with 1 or 3 channels as asked for. Throws BadImage.
Image decode_image(std::span<const std::uint8_t> file, int channels);

}  // namespace cifarpipe::vision
