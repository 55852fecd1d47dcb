#include "stages/preprocess/npz.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <utility>

#include "pipeline/error.hpp"

namespace cifarpipe::preprocess {
namespace {

constexpr std::uint64_t kMostRatio = 1032;  // Deflate packs no better than this.
const std::string kEnding = ".npy";

std::vector<std::uint8_t> inflated(const learn::ZipEntry& entry, const std::string& name) {
  if (entry.size / kMostRatio > entry.packed.size()) {
    throw Error(name + " is damaged: it claims to be larger than it can be");
  }
  std::vector<std::uint8_t> bytes(entry.size);
  z_stream stream{};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw Error("not enough memory to read " + name);
  // zlib counts in 32 bits: both sides in pieces.
  constexpr std::uint64_t kStep = 1 << 30;
  std::uint64_t in = 0;
  std::uint64_t out = 0;
  int result = Z_OK;
  while (result == Z_OK) {
    const std::uint64_t give = std::min(kStep, entry.packed.size() - in);
    const std::uint64_t room = std::min(kStep, entry.size - out);
    stream.next_in = const_cast<Bytef*>(entry.packed.data() + in);
    stream.avail_in = static_cast<uInt>(give);
    stream.next_out = bytes.data() + out;
    stream.avail_out = static_cast<uInt>(room);
    result = inflate(&stream, Z_NO_FLUSH);
    in += give - stream.avail_in;
    out += room - stream.avail_out;
  }
  inflateEnd(&stream);
  if (result != Z_STREAM_END || out != entry.size) {
    throw Error(name + " is damaged: it cannot be unpacked");
  }
  return bytes;
}

std::uint32_t checksum(std::span<const std::uint8_t> bytes) {
  return static_cast<std::uint32_t>(crc32_z(0, bytes.data(), bytes.size()));
}

}  // namespace

Npz::Npz(const std::filesystem::path& file, std::string name)
    : name_(std::move(name)), file_(file), entries_(learn::list_zip(file_.bytes(), name_)) {}

std::vector<std::string> Npz::names() const {
  std::vector<std::string> names;
  for (const auto& [path, entry] : entries_) {
    if (path.ends_with(kEnding)) names.push_back(path.substr(0, path.size() - kEnding.size()));
  }
  return names;
}

NpyArray Npz::read(const std::string& array) {
  const std::string shown = fmt::format("{} of {}", array, name_);
  const learn::ZipEntry& entry = entries_.at(array + kEnding);
  std::span<const std::uint8_t> bytes = entry.packed;
  if (entry.deflated) bytes = unpacked_.emplace_back(inflated(entry, shown));
  if (checksum(bytes) != entry.crc) throw Error(shown + " is damaged: its checksum is wrong");
  return parse_npy(bytes, shown);
}

}  // namespace cifarpipe::preprocess
