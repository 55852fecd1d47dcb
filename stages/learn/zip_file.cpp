#include "stages/learn/zip_file.hpp"

#include <array>

#include "pipeline/error.hpp"

namespace cifarpipe::learn {
namespace {

using Bytes = std::span<const std::uint8_t>;
constexpr std::uint64_t kEnd = 0x06054b50;
constexpr std::uint64_t kEnd64 = 0x06064b50;
constexpr std::uint64_t kLocator64 = 0x07064b50;
constexpr std::uint64_t kCentral = 0x02014b50;
constexpr std::uint64_t kLocal = 0x04034b50;
constexpr std::uint64_t kIn64 = 0xffffffff;  // The true figure stands in the zip64 field.
constexpr std::size_t kEndBytes = 22;
constexpr std::uint64_t kStored = 0;
constexpr std::uint64_t kDeflated = 8;

/// CRC-32 as zip archives have it.
std::uint32_t crc32(Bytes bytes) {
  static const auto table = [] {
    std::array<std::uint32_t, 256> made{};
    for (std::uint32_t i = 0; i < made.size(); ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value & 1 ? 0xedb88320U : 0U) ^ (value >> 1);
      made[i] = value;
    }
    return made;
  }();
  std::uint32_t crc = 0xffffffff;
  for (const std::uint8_t byte : bytes) crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

class ZipReader {
 public:
  ZipReader(Bytes archive, const std::string& name) : archive_(archive), name_(name) {}

  std::map<std::string, ZipEntry, std::less<>> read() {
    std::uint64_t at = find_directory();
    std::map<std::string, ZipEntry, std::less<>> entries;
    for (std::uint64_t i = 0; i < count_; ++i) {
      if (number(at, 4) != kCentral) fail("has a damaged list of entries");
      const std::uint64_t name_bytes = number(at + 28, 2);
      const std::uint64_t extra_bytes = number(at + 30, 2);
      const std::uint64_t comment_bytes = number(at + 32, 2);
      const Bytes name = part(at + 46, name_bytes);
      const std::string path(name.begin(), name.end());
      const ZipEntry found = entry(at, name_bytes, extra_bytes);
      if (!entries.emplace(path, found).second) fail("has two entries of one name");
      at += 46 + name_bytes + extra_bytes + comment_bytes;
    }
    return entries;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(name_ + ": " + what); }

  Bytes part(std::uint64_t at, std::uint64_t count) const {
    if (at > archive_.size() || count > archive_.size() - at) fail("is cut off or damaged");
    return archive_.subspan(at, count);
  }

  std::uint64_t number(std::uint64_t at, std::size_t bytes) const {
    const Bytes from = part(at, bytes);
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes; ++i) value |= std::uint64_t{from[i]} << (8 * i);
    return value;
  }

  /// Where the central directory begins; sets `count_`.
  std::uint64_t find_directory() {
    if (archive_.size() < kEndBytes) fail("is cut off");
    std::uint64_t end = archive_.size() - kEndBytes;
    const std::uint64_t last = end > 0xffff ? end - 0xffff : 0;  // A comment may follow.
    while (number(end, 4) != kEnd) {
      if (end == last) fail("is a zip archive that is cut off");
      --end;
    }
    count_ = number(end + 10, 2);
    std::uint64_t at = number(end + 16, 4);
    if (end >= 20 && number(end - 20, 4) == kLocator64) {
      const std::uint64_t end64 = number(end - 12, 8);
      if (number(end64, 4) != kEnd64) fail("has a damaged list of entries");
      count_ = number(end64 + 32, 8);
      at = number(end64 + 48, 8);
    }
    return at;
  }

  ZipEntry entry(std::uint64_t at, std::uint64_t name_bytes, std::uint64_t extra_bytes) const {
    if (number(at + 8, 2) & 1) fail("is encrypted");
    const std::uint64_t method = number(at + 10, 2);
    if (method != kStored && method != kDeflated) fail("is compressed by an unusual method");
    std::uint64_t packed = number(at + 20, 4);
    std::uint64_t size = number(at + 24, 4);
    std::uint64_t local = number(at + 42, 4);
    read_extra64(at + 46 + name_bytes, extra_bytes, size, packed, local);
    if (method == kStored && size != packed) fail("has a damaged entry");
    if (number(local, 4) != kLocal) fail("has a damaged entry");
    const std::uint64_t begin = local + 30 + number(local + 26, 2) + number(local + 28, 2);
    return {part(begin, packed), size, static_cast<std::uint32_t>(number(at + 16, 4)),
            method == kDeflated};
  }

  /// The field holds only those figures that are 0xffffffff elsewhere, in this order.
  void read_extra64(std::uint64_t at, std::uint64_t bytes, std::uint64_t& size,
                    std::uint64_t& packed, std::uint64_t& local) const {
    const std::uint64_t end = at + bytes;
    while (at + 4 <= end) {
      const std::uint64_t kind = number(at, 2);
      const std::uint64_t length = number(at + 2, 2);
      at += 4;
      if (kind == 1) {
        std::uint64_t field = at;
        for (std::uint64_t* figure : {&size, &packed, &local}) {
          if (*figure != kIn64) continue;
          *figure = number(field, 8);
          field += 8;
        }
        return;
      }
      at += length;
    }
  }

  Bytes archive_;
  const std::string& name_;
  std::uint64_t count_ = 0;
};

}  // namespace

std::map<std::string, ZipEntry, std::less<>> list_zip(Bytes archive, const std::string& name) {
  return ZipReader(archive, name).read();
}

std::map<std::string, Bytes, std::less<>> read_zip(Bytes archive, const std::string& name) {
  std::map<std::string, Bytes, std::less<>> contents;
  for (const auto& [path, entry] : list_zip(archive, name)) {
    if (entry.deflated) {
      throw Error(name + ": has compressed entries, which torch.save does not write");
    }
    if (entry.crc != 0 && crc32(entry.packed) != entry.crc) {
      throw Error(name + ": is damaged: the checksum of '" + path.substr(0, 80) +
                  "' in it is wrong; get the file again");
    }
    contents.emplace(path, entry.packed);
  }
  return contents;
}

}  // namespace cifarpipe::learn
