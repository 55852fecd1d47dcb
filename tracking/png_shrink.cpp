#include "tracking/png_shrink.hpp"

#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

namespace cifarpipe {
namespace {

constexpr std::string_view kSignature = "\x89PNG\r\n\x1a\n";
constexpr std::size_t kMostBytes = std::size_t{512} << 20;  // Of pixels: no picture of ours.

struct Pixels {
  std::size_t width = 0;
  std::size_t height = 0;
  std::size_t channels = 0;
  std::string data;  ///< Row by row, without filters.
};

std::uint32_t number_at(std::string_view text, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    value = value << 8 | static_cast<unsigned char>(text[at + i]);
  }
  return value;
}

/// What a PNG's header and its IDAT chunks say.
struct Chunks {
  std::string header;
  std::string packed;
};

std::optional<Chunks> chunks_of(std::string_view png) {
  if (!png.starts_with(kSignature)) return std::nullopt;
  Chunks out;
  std::size_t at = kSignature.size();
  while (at + 12 <= png.size()) {
    const std::size_t size = number_at(png, at);
    if (size > png.size() - at - 12) return std::nullopt;
    const std::string_view type = png.substr(at + 4, 4);
    const std::string_view data = png.substr(at + 8, size);
    if (type == "IHDR") out.header = data;
    if (type == "IDAT") out.packed += data;
    if (type == "IEND") return out;
    at += 12 + size;
  }
  return std::nullopt;
}

std::size_t channels_of(char color_type) {
  switch (color_type) {
    case 0:
      return 1;
    case 2:
      return 3;
    case 4:
      return 2;
    case 6:
      return 4;
    default:
      return 0;  // A palette.
  }
}

int paeth(int left, int up, int corner) {
  const int guess = left + up - corner;
  const int a = std::abs(guess - left);
  const int b = std::abs(guess - up);
  const int c = std::abs(guess - corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/// Undoes the rows' filters; false if there is one that is none.
bool unfilter(const std::string& rows, Pixels& out) {
  const std::size_t stride = out.width * out.channels;
  out.data.resize(stride * out.height);
  const auto byte = [](char c) { return static_cast<int>(static_cast<unsigned char>(c)); };
  for (std::size_t y = 0; y < out.height; ++y) {
    const char* from = rows.data() + y * (stride + 1);
    char* to = out.data.data() + y * stride;
    const char filter = *from++;
    if (filter < 0 || filter > 4) return false;
    for (std::size_t i = 0; i < stride; ++i) {
      const int left = i >= out.channels ? byte(to[i - out.channels]) : 0;
      const int up = y > 0 ? byte(*(to + i - stride)) : 0;
      const int corner = i >= out.channels && y > 0 ? byte(*(to + i - stride - out.channels)) : 0;
      const int guess = filter == 1   ? left
                        : filter == 2 ? up
                        : filter == 3 ? (left + up) / 2
                        : filter == 4 ? paeth(left, up, corner)
                                      : 0;
      to[i] = static_cast<char>(byte(from[i]) + guess);
    }
  }
  return true;
}

std::optional<Pixels> decoded(std::string_view png) {
  const auto chunks = chunks_of(png);
  if (!chunks || chunks->header.size() != 13) return std::nullopt;
  Pixels out;
  out.width = number_at(chunks->header, 0);
  out.height = number_at(chunks->header, 4);
  out.channels = channels_of(chunks->header[9]);
  const bool known = chunks->header[8] == 8 && chunks->header[12] == 0 && out.channels > 0;
  if (!known || out.width == 0 || out.height == 0 || out.width > kMostBytes ||
      out.height > kMostBytes / (out.width * out.channels)) {
    return std::nullopt;
  }
  std::string rows((out.width * out.channels + 1) * out.height, '\0');
  uLongf size = rows.size();
  if (uncompress(reinterpret_cast<Bytef*>(rows.data()), &size,
                 reinterpret_cast<const Bytef*>(chunks->packed.data()),
                 chunks->packed.size()) != Z_OK ||
      size != rows.size() || !unfilter(rows, out)) {
    return std::nullopt;
  }
  return out;
}

Pixels shrunk(const Pixels& from, std::size_t longest) {
  const std::size_t longer = std::max(from.width, from.height);
  Pixels out;
  out.width = std::max<std::size_t>(from.width * longest / longer, 1);
  out.height = std::max<std::size_t>(from.height * longest / longer, 1);
  out.channels = from.channels;
  out.data.reserve(out.width * out.height * out.channels);
  for (std::size_t y = 0; y < out.height; ++y) {
    const std::size_t top = y * from.height / out.height;
    const std::size_t bottom = (y + 1) * from.height / out.height;
    for (std::size_t x = 0; x < out.width; ++x) {
      const std::size_t left = x * from.width / out.width;
      const std::size_t right = (x + 1) * from.width / out.width;
      const std::size_t count = (bottom - top) * (right - left);
      for (std::size_t c = 0; c < out.channels; ++c) {
        std::size_t sum = count / 2;
        for (std::size_t v = top; v < bottom; ++v) {
          for (std::size_t u = left; u < right; ++u) {
            const char pixel = from.data[(v * from.width + u) * from.channels + c];
            sum += static_cast<unsigned char>(pixel);
          }
        }
        out.data += static_cast<char>(sum / count);
      }
    }
  }
  return out;
}

void append_number(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>((value >> shift) & 0xff);
}

void append_chunk(std::string& out, const std::string& type, const std::string& data) {
  append_number(out, static_cast<std::uint32_t>(data.size()));
  const std::string body = type + data;
  out += body;
  append_number(out,
                static_cast<std::uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(body.data()),
                                                 static_cast<uInt>(body.size()))));
}

std::optional<std::string> encoded(const Pixels& pixels) {
  const std::size_t stride = pixels.width * pixels.channels;
  std::string rows;
  rows.reserve((stride + 1) * pixels.height);
  for (std::size_t y = 0; y < pixels.height; ++y) {
    const char* row = pixels.data.data() + y * stride;
    rows += '\1';  // Each pixel as the difference to its left neighbour.
    for (std::size_t i = 0; i < stride; ++i) {
      const char left = i >= pixels.channels ? row[i - pixels.channels] : '\0';
      rows += static_cast<char>(row[i] - left);
    }
  }
  uLongf size = compressBound(rows.size());
  std::string packed(size, '\0');
  if (compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                reinterpret_cast<const Bytef*>(rows.data()), rows.size(),
                Z_DEFAULT_COMPRESSION) != Z_OK) {
    return std::nullopt;
  }
  packed.resize(size);
  constexpr const char* kColorTypes = "\0\0\4\2\6";
  std::string header;
  append_number(header, static_cast<std::uint32_t>(pixels.width));
  append_number(header, static_cast<std::uint32_t>(pixels.height));
  header += '\x08';
  header += kColorTypes[pixels.channels];
  header.append(3, '\0');
  std::string out(kSignature);
  append_chunk(out, "IHDR", header);
  append_chunk(out, "IDAT", packed);
  append_chunk(out, "IEND", "");
  return out;
}

}  // namespace

std::optional<std::string> shrunk_png(std::string_view png, int longest) {
  const auto pixels = decoded(png);
  if (!pixels) return std::nullopt;
  const auto side = static_cast<std::size_t>(longest);
  if (std::max(pixels->width, pixels->height) <= side) return std::nullopt;
  return encoded(shrunk(*pixels, side));
}

}  // namespace cifarpipe
