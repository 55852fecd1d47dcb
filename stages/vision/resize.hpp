// Resizing as the reference program's library does it, bit for bit: Lanczos over three lobes that
// widen when an image shrinks, weights and sums in 8-bit fixed point, rows before columns. OpenCV's
// own Lanczos takes eight pixels however much an image shrinks. Pure functions: any thread.
#pragma once

#include "stages/vision/image.hpp"

namespace cifarpipe::vision {

/// Exactly `width` x `height`, whatever that does to the proportions.
Image resized(const Image& image, int width, int height);

/// The reference's rule: as large as fits while keeping the proportions (sides cut to whole
/// numbers, at least 1), in the middle of a grey canvas. An image of that size is returned as it
/// is.
Image fitted(Image image, int width, int height);

}  // namespace cifarpipe::vision
