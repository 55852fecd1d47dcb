#include "stages/export/zip_writer.hpp"

#include <zlib.h>

#include <limits>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

constexpr std::uint32_t kLocal = 0x04034b50;
constexpr std::uint32_t kCentral = 0x02014b50;
constexpr std::uint32_t kEnd = 0x06054b50;
constexpr std::uint64_t kLocalBytes = 30;
constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kExtraHead = 4;  // The kind of an extra field and its length.
constexpr int kVersion = 20;
constexpr int kUtf8 = 1 << 11;         // Paths are UTF-8.
constexpr int kDate = (1 << 5) | 1;    // 1980-01-01
constexpr int kPaddingField = 0x4246;  // "FB", which torch.save uses too.

class Fields {
 public:
  Fields& two(std::uint64_t value) { return number(value, 2); }
  Fields& four(std::uint64_t value) { return number(value, 4); }
  Fields& text(std::string_view text) {
    bytes_ += text;
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  Fields& number(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xff);
    return *this;
  }
  std::string bytes_;
};

}  // namespace

void ZipWriter::write(std::string_view bytes) {
  out_.write(bytes.data(), bytes.size());
  at_ += bytes.size();
}

void ZipWriter::add(const std::string& path, std::string_view content) {
  add(path, {reinterpret_cast<const std::uint8_t*>(content.data()), content.size()});
}

void ZipWriter::add(const std::string& path, std::span<const std::uint8_t> content) {
  if (at_ + content.size() + kAlignment >= std::numeric_limits<std::uint32_t>::max() / 2) {
    throw Error("the weights are too many for a zip archive of 2 GiB");
  }
  const auto size = static_cast<std::uint32_t>(content.size());
  const auto crc = static_cast<std::uint32_t>(crc32_z(0, content.data(), content.size()));
  const std::uint64_t before = at_ + kLocalBytes + path.size() + kExtraHead;
  const std::uint64_t padding = (kAlignment - before % kAlignment) % kAlignment;
  entries_.push_back({path, crc, size, static_cast<std::uint32_t>(at_)});
  Fields head;
  head.four(kLocal).two(kVersion).two(kUtf8).two(0).two(0).two(kDate).four(crc).four(size);
  head.four(size).two(path.size()).two(kExtraHead + padding).text(path);
  head.two(kPaddingField).two(padding).text(std::string(padding, 'Z'));
  write(head.bytes());
  write({reinterpret_cast<const char*>(content.data()), content.size()});
}

void ZipWriter::finish() {
  const std::uint64_t begin = at_;
  for (const Entry& entry : entries_) {
    Fields head;
    head.four(kCentral).two(kVersion).two(kVersion).two(kUtf8).two(0).two(0).two(kDate);
    head.four(entry.crc).four(entry.size).four(entry.size).two(entry.path.size()).two(0).two(0);
    head.two(0).two(0).four(0).four(entry.offset).text(entry.path);
    write(head.bytes());
  }
  const std::uint64_t size = at_ - begin;
  Fields end;
  end.four(kEnd).two(0).two(0).two(entries_.size()).two(entries_.size()).four(size).four(begin);
  end.two(0);
  write(end.bytes());
  out_.close();
}

}  // namespace cifarpipe
