#include "stages/vision/png.hpp"

#include <zlib.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "pipeline/error.hpp"
#include "stages/learn/files.hpp"

namespace cifarpipe::vision {
namespace {

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

int paeth(int left, int up, int corner) {
  const int guess = left + up - corner;
  const int a = std::abs(guess - left);
  const int b = std::abs(guess - up);
  const int c = std::abs(guess - corner);
  return a <= b && a <= c ? left : b <= c ? up : corner;
}

/// Each row as differences to its neighbours, whichever of "none" and "Paeth" looks smaller.
std::string filtered(int width, int height, std::span<const std::uint8_t> rgb) {
  const std::size_t stride = static_cast<std::size_t>(width) * 3;
  std::string out;
  out.reserve((stride + 1) * static_cast<std::size_t>(height));
  std::string row(stride, '\0');
  for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
    const auto line = rgb.subspan(y * stride, stride);
    std::int64_t plain_cost = 0;
    std::int64_t paeth_cost = 0;
    for (std::size_t i = 0; i < stride; ++i) {
      const int left = i >= 3 ? line[i - 3] : 0;
      const int up = y > 0 ? rgb[(y - 1) * stride + i] : 0;
      const int corner = i >= 3 && y > 0 ? rgb[(y - 1) * stride + i - 3] : 0;
      const auto difference = static_cast<std::int8_t>(line[i] - paeth(left, up, corner));
      row[i] = static_cast<char>(difference);
      paeth_cost += std::abs(difference);
      plain_cost += std::abs(static_cast<std::int8_t>(line[i]));
    }
    if (plain_cost < paeth_cost) {
      out += '\0';
      out.append(reinterpret_cast<const char*>(line.data()), stride);
    } else {
      out += '\4';
      out += row;
    }
  }
  return out;
}

}  // namespace

void write_png(const std::filesystem::path& file, int width, int height,
               std::span<const std::uint8_t> rgb) {
  const std::string raw = filtered(width, height, rgb);
  uLongf size = compressBound(raw.size());
  std::string packed(size, '\0');
  if (compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                reinterpret_cast<const Bytef*>(raw.data()), raw.size(),
                Z_DEFAULT_COMPRESSION) != Z_OK) {
    throw Error("cannot compress the picture " + file.string());
  }
  packed.resize(size);
  std::string header;
  append_number(header, static_cast<std::uint32_t>(width));
  append_number(header, static_cast<std::uint32_t>(height));
  header += std::string("\x08\x02\x00\x00\x00", 5);  // 8 bits, RGB, deflate, no interlacing
  std::string png("\x89PNG\r\n\x1a\n");
  append_chunk(png, "IHDR", header);
  append_chunk(png, "IDAT", packed);
  append_chunk(png, "IEND", "");
  learn::write_text(file, png);
}

}  // namespace cifarpipe::vision
