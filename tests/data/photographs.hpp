// Images for tests that look like photographs to a program: waves of every direction, the slow ones
// strongest, in colours of their own. The same number gives the same image.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <random>
#include <vector>

namespace cifarpipe::test {

/// side x side x channels.
inline std::vector<std::uint8_t> photograph(unsigned number, int side = 32, int channels = 3) {
  std::mt19937 random(number);
  const auto unit = [&random] { return static_cast<double>(random()) / 4294967296.0; };
  std::vector<double> sum(static_cast<std::size_t>(side * side * channels), 128.0);
  for (int wave = 0; wave < 40; ++wave) {
    const double across = unit() * 8 - 4;
    const double down = unit() * 8 - 4;
    const double phase = unit() * 2 * std::numbers::pi;
    const double strength = 40 / (1 + std::hypot(across, down));
    const double colours[] = {0.5 + unit(), 0.5 + unit(), 0.5 + unit()};
    for (int i = 0; i < side * side; ++i) {
      const double x = (i % side + 0.5) / side;
      const double y = (static_cast<int>(i / side) + 0.5) / side;
      const double value =
          strength * std::sin(2 * std::numbers::pi * (across * x + down * y) + phase);
      for (int c = 0; c < channels; ++c) {
        sum[static_cast<std::size_t>(i * channels + c)] += value * colours[c];
      }
    }
  }
  std::vector<std::uint8_t> image;
  for (const double value : sum) {
    image.push_back(static_cast<std::uint8_t>(std::clamp(std::lround(value), 0L, 255L)));
  }
  return image;
}

/// Each value times `contrast` plus `brightness`, and noise up to `noise` grey levels.
inline std::vector<std::uint8_t> changed(std::vector<std::uint8_t> image, double contrast,
                                         double brightness, int noise) {
  std::mt19937 random(7);
  for (std::uint8_t& value : image) {
    const int grain =
        noise == 0 ? 0 : static_cast<int>(random() % static_cast<unsigned>(2 * noise + 1)) - noise;
    value = static_cast<std::uint8_t>(
        std::clamp(std::lround(value * contrast + brightness) + grain, 0L, 255L));
  }
  return image;
}

/// The image moved to the right, its first column repeated.
inline std::vector<std::uint8_t> moved(const std::vector<std::uint8_t>& image, int side, int by,
                                       int channels = 3) {
  std::vector<std::uint8_t> out(image.size());
  for (int y = 0; y < side; ++y) {
    for (int x = 0; x < side; ++x) {
      for (int c = 0; c < channels; ++c) {
        out[static_cast<std::size_t>((y * side + x) * channels + c)] =
            image[static_cast<std::size_t>((y * side + std::max(x - by, 0)) * channels + c)];
      }
    }
  }
  return out;
}

}  // namespace cifarpipe::test
