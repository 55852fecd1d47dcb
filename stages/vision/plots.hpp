// Plots of results that a person can read. One thread a call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cifarpipe::vision {

/// `counts[t][p]`: how many images of class t were taken for class p. Each row is shown in percent
/// of its images. Up to 20 classes have the figures in their cells; beyond that the colours speak.
/// The same input gives the same bytes. Throws Error.
void draw_confusion_matrix(const std::filesystem::path& png,
                           const std::vector<std::string>& classes,
                           const std::vector<std::vector<std::int64_t>>& counts,
                           const std::string& title);

}  // namespace cifarpipe::vision
