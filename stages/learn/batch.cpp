#include "stages/learn/batch.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/util/BFloat16.h>

#include <algorithm>

namespace cifarpipe::learn {
namespace {

/// One image from `in` to `out`, both height x width x channels. Template over the channels, so
/// that the compiler knows the stride of the usual ones; 0 = ask at run time.
template <int kChannels, class T>
void copy_image(const std::uint8_t* in, T* out, const T* table, const BatchFormat& format,
                int padding, const Draw& draw) {
  const int height = static_cast<int>(format.height);
  const int width = static_cast<int>(format.width);
  const int channels = kChannels > 0 ? kChannels : static_cast<int>(format.channels);
  const auto black = [&](T* at, int pixels) {
    for (int i = 0; i < pixels; ++i) {
      for (int c = 0; c < channels; ++c) *at++ = table[c * 256];
    }
  };
  // Of a row of the crop, the pixels from `first` on lie within the image, `inside` of them.
  const int shift = draw.left - padding;
  const int first = std::max(0, -shift);
  const int inside = std::max(0, std::min(width, width - shift) - first);
  for (int y = 0; y < height; ++y, out += width * channels) {
    const int from = y + draw.top - padding;
    if (from < 0 || from >= height) {
      black(out, width);
      continue;
    }
    const std::uint8_t* row = in + (from * width + first + shift) * channels;
    const int begin = draw.flip ? width - first - inside : first;
    black(out, begin);
    black(out + (begin + inside) * channels, width - begin - inside);
    T* to = out + (draw.flip ? begin + inside - 1 : begin) * channels;
    const int step = draw.flip ? -channels : channels;
    for (int x = 0; x < inside; ++x, row += channels, to += step) {
      for (int c = 0; c < channels; ++c) to[c] = table[c * 256 + row[c]];
    }
  }
}

template <class T>
void copy_images(const SplitView& split, std::span<const std::int32_t> rows, T* out, const T* table,
                 const BatchFormat& format, int padding, const std::vector<Draw>& draws) {
  const std::int64_t size = format.height * format.width * format.channels;
  const Draw centred{padding, padding, false};
  const auto copy = format.channels == 3   ? copy_image<3, T>
                    : format.channels == 1 ? copy_image<1, T>
                                           : copy_image<0, T>;
  at::parallel_for(0, static_cast<std::int64_t>(rows.size()), 16, [&](auto begin, auto end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const auto at = static_cast<std::size_t>(i);
      copy(split.images.data() + rows[at] * size, out + i * size, table, format, padding,
           draws.empty() ? centred : draws[at]);
    }
  });
}

}  // namespace

Draw draw_augmentation(const Augmentation& augmentation, std::uint64_t seed, std::int64_t epoch,
                       std::int64_t row) {
  const CounterRandom random(seed, Purpose::augment, static_cast<std::uint64_t>(epoch));
  const auto counter = static_cast<std::uint64_t>(row) * 4;
  const auto places = static_cast<std::uint64_t>(augmentation.padding) * 2 + 1;
  return {static_cast<int>(random.below(counter, places)),
          static_cast<int>(random.below(counter + 1, places)),
          random.unit(counter + 2) < augmentation.flip};
}

BatchMaker::BatchMaker(BatchFormat format) : format_(std::move(format)) {
  for (std::size_t c = 0; c < static_cast<std::size_t>(format_.channels); ++c) {
    const auto mean = static_cast<float>(format_.mean[c]);
    const auto std = static_cast<float>(format_.std[c]);
    for (int v = 0; v < 256; ++v) {
      const float value = (static_cast<float>(v) / 255.0F - mean) / std;
      table_.push_back(value);
      table16_.push_back(c10::BFloat16(value).x);
    }
  }
}

at::Tensor BatchMaker::plain(const SplitView& split, std::span<const std::int32_t> rows) const {
  return make(split, rows, 0, {});
}

at::Tensor BatchMaker::augmented(const SplitView& split, std::span<const std::int32_t> rows,
                                 const Augmentation& augmentation, std::uint64_t seed,
                                 std::int64_t epoch) const {
  std::vector<Draw> draws;
  draws.reserve(rows.size());
  for (const auto row : rows) draws.push_back(draw_augmentation(augmentation, seed, epoch, row));
  return make(split, rows, augmentation.padding, draws);
}

at::Tensor BatchMaker::make(const SplitView& split, std::span<const std::int32_t> rows, int padding,
                            const std::vector<Draw>& draws) const {
  const auto count = static_cast<std::int64_t>(rows.size());
  at::Tensor out = at::empty({count, format_.height, format_.width, format_.channels},
                             format_.bf16 ? at::kBFloat16 : at::kFloat);
  if (format_.bf16) {
    copy_images(split, rows, static_cast<std::uint16_t*>(out.data_ptr()), table16_.data(), format_,
                padding, draws);
  } else {
    copy_images(split, rows, out.mutable_data_ptr<float>(), table_.data(), format_, padding, draws);
  }
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
