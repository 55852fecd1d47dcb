#include "stages/preprocess/perceptual_hash.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "pipeline/error.hpp"

namespace cifarpipe::preprocess {
namespace {

// Chosen on the list of docs/duplicates.md: colour tells blue sky from blue sky, and the levels
// are what makes a count of bits nearly the sum of absolute differences.
constexpr float kColourWeight = 3.0F;
constexpr float kLevels[] = {-1.2F, -0.3F, 0.3F, 1.2F};

// Mean absolute weighted frequency, in grey levels, below which an image counts as flat: noise of
// one grey level either way stays far below, the faintest photograph of CIFAR-10 is at 52.
constexpr float kFlatSize = 8.0F;

}  // namespace

int hash_bits(std::int64_t channels) {
  return channels == 1 ? 308 : kHashBits;
}

int hash_distance(const PerceptualHash& a, const PerceptualHash& b) {
  int bits = 0;
  for (std::size_t w = 0; w < kHashWords; ++w) bits += std::popcount(a.words[w] ^ b.words[w]);
  return bits;
}

PerceptualHasher::PerceptualHasher(std::int64_t height, std::int64_t width, std::int64_t channels)
    : height_(height), width_(width), channels_(channels) {
  if (height < 1 || width < 1 || (channels != 1 && channels != 3)) {
    throw Error("only images of 1 or 3 channels can be compared by their looks");
  }
  rows_ = cells(height);
  columns_ = cells(width);
  for (int u = 0; u < kLuminance; ++u) {
    const double norm = std::sqrt((u == 0 ? 1.0 : 2.0) / kSide);
    for (int x = 0; x < kSide; ++x) {
      const double angle = std::numbers::pi * (2 * x + 1) * u / (2 * kSide);
      cosines_[static_cast<std::size_t>(u)][static_cast<std::size_t>(x)] =
          static_cast<float>(norm * std::cos(angle));
    }
  }
  narrow_.resize(static_cast<std::size_t>(height) * kSide);
  coefficients_.reserve(kHashBits / std::size(kLevels));
}

/// In units of 1 / 32 pixel all borders are whole numbers: cell i covers [i * length, (i + 1) *
/// length), pixel j covers [j * 32, (j + 1) * 32).
std::vector<PerceptualHasher::Cell> PerceptualHasher::cells(std::int64_t length) {
  std::vector<Cell> cells;
  for (std::int64_t i = 0; i < kSide; ++i) {
    Cell cell;
    cell.first = i * length / kSide;
    for (std::int64_t j = cell.first; j * kSide < (i + 1) * length; ++j) {
      const std::int64_t begin = std::max(i * length, j * kSide);
      const std::int64_t end = std::min((i + 1) * length, (j + 1) * kSide);
      cell.weights.push_back(static_cast<float>(end - begin) / static_cast<float>(length));
    }
    cells.push_back(std::move(cell));
  }
  return cells;
}

void PerceptualHasher::reduce(std::span<const std::uint8_t> image) {
  for (std::int64_t c = 0; c < channels_; ++c) {
    Plane& plane = planes_[static_cast<std::size_t>(c)];
    if (height_ == kSide && width_ == kSide) {
      const std::uint8_t* pixel = image.data() + c;
      for (std::size_t i = 0; i < plane.size(); ++i, pixel += channels_) plane[i] = *pixel;
      continue;
    }
    for (std::int64_t y = 0; y < height_; ++y) {
      const std::uint8_t* row = image.data() + y * width_ * channels_ + c;
      for (std::size_t x = 0; x < kSide; ++x) {
        const std::uint8_t* pixel = row + columns_[x].first * channels_;
        float sum = 0;
        for (const float weight : columns_[x].weights) {
          sum += weight * *pixel;
          pixel += channels_;
        }
        narrow_[static_cast<std::size_t>(y) * kSide + x] = sum;
      }
    }
    plane.fill(0);
    for (std::size_t y = 0; y < kSide; ++y) {
      const float* row = narrow_.data() + rows_[y].first * kSide;
      for (const float weight : rows_[y].weights) {
        for (std::size_t x = 0; x < kSide; ++x) plane[y * kSide + x] += weight * row[x];
        row += kSide;
      }
    }
  }
}

/// Red, green, blue become luminance (ITU-R BT.601), red and blue less luminance.
void PerceptualHasher::split_colours() {
  auto& [red, green, blue] = planes_;
  for (std::size_t i = 0; i < red.size(); ++i) {
    const float luminance = 0.299F * red[i] + 0.587F * green[i] + 0.114F * blue[i];
    const float blueness = blue[i] - luminance;
    green[i] = red[i] - luminance;
    red[i] = luminance;
    blue[i] = blueness;
  }
}

void PerceptualHasher::transform(const Plane& plane, int limit, float weight) {
  // Frequencies down the columns first, in rows of 32, so that the inner loop runs along memory.
  std::array<std::array<float, kSide>, kLuminance> vertical{};
  for (int v = 0; v < limit; ++v) {
    auto& sums = vertical[static_cast<std::size_t>(v)];
    for (std::size_t y = 0; y < kSide; ++y) {
      const float factor = cosines_[static_cast<std::size_t>(v)][y];
      for (std::size_t x = 0; x < kSide; ++x) sums[x] += factor * plane[y * kSide + x];
    }
  }
  for (int v = 0; v < limit; ++v) {
    for (int u = v == 0 ? 1 : 0; u + v < limit; ++u) {
      float sum = 0;
      for (std::size_t x = 0; x < kSide; ++x) {
        sum += cosines_[static_cast<std::size_t>(u)][x] * vertical[static_cast<std::size_t>(v)][x];
      }
      coefficients_.push_back(sum * weight * std::sqrt(static_cast<float>(u * u + v * v)));
    }
  }
}

PerceptualHash PerceptualHasher::operator()(std::span<const std::uint8_t> image) {
  if (image.size() != static_cast<std::size_t>(height_ * width_ * channels_)) {
    throw Error("an image to compare by its looks has not the size of the others");
  }
  reduce(image);
  if (channels_ == 3) split_colours();
  coefficients_.clear();
  transform(planes_[0], kLuminance, 1);
  if (channels_ == 3) {
    transform(planes_[1], kColour, kColourWeight);
    transform(planes_[2], kColour, kColourWeight);
  }
  float size = 0;
  for (const float c : coefficients_) size += std::abs(c);
  size /= static_cast<float>(coefficients_.size());

  PerceptualHash hash;
  hash.flat = size < kFlatSize;
  for (std::size_t i = 0; i < coefficients_.size(); ++i) {
    for (std::size_t level = 0; level < std::size(kLevels); ++level) {
      const std::size_t bit = i * std::size(kLevels) + level;
      if (coefficients_[i] > kLevels[level] * size) {
        hash.words[bit / 64] |= std::uint64_t{1} << (bit % 64);
      }
    }
  }
  return hash;
}

}  // namespace cifarpipe::preprocess
