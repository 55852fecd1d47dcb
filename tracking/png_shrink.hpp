// Thumbnails: a PNG made smaller, by libpng. Stateless: any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cifarpipe {

/// `png` with its longer side no longer than `longest` pixels, each pixel the mean of those that it
/// stands for, 8 bits a channel; the same bytes for the same input. Nothing if it is that small
/// already, or no whole PNG.
std::optional<std::string> shrunk_png(std::string_view png, int longest);

}  // namespace cifarpipe
