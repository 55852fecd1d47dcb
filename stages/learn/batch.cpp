#include "stages/learn/batch.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "stages/learn/fused_kernels.hpp"

namespace cifarpipe::learn {
namespace {

/// For each place of a crop along one side, where in the image it comes from; -1 = black.
void map_side(std::vector<int>& map, int size, int shift, bool reflect, bool flip) {
  for (int i = 0; i < size; ++i) {
    int from = i + shift;
    if (reflect) {
      if (from < 0) from = -from;
      if (from >= size) from = 2 * size - 2 - from;
    }
    // Padding may be wider than what there is to mirror.
    if (from < 0 || from >= size) from = -1;
    map[static_cast<std::size_t>(flip ? size - 1 - i : i)] = from;
  }
}

/// The working memory of one thread.
struct Scratch {
  explicit Scratch(const BatchFormat& format)
      : rows(static_cast<std::size_t>(format.height)),
        columns(static_cast<std::size_t>(format.width)),
        coloured(static_cast<std::size_t>(format.height * format.width * format.channels)),
        cropped(coloured.size()) {}
  std::vector<int> rows;
  std::vector<int> columns;
  std::vector<std::uint8_t> coloured;
  std::vector<std::uint8_t> cropped;
};

/// Pixels [first, last) of a crop's row that lie side by side in the image, in its order.
struct Run {
  std::size_t first = 0;
  std::size_t last = 0;
};

Run longest_run(const std::vector<int>& columns) {
  Run best;
  Run now;
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const bool goes_on = now.last > now.first && columns[i] == columns[i - 1] + 1;
    if (!goes_on) now.first = i;
    now.last = columns[i] < 0 ? i : i + 1;
    if (now.last - now.first > best.last - best.first) best = now;
  }
  return best;
}

/// The crop of one image, height x width x channels bytes. Template over the channels, so that the
/// compiler knows the stride of the usual ones; 0 = ask at run time.
template <int kChannels>
void crop_image(const std::uint8_t* in, std::uint8_t* out, const BatchFormat& format,
                const Scratch& scratch) {
  const int channels = kChannels > 0 ? kChannels : static_cast<int>(format.channels);
  const std::int64_t stride = format.width * channels;
  const Run run = longest_run(scratch.columns);
  const auto copy = [&](const std::uint8_t* row, std::size_t begin, std::size_t end) {
    std::uint8_t* to = out + static_cast<std::int64_t>(begin) * channels;
    for (std::size_t i = begin; i < end; ++i) {
      const int column = scratch.columns[i];
      const std::uint8_t* pixel = row + static_cast<std::int64_t>(std::max(column, 0)) * channels;
      for (int c = 0; c < channels; ++c) *to++ = column < 0 ? std::uint8_t{0} : pixel[c];
    }
  };
  for (const int from : scratch.rows) {
    if (from < 0) {
      std::fill(out, out + stride, std::uint8_t{0});
    } else {
      const std::uint8_t* row = in + from * stride;
      copy(row, 0, run.first);
      if (run.last > run.first) {
        std::memcpy(out + static_cast<std::int64_t>(run.first) * channels,
                    row + std::int64_t{scratch.columns[run.first]} * channels,
                    (run.last - run.first) * static_cast<std::size_t>(channels));
      }
      copy(row, run.last, scratch.columns.size());
    }
    out += stride;
  }
}

std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value, 0.0F, 255.0F)));
}

/// torchvision's grey: the weights of ITU-R 601.
float grey_of(const float* pixel, int channels) {
  return channels == 3 ? 0.2989F * pixel[0] + 0.587F * pixel[1] + 0.114F * pixel[2] : pixel[0];
}

/// Brightness, then contrast about the image's mean grey, then saturation about each pixel's.
void jitter(const std::uint8_t* in, std::vector<std::uint8_t>& out, int channels,
            const Draw& draw) {
  const auto size = static_cast<std::int64_t>(out.size());
  std::array<float, 16> pixel;
  const auto bright = [&](std::int64_t i) {
    for (int c = 0; c < channels; ++c) {
      pixel[static_cast<std::size_t>(c)] =
          std::clamp(static_cast<float>(in[i + c]) * draw.brightness, 0.0F, 255.0F);
    }
  };
  double grey_sum = 0;
  for (std::int64_t i = 0; i < size; i += channels) {
    bright(i);
    grey_sum += static_cast<double>(grey_of(pixel.data(), channels));
  }
  const auto mean = static_cast<float>(grey_sum * channels / static_cast<double>(size));
  for (std::int64_t i = 0; i < size; i += channels) {
    bright(i);
    for (int c = 0; c < channels; ++c) {
      float& v = pixel[static_cast<std::size_t>(c)];
      v = std::clamp(mean + (v - mean) * draw.contrast, 0.0F, 255.0F);
    }
    const float grey = grey_of(pixel.data(), channels);
    for (int c = 0; c < channels; ++c) {
      const float v = pixel[static_cast<std::size_t>(c)];
      out[static_cast<std::size_t>(i + c)] = to_byte(grey + (v - grey) * draw.saturation);
    }
  }
}

template <class T>
void cut_out(T* image, const BatchFormat& format, int side, const Draw& draw) {
  const std::int64_t height = std::min<std::int64_t>(side, format.height);
  const std::int64_t width = std::min<std::int64_t>(side, format.width) * format.channels;
  for (std::int64_t y = 0; y < height; ++y) {
    T* row = image + ((draw.cutout_top + y) * format.width + draw.cutout_left) * format.channels;
    std::fill(row, row + width, T{0});  // the mean, normalised
  }
}

