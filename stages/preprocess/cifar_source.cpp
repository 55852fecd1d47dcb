#include "stages/preprocess/cifar_source.hpp"

#include <fmt/format.h>

#include <utility>

#include "pipeline/error.hpp"

namespace cifarpipe::preprocess {
namespace {

std::int64_t records_in(const CifarLayout& layout, const std::filesystem::path& file,
                        std::int64_t size) {
  const std::int64_t record = layout.record_bytes();
  if (size > 0 && size % record == 0) return size / record;
  if (size == 0) throw Error(fmt::format("{} is empty", file.string()));
  const std::int64_t other = layout.label_bytes == 1 ? 2 : 1;
  if (size % (kPixelBytes + other) == 0) {
    throw Error(
        fmt::format("{} holds records of {} bytes and not of {}: it is {}'s layout under "
                    "a name of {}'s",
                    file.string(), kPixelBytes + other, record,
                    other == 2 ? "CIFAR-100" : "CIFAR-10", other == 2 ? "CIFAR-10" : "CIFAR-100"));
  }
  throw Error(
      fmt::format("{} ends at byte {}, in the middle of record {} (from byte {}; a record "
                  "has {} bytes): it was cut off or is another format",
                  file.string(), size, size / record, size / record * record, record));
}

}  // namespace

CifarSource::CifarSource(CifarLayout layout) : layout_(std::move(layout)) {
  info_.layout = layout_.name;
  info_.classes = layout_.classes;
  info_.official_classes = layout_.official_classes;
  add_split("train", layout_.train);
  add_split("test", layout_.test);
}

void CifarSource::add_split(const char* name, const std::vector<std::filesystem::path>& files) {
  SourceSplit split;
  split.name = name;
  std::vector<const std::uint8_t*> planes;
  for (const auto& file : files) {
    const auto bytes = files_.emplace_back(file).bytes();
    const std::int64_t count = records_in(layout_, file, static_cast<std::int64_t>(bytes.size()));
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t at = i * layout_.record_bytes();
      const int label = bytes[static_cast<std::size_t>(at + layout_.label_at)];
      if (label >= static_cast<int>(layout_.classes.size())) {
        throw Error(fmt::format("{}, byte {}: label {} in record {}, but there are {} classes",
                                file.string(), at + layout_.label_at, label, i,
                                layout_.classes.size()));
      }
      split.index.push_back(static_cast<std::int32_t>(split.labels.size()));
      split.labels.push_back(label);
      planes.push_back(bytes.data() + at + layout_.label_bytes);
    }
  }
  splits_.push_back(std::move(split));
  planes_.push_back(std::move(planes));
}

vision::Image CifarSource::load(std::size_t split, std::size_t image, int channels) const {
  constexpr std::size_t kPlane = std::size_t{kSide} * kSide;
  const std::uint8_t* planes = planes_[split][image];
  vision::Image result{kSide, kSide, kChannels, std::vector<std::uint8_t>(kPixelBytes)};
  for (std::size_t i = 0; i < kPlane; ++i) {
    result.pixels[3 * i] = planes[i];
    result.pixels[3 * i + 1] = planes[kPlane + i];
    result.pixels[3 * i + 2] = planes[2 * kPlane + i];
  }
  return vision::with_channels(std::move(result), channels);
}

}  // namespace cifarpipe::preprocess
