#include "stages/preprocess/records.hpp"

#include <fmt/format.h>

#include "pipeline/error.hpp"
#include "stages/learn/files.hpp"

namespace cifarpipe::preprocess {
namespace {

std::int64_t records_in(const CifarLayout& layout, const std::filesystem::path& file) {
  const auto size = static_cast<std::int64_t>(std::filesystem::file_size(file));
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

std::int64_t count_records(const CifarLayout& layout,
                           const std::vector<std::filesystem::path>& files) {
  std::int64_t count = 0;
  for (const auto& file : files) count += records_in(layout, file);
  return count;
}

void for_each_record(const CifarLayout& layout, const std::vector<std::filesystem::path>& files,
                     std::int64_t limit, const std::function<void(const Record&)>& take) {
  Record record;
  for (const auto& file : files) {
    if (limit > 0 && record.position == limit) return;
    const std::int64_t count = records_in(layout, file);
    const learn::MappedFile mapped(file);
    const auto bytes = mapped.bytes();
    for (std::int64_t i = 0; i < count; ++i) {
      if (limit > 0 && record.position == limit) return;
      const std::int64_t at = i * layout.record_bytes();
      record.label = bytes[static_cast<std::size_t>(at + layout.label_at)];
      if (record.label >= static_cast<int>(layout.classes.size())) {
        throw Error(fmt::format("{}, byte {}: label {} in record {}, but there are {} classes",
                                file.string(), at + layout.label_at, record.label, i,
                                layout.classes.size()));
      }
      record.planes = bytes.subspan(static_cast<std::size_t>(at + layout.label_bytes),
                                    static_cast<std::size_t>(kPixelBytes));
      take(record);
      ++record.position;
    }
  }
}

void interleave(std::span<const std::uint8_t> planes, std::span<std::uint8_t> pixels) {
  constexpr std::size_t kPlane = kSide * kSide;
  for (std::size_t i = 0; i < kPlane; ++i) {
    pixels[3 * i] = planes[i];
    pixels[3 * i + 1] = planes[kPlane + i];
    pixels[3 * i + 2] = planes[2 * kPlane + i];
  }
}

}  // namespace cifarpipe::preprocess
