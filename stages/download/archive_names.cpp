// Names of entries, sizes in words, free space: what archives and downloads both need.
#include <fmt/format.h>

#include "pipeline/error.hpp"
#include "stages/download/archive.hpp"

namespace cifarpipe::download {
namespace {

constexpr std::int64_t kReserve = std::int64_t{64} << 20;
constexpr std::size_t kLongestName = 255;
constexpr int kDeepest = 64;

bool valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t more = c < 0x80                ? 0
                             : c >= 0xc2 && c < 0xe0 ? 1
                             : c >= 0xe0 && c < 0xf0 ? 2
                             : c >= 0xf0 && c < 0xf5 ? 3
                                                     : text.size();
    if (more >= text.size() - i) return false;
    for (std::size_t k = 1; k <= more; ++k) {
      if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80) return false;
    }
    i += more + 1;
  }
  return true;
}

}  // namespace

std::string printable(std::string_view name) {
  const bool utf8 = valid_utf8(name);
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (byte >= 0x80 && !utf8)) {
      text += fmt::format("\\x{:02x}", byte);
    } else {
      text += c;
    }
    if (text.size() > 300) return text + "…";
  }
  return text;
}

std::string entry_path(std::string_view name) {
  const auto refuse = [&](const char* why) {
    return Error(fmt::format("'{}' {}", printable(name), why));
  };
  if (name.empty()) throw refuse("is not a name");
  if (name.front() == '/') throw refuse("is an absolute path");
  if (!valid_utf8(name)) throw refuse("is not a UTF-8 name");
  std::string path;
  int depth = 0;
  for (std::size_t start = 0; start <= name.size();) {
    const std::size_t end = std::min(name.find('/', start), name.size());
    const std::string_view part = name.substr(start, end - start);
    start = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") throw refuse("leads out of the folder");
    if (part.size() > kLongestName) throw refuse("has a part of more than 255 bytes");
    if (part.find('\0') != std::string_view::npos) throw refuse("has a zero byte in its name");
    if (++depth > kDeepest) throw refuse("lies more than 64 folders deep");
    if (!path.empty()) path += '/';
    path += part;
  }
  return path;
}

std::string size_text(std::int64_t bytes) {
  const double b = static_cast<double>(bytes);
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  if (bytes < 1000000) return fmt::format("{:.1f} kB", b / 1e3);
  if (bytes < 1000000000) return fmt::format("{:.1f} MB", b / 1e6);
  return fmt::format("{:.1f} GB", b / 1e9);
}

void check_free_space(const std::filesystem::path& dir, std::int64_t bytes,
                      const std::string& what) {
  std::error_code code;
  const std::filesystem::space_info space = std::filesystem::space(dir, code);
  if (code) return;  // A file system that does not say; a full one shows when writing.
  if (space.available >= static_cast<std::uintmax_t>(bytes + kReserve)) return;
  throw Error(fmt::format("{} needs {} in {}, where {} are free", what, size_text(bytes + kReserve),
                          dir.string(), size_text(static_cast<std::int64_t>(space.available))),
              ErrorKind::environment);
}

}  // namespace cifarpipe::download
