#include "stages/preprocess/channel_statistics.hpp"

#include <algorithm>
#include <cmath>

namespace cifarpipe::preprocess {
namespace {

constexpr std::size_t kPiece = 1 << 16;  // So many squares of bytes fit 32 bits.

/// Adds up to kPiece pixels; the number of channels is known to the compiler.
template <std::size_t kChannels>
void add_piece(std::span<const std::uint8_t> pixels, std::uint64_t* sum, std::uint64_t* squares) {
  std::uint32_t piece_sum[kChannels] = {};
  std::uint32_t piece_squares[kChannels] = {};
  for (std::size_t i = 0; i < pixels.size(); i += kChannels) {
    for (std::size_t c = 0; c < kChannels; ++c) {
      const std::uint32_t value = pixels[i + c];
      piece_sum[c] += value;
      piece_squares[c] += value * value;
    }
  }
  for (std::size_t c = 0; c < kChannels; ++c) {
    sum[c] += piece_sum[c];
    squares[c] += piece_squares[c];
  }
}

}  // namespace

void ChannelStatistics::add(std::span<const std::uint8_t> pixels) {
  const std::size_t channels = sum_.size();
  pixels_ += pixels.size() / channels;
  for (std::size_t at = 0; at < pixels.size(); at += kPiece * channels) {
    const auto piece = pixels.subspan(at, std::min(kPiece * channels, pixels.size() - at));
    (channels == 1 ? add_piece<1> : add_piece<3>)(piece, sum_.data(), squares_.data());
  }
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
  for (std::size_t c = 0; c < sum_.size(); ++c) {
    const Wide wide =
        static_cast<Wide>(pixels_) * squares_[c] - static_cast<Wide>(sum_[c]) * sum_[c];
    result.push_back(std::sqrt(static_cast<double>(wide)) / (255.0 * static_cast<double>(pixels_)));
  }
  return result;
}

}  // namespace cifarpipe::preprocess
