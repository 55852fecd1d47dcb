#include "stages/vision/file_check.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "stages/vision/tiff_tags.hpp"

namespace cifarpipe::vision {
namespace {

using Bytes = std::span<const std::uint8_t>;
constexpr std::size_t kMaximumBytes = 1 << 30;

bool begins(Bytes bytes, std::string_view with, std::size_t at = 0) {
  return bytes.size() >= at + with.size() &&
         std::memcmp(bytes.data() + at, with.data(), with.size()) == 0;
}

std::uint32_t big_endian(Bytes bytes, std::size_t at, std::size_t count) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value = value << 8 | bytes[at + i];
  return value;
}

BadImage cut_off(const std::string& where) {
  return BadImage("is cut off: it ends " + where);
}

/// From marker to marker, through every scan to the one that ends the image.
class JpegWalk {
 public:
  explicit JpegWalk(Bytes file) : file_(file) {}

  FileFacts walk() {
    while (true) {
      const int marker = next_marker();
      if (marker == 0xd9) break;
      if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd7)) continue;  // Without content.
      take_segment(marker);
      if (marker == 0xda) pass_scan();
    }
    if (!scanned_) throw BadImage("is a JPEG file without an image");
    return facts_;
  }

 private:
  int next_marker() {
    if (at_ < file_.size() && file_[at_] != 0xff) {
      throw BadImage(fmt::format("is damaged: no JPEG marker at byte {}", at_));
    }
    while (at_ < file_.size() && file_[at_] == 0xff) ++at_;  // Any number may fill up.
    if (at_ >= file_.size()) throw cut_off("before the end marker of a JPEG image");
    return file_[at_++];
  }

  void take_segment(int marker) {
    if (file_.size() - at_ < 2) throw cut_off("within the header of a JPEG image");
    const std::size_t length = big_endian(file_, at_, 2);
    if (length < 2) throw BadImage(fmt::format("is damaged: a JPEG segment at byte {}", at_));
    if (file_.size() - at_ < length) throw cut_off("within the header of a JPEG image");
    const Bytes segment = file_.subspan(at_ + 2, length - 2);
    const bool frame =
        marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
    if (frame && segment.size() >= 5) {
      facts_.height = big_endian(segment, 1, 2);
      facts_.width = big_endian(segment, 3, 2);
    }
    if (marker == 0xe1 && begins(segment, std::string_view("Exif\0\0", 6))) {
      facts_.orientation = read_tiff_tags(segment.subspan(6)).orientation;
    }
    at_ += length;
  }

  void pass_scan() {
    scanned_ = true;
    while (at_ < file_.size()) {
      const void* found = std::memchr(file_.data() + at_, 0xff, file_.size() - at_);
      if (found == nullptr) break;
      at_ = static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - file_.data());
      if (at_ + 1 >= file_.size()) break;
      const std::uint8_t after = file_[at_ + 1];
      if (after != 0 && !(after >= 0xd0 && after <= 0xd7)) return;
      at_ += 2;
    }
    throw cut_off("before the end marker of a JPEG image");
  }

  Bytes file_;
  std::size_t at_ = 2;
  bool scanned_ = false;
  FileFacts facts_;
};

/// From chunk to chunk, each with its checksum.
FileFacts check_png(Bytes file) {
  FileFacts facts;
  for (std::size_t at = 8;;) {
    if (file.size() - at < 12) throw cut_off("before the end chunk of a PNG image");
    const std::size_t length = big_endian(file, at, 4);
    if (length > file.size() - at - 12) throw cut_off("before the end chunk of a PNG image");
    const Bytes body = file.subspan(at + 4, length + 4);
    const auto sum = static_cast<std::uint32_t>(crc32_z(0, body.data(), body.size()));
    if (sum != big_endian(file, at + 8 + length, 4)) {
      throw BadImage(fmt::format("is damaged: wrong checksum of the PNG chunk at byte {}", at));
    }
    const Bytes content = body.subspan(4);
    if (begins(body, "IHDR") && content.size() >= 8) {
      facts.width = big_endian(content, 0, 4);
      facts.height = big_endian(content, 4, 4);
    }
    if (begins(body, "eXIf")) facts.orientation = read_tiff_tags(content).orientation;
    if (begins(body, "IEND")) break;
    at += length + 12;
  }
  if (facts.width == 0) throw BadImage("is a PNG file without an image");
  return facts;
}

FileFacts check_webp(Bytes file) {
  const auto little_endian = [&](std::size_t at) {
    return std::size_t{file[at]} | std::size_t{file[at + 1]} << 8 |
           std::size_t{file[at + 2]} << 16 | std::size_t{file[at + 3]} << 24;
  };
  const std::size_t end = little_endian(4) + 8;
  if (end > file.size()) throw cut_off("before the end of a WebP image");
  FileFacts facts;
  for (std::size_t at = 12; at + 8 <= end;) {
    const std::size_t length = little_endian(at + 4);
    if (length > end - at - 8) throw BadImage("is damaged: a WebP chunk is larger than the file");
    if (begins(file, "EXIF", at)) {
      Bytes exif = file.subspan(at + 8, length);
      if (begins(exif, std::string_view("Exif\0\0", 6))) exif = exif.subspan(6);
      facts.orientation = read_tiff_tags(exif).orientation;
    }
    at += 8 + length + length % 2;
  }
  return facts;
}

bool is_tiff(Bytes file) {
  return begins(file, std::string_view("II*\0", 4)) || begins(file, std::string_view("MM\0*", 4));
}

FileFacts check_tiff(Bytes file) {
  // The decoder turns the image itself.
  const TiffTags tags = read_tiff_tags(file);
  return {1, tags.width, tags.height};
}

}  // namespace

bool looks_like_image(Bytes b) {
  const bool pnm = b.size() > 2 && b[0] == 'P' && b[1] >= '1' && b[1] <= '7' &&
                   (b[2] == ' ' || b[2] == '\n' || b[2] == '\r' || b[2] == '\t' || b[2] == '#');
  return pnm || begins(b, "\xff\xd8\xff") || begins(b, "\x89PNG\r\n\x1a\n") || begins(b, "GIF8") ||
         (begins(b, "BM") && b.size() > 26) || is_tiff(b) ||
         (begins(b, "RIFF") && begins(b, "WEBP", 8)) ||
         begins(b, std::string_view("\0\0\0\x0cjP  ", 8)) || begins(b, "\xff\x4f\xff\x51");
}

FileFacts check_file(Bytes file) {
  if (file.empty()) throw BadImage("is empty");
  if (file.size() > kMaximumBytes) throw BadImage("has more than 1 GB");
  if (begins(file, "GIF8")) throw BadImage("is a GIF, which is not read: make it a PNG");
  if (!looks_like_image(file)) throw BadImage("is not an image in a format that is read");
  FileFacts facts;
  if (begins(file, "\xff\xd8")) facts = JpegWalk(file).walk();
  if (begins(file, "\x89PNG")) facts = check_png(file);
  if (begins(file, "RIFF")) facts = check_webp(file);
  if (is_tiff(file)) facts = check_tiff(file);
  // Divided, because the product of two sides of 32 bits has more than 64.
  if (facts.width > 0 && facts.height > kMaximumPixels / facts.width) {
    throw BadImage(fmt::format("claims {} x {} pixels (height x width); the limit is {} million",
                               facts.height, facts.width, kMaximumPixels / 1'000'000));
  }
  return facts;
}

}  // namespace cifarpipe::vision