/// Where the pixels of one image are to be read: the image itself where nothing moves them.
const std::uint8_t* prepared(const std::uint8_t* image, const BatchFormat& format,
                             const Augmentation& augmentation, const Draw& draw, Scratch& scratch) {
  const bool colour =
      augmentation.brightness > 0 || augmentation.contrast > 0 || augmentation.saturation > 0;
  if (colour) {
    jitter(image, scratch.coloured, static_cast<int>(format.channels), draw);
    image = scratch.coloured.data();
  }
  const int down = draw.top - augmentation.padding;
  const int right = draw.left - augmentation.padding;
  if (down == 0 && right == 0 && !draw.flip) return image;
  map_side(scratch.rows, static_cast<int>(format.height), down, augmentation.reflect, false);
  map_side(scratch.columns, static_cast<int>(format.width), right, augmentation.reflect, draw.flip);
  const auto crop = format.channels == 3   ? crop_image<3>
                    : format.channels == 1 ? crop_image<1>
                                           : crop_image<0>;
  crop(image, scratch.cropped.data(), format, scratch);
  return scratch.cropped.data();
}

}  // namespace

Draw draw_augmentation(const Augmentation& augmentation, std::int64_t height, std::int64_t width,
                       std::uint64_t seed, std::int64_t epoch, std::int64_t row) {
  const CounterRandom random(seed, Purpose::augment, static_cast<std::uint64_t>(epoch));
  const auto counter = static_cast<std::uint64_t>(row) * 4;
  const auto places = static_cast<std::uint64_t>(augmentation.padding) * 2 + 1;
  Draw draw;
  draw.top = static_cast<int>(random.below(counter, places));
  draw.left = static_cast<int>(random.below(counter + 1, places));
  draw.flip = random.unit(counter + 2) < augmentation.flip;
  if (augmentation.alternate) {
    const CounterRandom first(seed, Purpose::mirror);
    draw.flip = (first.unit(static_cast<std::uint64_t>(row)) < 0.5) != (epoch % 2 == 1);
  }
  const CounterRandom more(seed, Purpose::colour, static_cast<std::uint64_t>(epoch));
  const auto place = static_cast<std::uint64_t>(row) * 8;
  if (augmentation.cutout > 0) {
    const auto free = [&](std::int64_t side) {
      return static_cast<std::uint64_t>(std::max<std::int64_t>(side - augmentation.cutout, 0) + 1);
    };
    draw.cutout_top = static_cast<int>(more.below(place, free(height)));
    draw.cutout_left = static_cast<int>(more.below(place + 1, free(width)));
  }
  const auto factor = [&](std::uint64_t number, double range) {
    return static_cast<float>(1 + (2 * more.unit(place + number) - 1) * range);
  };
  draw.brightness = factor(2, augmentation.brightness);
  draw.contrast = factor(3, augmentation.contrast);
  draw.saturation = factor(4, augmentation.saturation);
  return draw;
}

BatchMaker::BatchMaker(BatchFormat format) : format_(std::move(format)) {
  for (std::int64_t x = 0; x < format_.width; ++x) {
    for (std::size_t c = 0; c < static_cast<std::size_t>(format_.channels); ++c) {
      mean_.push_back(static_cast<float>(format_.mean[c]));
      deviation_.push_back(static_cast<float>(format_.std[c]));
    }
  }
}

at::Tensor BatchMaker::plain(const SplitView& split, std::span<const std::int32_t> rows) const {
  return make(split, rows, Augmentation{.padding = 0}, {});
}

at::Tensor BatchMaker::augmented(const SplitView& split, std::span<const std::int32_t> rows,
                                 const Augmentation& augmentation, std::uint64_t seed,
                                 std::int64_t epoch) const {
  std::vector<Draw> draws;
  draws.reserve(rows.size());
  for (const auto row : rows) {
    draws.push_back(
        draw_augmentation(augmentation, format_.height, format_.width, seed, epoch, row));
  }
  return make(split, rows, augmentation, draws);
}

at::Tensor BatchMaker::make(const SplitView& split, std::span<const std::int32_t> rows,
                            const Augmentation& augmentation,
                            const std::vector<Draw>& draws) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  at::Tensor out = at::empty({count, format_.height, format_.width, format_.channels},
                             format_.bf16 ? at::kBFloat16 : at::kFloat);
  const std::int64_t size = format_.height * format_.width * format_.channels;
  const std::int64_t bytes = size * (format_.bf16 ? 2 : 4);
  const Draw centred{augmentation.padding, augmentation.padding};
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  const FusedKernels& kernels = fused_kernels(format_.bf16);
  at::parallel_for(0, count, 16, [&](std::int64_t begin, std::int64_t end) {
    Scratch scratch(format_);
    for (std::int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const Draw& draw = draws.empty() ? centred : draws[at];
      const std::uint8_t* image =
          prepared(split.images.data() + rows[at] * size, format_, augmentation, draw, scratch);
      kernels.normalise(image, format_.height, format_.width * format_.channels, mean_.data(),
                        deviation_.data(), to + i * bytes);
      if (augmentation.cutout == 0) continue;
      if (format_.bf16) {
        cut_out(reinterpret_cast<std::uint16_t*>(to + i * bytes), format_, augmentation.cutout,
                draw);
      } else {
        cut_out(reinterpret_cast<float*>(to + i * bytes), format_, augmentation.cutout, draw);
      }
    }
  });
  out = out.permute({0, 3, 1, 2});
  return format_.channels_last ? out : out.contiguous();
}

at::Tensor BatchMaker::labels(const SplitView& split, std::span<const std::int32_t> rows) {
  at::Tensor out = at::empty({static_cast<std::int64_t>(rows.size())}, at::kLong);
  auto* to = out.mutable_data_ptr<std::int64_t>();
  for (const auto row : rows) *to++ = split.labels[static_cast<std::size_t>(row)];
  return out;
}

}  // namespace cifarpipe::learn
