#include "stages/learn/epoch_images.hpp"

#include <ATen/ops/_upsample_bilinear2d_aa.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cstring>

namespace cifarpipe::learn {
namespace {

constexpr std::int64_t kBlock = 1024;  // Images at once: what libtorch makes of them is a copy.

std::int64_t scaled(std::int64_t side, std::int64_t longer, std::int64_t own_longer) {
  return std::max<std::int64_t>(1, (2 * side * longer + own_longer) / (2 * own_longer));
}

}  // namespace

ImageSize size_with(const ImageSize& own, std::int64_t longer) {
  const std::int64_t own_longer = std::max(own.height, own.width);
  return {scaled(own.height, longer, own_longer), scaled(own.width, longer, own_longer)};
}

std::vector<std::uint8_t> resized_images(const SplitView& split, const DatasetInfo& info,
                                         const ImageSize& size) {
  const std::int64_t bytes = size.height * size.width * info.channels;
  std::vector<std::uint8_t> out(static_cast<std::size_t>(split.count * bytes));
  for (std::int64_t begin = 0; begin < split.count; begin += kBlock) {
    const std::int64_t count = std::min(kBlock, split.count - begin);
    // Only read; libtorch has no view of what is constant.
    auto* from = const_cast<std::uint8_t*>(split.images.data()) + begin * info.image_bytes();
    const at::Tensor images =
        at::from_blob(from, {count, info.height, info.width, info.channels}, at::kByte);
    const at::Tensor made =
        at::_upsample_bilinear2d_aa(images.permute({0, 3, 1, 2}), {size.height, size.width},
                                    /*align_corners=*/false)
            .permute({0, 2, 3, 1})
            .contiguous();
    std::memcpy(out.data() + begin * bytes, made.const_data_ptr<std::uint8_t>(),
                static_cast<std::size_t>(count * bytes));
  }
  return out;
}

EpochImages::EpochImages(std::string architecture, SplitView split, DatasetInfo info,
                         BatchFormat format, std::vector<std::int64_t> longer_sides)
    : architecture_(std::move(architecture)),
      own_(split),
      info_(std::move(info)),
      format_(std::move(format)),
      longer_sides_(std::move(longer_sides)),
      own_size_{info_.height, info_.width},
      size_(own_size_),
      maker_(format_) {
  for (const std::int64_t longer : longer_sides_) check(longer);
}

Network EpochImages::network(const ImageSize& size) const {
  return make_network(architecture_, {size.height, size.width, info_.channels,
                                      static_cast<std::int64_t>(info_.classes.size())});
}

void EpochImages::check(std::int64_t longer) const {
  if (longer > std::max(own_size_.height, own_size_.width)) {
    throw Error("image_sizes has " + std::to_string(longer) + ", and the images are " +
                    std::to_string(own_size_.height) + "x" + std::to_string(own_size_.width) +
                    ": they can only be made smaller",
                ErrorKind::usage);
  }
  const auto own = network(own_size_).tensors();
  std::vector<TensorSpec> other;
  try {
    other = network(size_with(own_size_, longer)).tensors();
  } catch (const Error& error) {
    throw Error("image_sizes has " + std::to_string(longer) + ": " + error.what(), error.kind());
  }
  for (std::size_t i = 0; i < own.size(); ++i) {
    if (own[i].shape == other[i].shape) continue;
    throw Error(
        "image_sizes is for networks whose weights fit images of every size, and the shape "
        "of '" +
            own[i].name + "' of " + architecture_ + " depends on it",
        ErrorKind::usage);
  }
}

void EpochImages::begin(std::int64_t epoch, Model& model) {
  const auto at = static_cast<std::size_t>(epoch);
  set_size(at < longer_sides_.size() ? size_with(own_size_, longer_sides_[at]) : own_size_);
  model.change_size(network(size_));
}

void EpochImages::end(Model& model) {
  model.change_size(network(own_size_));
}

void EpochImages::set_size(const ImageSize& size) {
  if (size == size_) return;
  size_ = size;
  pixels_ = std::vector<std::uint8_t>();  // Before there are two copies.
  if (size != own_size_) pixels_ = resized_images(own_, info_, size);
  BatchFormat format = format_;
  format.height = size.height;
  format.width = size.width;
  maker_ = BatchMaker(std::move(format));
}

at::Tensor EpochImages::augmented(std::span<const std::int32_t> rows,
                                  const Augmentation& augmentation, std::uint64_t seed,
                                  std::int64_t epoch) const {
  SplitView split = own_;
  if (size_ != own_size_) split.images = pixels_;
  return maker_.augmented(split, rows, augmentation, seed, epoch);
}

}  // namespace cifarpipe::learn
