// The reliability diagram: how often answers of a confidence were right. One thread a call.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cifarpipe::vision {

/// Bins of equal width over [0, 1], in order.
struct ReliabilityBin {
  std::int64_t images = 0;
  double confidence = 0;  ///< Mean of its answers.
  double accuracy = 0;
};

/// Accuracy of each bin against the diagonal of perfect calibration, how far its confidence lies
/// above (overconfident) or below (underconfident), and how many images it holds. The same input
/// gives the same bytes. Throws Error.
void draw_reliability(const std::filesystem::path& png, const std::vector<ReliabilityBin>& bins,
                      const std::string& title, const std::string& subtitle);

}  // namespace cifarpipe::vision
