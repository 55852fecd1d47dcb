// Writes 8-bit RGB pictures as PNG. Own code on zlib and not OpenCV's imgcodecs: loading that costs
// 0.16 s and 40 MB in Debian (it brings GDAL along), in every worker that only draws a plot. One
// thread a call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

namespace cifarpipe::vision {

/// `rgb` is height x width x 3. The same picture gives the same bytes. Throws Error.
void write_png(const std::filesystem::path& file, int width, int height,
               std::span<const std::uint8_t> rgb);

}  // namespace cifarpipe::vision
