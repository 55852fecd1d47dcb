// Mean and standard deviation of each channel over all pixels of a split, exact: sums are whole
// numbers, so the order of images does not matter. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cifarpipe::preprocess {

class ChannelStatistics {
 public:
  /// 1 or 3.
  explicit ChannelStatistics(int channels)
      : sum_(static_cast<std::size_t>(channels)), squares_(static_cast<std::size_t>(channels)) {}

  /// Pixels, their channels side by side.
  void add(std::span<const std::uint8_t> pixels);
  /// On [0, 1].
  std::vector<double> mean() const;
  std::vector<double> deviation() const;

 private:
  std::vector<std::uint64_t> sum_;
  std::vector<std::uint64_t> squares_;
  std::uint64_t pixels_ = 0;
};

}  // namespace cifarpipe::preprocess
