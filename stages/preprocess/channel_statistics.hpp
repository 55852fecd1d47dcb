// Mean and standard deviation of each channel over all pixels of a split, exact: sums are whole
// numbers, so the order of images does not matter. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace cifarpipe::preprocess {

class ChannelStatistics {
 public:
  /// Planes of equal size, one a channel.
  void add(std::span<const std::uint8_t> planes);
  /// On [0, 1].
  std::vector<double> mean() const;
  std::vector<double> deviation() const;

 private:
  std::array<std::uint64_t, 3> sum_{};
  std::array<std::uint64_t, 3> squares_{};
  std::uint64_t pixels_ = 0;
};

}  // namespace cifarpipe::preprocess
