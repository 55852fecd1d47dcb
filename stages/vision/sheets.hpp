// Contact sheets: some images of each class side by side, to see at a glance what a data set is.
// One thread a call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cifarpipe::vision {

struct SheetRow {
  std::string label;
  std::vector<std::vector<std::uint8_t>> images;  ///< Each height x width x 3, RGB.
};

/// Rows of equally large images, each with its label in front; many rows stand in several blocks
/// side by side. The same input gives the same bytes. Throws Error.
void draw_contact_sheet(const std::filesystem::path& png, const std::string& title, int width,
                        int height, const std::vector<SheetRow>& rows);

}  // namespace cifarpipe::vision
