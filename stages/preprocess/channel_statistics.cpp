#include "stages/preprocess/channel_statistics.hpp"

#include <cmath>

namespace cifarpipe::preprocess {

void ChannelStatistics::add(std::span<const std::uint8_t> planes) {
  const std::size_t plane = planes.size() / 3;
  for (std::size_t c = 0; c < 3; ++c) {
    std::uint32_t sum = 0;
    std::uint32_t squares = 0;  // 1024 x 255^2 fits
    for (const std::uint8_t value : planes.subspan(c * plane, plane)) {
      sum += value;
      squares += std::uint32_t{value} * value;
    }
    sum_[c] += sum;
    squares_[c] += squares;
  }
  pixels_ += plane;
}

std::vector<double> ChannelStatistics::mean() const {
  std::vector<double> result;
  for (const std::uint64_t sum : sum_) {
    result.push_back(static_cast<double>(sum) / (255.0 * static_cast<double>(pixels_)));
  }
  return result;
}

std::vector<double> ChannelStatistics::deviation() const {
  // n * sum(x^2) - sum(x)^2 in whole numbers: no cancellation.
  __extension__ using Wide = unsigned __int128;
  std::vector<double> result;
  for (std::size_t c = 0; c < 3; ++c) {
    const Wide wide =
        static_cast<Wide>(pixels_) * squares_[c] - static_cast<Wide>(sum_[c]) * sum_[c];
    result.push_back(std::sqrt(static_cast<double>(wide)) / (255.0 * static_cast<double>(pixels_)));
  }
  return result;
}

}  // namespace cifarpipe::preprocess
