#include "stages/vision/resize.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cifarpipe::vision {
namespace {

constexpr double kLobes = 3;
// A weight may be a little above 1 or below 0, and a sum of weighted bytes must fit 32 bits.
constexpr int kWeightBits = 32 - 8 - 2;

double sinc(double x) {
  return x == 0 ? 1 : std::sin(x * std::numbers::pi) / (x * std::numbers::pi);
}

double lanczos(double x) {
  return x >= -kLobes && x < kLobes ? sinc(x) * sinc(x / kLobes) : 0;
}

/// Which source pixels make each target pixel, and with what weight.
struct Kernel {
  struct Span {
    std::size_t first;
    std::size_t count;
  };
  std::vector<Span> spans;
  std::size_t stride;  ///< Weights of a target pixel.
  std::vector<std::int32_t> weights;

  Kernel(int from, int to) {
    const double scale = static_cast<double>(from) / to;
    const double widened = std::max(scale, 1.0);
    const double support = kLobes * widened;
    stride = static_cast<std::size_t>(std::ceil(support)) * 2 + 1;
    weights.resize(stride * static_cast<std::size_t>(to));
    std::vector<double> exact(stride);
    for (int x = 0; x < to; ++x) {
      const double centre = (x + 0.5) * scale;
      const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
      const int end = std::min(static_cast<int>(centre + support + 0.5), from);
      double sum = 0;
      for (int i = first; i < end; ++i) {
        const double weight = lanczos((i - centre + 0.5) * (1.0 / widened));
        exact[static_cast<std::size_t>(i - first)] = weight;
        sum += weight;
      }
      spans.push_back({static_cast<std::size_t>(first), static_cast<std::size_t>(end - first)});
      for (std::size_t i = 0; i < spans.back().count; ++i) {
        const double weight = (sum == 0 ? exact[i] : exact[i] / sum) * (1 << kWeightBits);
        weights[static_cast<std::size_t>(x) * stride + i] =
            static_cast<std::int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
      }
    }
  }
};

std::uint8_t rounded(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> kWeightBits, 0, 255));
}

constexpr std::int32_t kHalf = 1 << (kWeightBits - 1);

Image rows_resized(const Image& image, int width) {
  const Kernel kernel(image.width, width);
  Image result{width, image.height, image.channels, {}};
  result.pixels.resize(result.bytes());
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(image.width) * channels;
  std::uint8_t* to = result.pixels.data();
  for (std::size_t y = 0; y < static_cast<std::size_t>(image.height); ++y) {
    const std::uint8_t* row = image.pixels.data() + y * row_bytes;
    for (std::size_t x = 0; x < kernel.spans.size(); ++x) {
      const auto [first, count] = kernel.spans[x];
      const std::int32_t* weights = &kernel.weights[x * kernel.stride];
      for (std::size_t c = 0; c < channels; ++c) {
        std::int32_t sum = kHalf;
        for (std::size_t i = 0; i < count; ++i) sum += row[(first + i) * channels + c] * weights[i];
        *to++ = rounded(sum);
      }
    }
  }
  return result;
}

Image columns_resized(const Image& image, int height) {
  const Kernel kernel(image.height, height);
  Image result{image.width, height, image.channels, {}};
  result.pixels.resize(result.bytes());
  const std::size_t row_bytes =
      static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.channels);
  std::vector<std::int32_t> sums(row_bytes);
  for (std::size_t y = 0; y < kernel.spans.size(); ++y) {
    const auto [first, count] = kernel.spans[y];
    std::fill(sums.begin(), sums.end(), kHalf);
    for (std::size_t i = 0; i < count; ++i) {
      const std::int32_t weight = kernel.weights[y * kernel.stride + i];
      const std::uint8_t* row = image.pixels.data() + (first + i) * row_bytes;
      for (std::size_t k = 0; k < row_bytes; ++k) sums[k] += row[k] * weight;
    }
    std::transform(sums.begin(), sums.end(), result.pixels.data() + y * row_bytes, rounded);
  }
  return result;
}

}  // namespace

Image resized(const Image& image, int width, int height) {
  Image result = width == image.width ? image : rows_resized(image, width);
  return height == image.height ? result : columns_resized(result, height);
}

Image fitted(Image image, int width, int height) {
  if (image.width == width && image.height == height) return image;
  const double scale = std::min(static_cast<double>(width) / image.width,
                                static_cast<double>(height) / image.height);
  const int inner_width = std::max(static_cast<int>(image.width * scale), 1);
  const int inner_height = std::max(static_cast<int>(image.height * scale), 1);
  const Image inner = resized(image, inner_width, inner_height);
  Image canvas{width, height, image.channels, {}};
  canvas.pixels.assign(canvas.bytes(), kPaddingGrey);
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row_bytes = static_cast<std::size_t>(inner_width) * channels;
  const auto left = static_cast<std::size_t>((width - inner_width) / 2);
  const auto top = static_cast<std::size_t>((height - inner_height) / 2);
  for (std::size_t y = 0; y < static_cast<std::size_t>(inner_height); ++y) {
    std::copy_n(
        inner.pixels.data() + y * row_bytes, row_bytes,
        canvas.pixels.data() + ((top + y) * static_cast<std::size_t>(width) + left) * channels);
  }
  return canvas;
}

}  // namespace cifarpipe::vision
