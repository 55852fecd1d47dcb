// Sheets of tiles: an image, or several side by side, with what the model made of it below.
// One thread a call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cifarpipe::vision {

/// One image with a judgement.
struct Tile {
  std::vector<std::vector<std::uint8_t>> pictures;  ///< Each height x width x 3, RGB.
  std::string truth;
  std::string answer;
  double confidence = 0;
  bool right = false;
  std::string note;  ///< Faint, such as the image's number.
};

/// Tiles row by row, all of the same number of pictures. The same input gives the same bytes.
/// Throws Error.
void draw_tiles(const std::filesystem::path& png, const std::string& title,
                const std::string& subtitle, int width, int height, const std::vector<Tile>& tiles);

/// The image in grey with `heat` (height x width on [0, 1]) over it, from dark to bright.
std::vector<std::uint8_t> heated(const std::vector<std::uint8_t>& rgb,
                                 const std::vector<float>& heat);

}  // namespace cifarpipe::vision
