// What an image looks like in 468 bits: images that differ by a little noise, brightness, contrast,
// compression or a pixel's shift differ in few of them. Method and figures: docs/duplicates.md.
// A hasher belongs to one thread, a hash to nobody. No dispatch by processor: the same bits
// anywhere that this program runs.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace cifarpipe::preprocess {

inline constexpr int kHashWords = 8;
inline constexpr int kHashBits = 468;  ///< Of a colour image; the last 44 of the 512 are 0.

struct PerceptualHash {
  std::array<std::uint64_t, kHashWords> words{};
  /// Hardly any structure: what bits there are say nothing, and distances from it mean nothing.
  bool flat = false;

  friend bool operator==(const PerceptualHash&, const PerceptualHash&) = default;
};

/// Bits that say something: a grey image has only those of its luminance, 308.
int hash_bits(std::int64_t channels);

/// Bits in which two hashes differ; unrelated photographs differ in about 200.
int hash_distance(const PerceptualHash& a, const PerceptualHash& b);

/// Hashes images of one size, 1 channel (grey) or 3 (RGB). Each is reduced to 32 x 32 by averaging
/// over exact areas. Of its DCT-II (orthonormal) the lowest frequencies u + v < 12 of the luminance
/// and u + v < 6 of red and of blue, each less luminance, are taken without the mean, times
/// sqrt(u^2 + v^2) because photographs fall off like 1 / frequency, and divided by their mean
/// absolute value. Each is compared with four levels: four bits.
class PerceptualHasher {
 public:
  /// Throws Error if there is no such image.
  PerceptualHasher(std::int64_t height, std::int64_t width, std::int64_t channels);

  /// `image` is height x width x channels.
  PerceptualHash operator()(std::span<const std::uint8_t> image);

 private:
  static constexpr int kSide = 32;
  static constexpr int kLuminance = 12;  ///< u + v stays below.
  static constexpr int kColour = 6;
  using Plane = std::array<float, kSide * kSide>;

  /// The part that a cell of the grid takes of the pixels from `first` on.
  struct Cell {
    std::int64_t first = 0;
    std::vector<float> weights;  ///< Their sum is 1.
  };
  static std::vector<Cell> cells(std::int64_t length);
  void reduce(std::span<const std::uint8_t> image);
  void split_colours();
  /// Appends the weighted frequencies u + v < limit of a plane.
  void transform(const Plane& plane, int limit, float weight);

  std::int64_t height_;
  std::int64_t width_;
  std::int64_t channels_;
  std::vector<Cell> rows_;
  std::vector<Cell> columns_;
  std::array<std::array<float, kSide>, kLuminance> cosines_;  ///< [frequency][position]
  std::array<Plane, 3> planes_{};
  std::vector<float> narrow_;  ///< height x 32: one channel, reduced in width.
  std::vector<float> coefficients_;
};

}  // namespace cifarpipe::preprocess
