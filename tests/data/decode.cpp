// Image files as cameras and programs write them: orientation, transparency, depth, grey, and every
// way of being damaged. The files are encoded here, by OpenCV, and then changed by hand.
#include "stages/vision/decode.hpp"

#include <zlib.h>

#include <map>
#include <opencv2/imgcodecs.hpp>

#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::test;
using namespace cifarpipe::vision;

namespace {

using Bytes = std::vector<std::uint8_t>;

/// Four quarters: a b above c d.
cv::Mat quarters(int a, int b, int c, int d, int type = CV_8UC3) {
  cv::Mat image(16, 32, type);
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 32; ++x) {
      const int value = y < 8 ? (x < 16 ? a : b) : (x < 16 ? c : d);
      for (int k = 0; k < image.channels(); ++k) {
        image.ptr<std::uint8_t>(y)[x * image.channels() + k] = static_cast<std::uint8_t>(value);
      }
    }
  }
  return image;
}

Bytes encoded(const char* ending, const cv::Mat& image) {
  Bytes bytes;
  BOOST_REQUIRE(cv::imencode(ending, image, bytes));
  return bytes;
}

/// EXIF that says nothing but the orientation, in either byte order.
std::string exif(int orientation, bool big_endian) {
  const auto number = [&](unsigned value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
    return big_endian ? std::string(text.rbegin(), text.rend()) : text;
  };
  return (big_endian ? "MM" : "II") + number(42, 2) + number(8, 4) + number(1, 2) + number(274, 2) +
         number(3, 2) + number(1, 4) + number(static_cast<unsigned>(orientation), 2) +
         number(0, 2) + number(0, 4);
}

std::string big_endian(std::size_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

std::string png_chunk(const std::string& type, const std::string& content) {
  const std::string body = type + content;
  const auto* bytes = reinterpret_cast<const Bytef*>(body.data());
  return big_endian(content.size(), 4) + body + big_endian(crc32_z(0, bytes, body.size()), 4);
}

Bytes inserted(const Bytes& file, std::size_t at, const std::string& what) {
  Bytes result = file;
  result.insert(result.begin() + static_cast<std::ptrdiff_t>(at), what.begin(), what.end());
  return result;
}

Bytes jpeg_with_exif(const Bytes& jpeg, int orientation, bool order) {
  const std::string content = std::string("Exif\0\0", 6) + exif(orientation, order);
  return inserted(jpeg, 2, "\xff\xe1" + big_endian(content.size() + 2, 2) + content);
}

int pixel(const Image& image, int x, int y, int channel = 0) {
  return image.pixels[static_cast<std::size_t>((y * image.width + x) * image.channels + channel)];
}

void check_quarters(const Image& image, const std::array<int, 4>& expected, int tolerance) {
  const int right = image.width - 1;
  const int bottom = image.height - 1;
  BOOST_CHECK_LE(std::abs(pixel(image, 0, 0) - expected[0]), tolerance);
  BOOST_CHECK_LE(std::abs(pixel(image, right, 0) - expected[1]), tolerance);
  BOOST_CHECK_LE(std::abs(pixel(image, 0, bottom) - expected[2]), tolerance);
  BOOST_CHECK_LE(std::abs(pixel(image, right, bottom) - expected[3]), tolerance);
}

std::string failure(const Bytes& file) {
  return message_of([&] { decode_image(file, 3); });
}

/// A PNG of nothing but a header with these sides and an end.
Bytes png_header(std::size_t width, std::size_t height) {
  const std::string sides = big_endian(width, 4) + big_endian(height, 4);
  const std::string png = "\x89PNG\r\n\x1a\n" +
                          png_chunk("IHDR", sides + std::string("\x08\x02\0\0\0", 5)) +
                          png_chunk("IEND", "");
  return {png.begin(), png.end()};
}

}  // namespace

BOOST_AUTO_TEST_SUITE(decode)

BOOST_AUTO_TEST_CASE(held_in_each_of_eight_ways) {
  const Bytes jpeg = encoded(".jpg", quarters(40, 100, 160, 220));
  const Bytes png = encoded(".png", quarters(40, 100, 160, 220));
  const std::map<int, std::array<int, 4>> expected = {
      {1, {40, 100, 160, 220}}, {2, {100, 40, 220, 160}}, {3, {220, 160, 100, 40}},
      {4, {160, 220, 40, 100}}, {5, {40, 160, 100, 220}}, {6, {160, 40, 220, 100}},
      {7, {220, 100, 160, 40}}, {8, {100, 220, 40, 160}}};
  for (const auto& [orientation, values] : expected) {
    for (const bool order : {false, true}) {
      BOOST_TEST_CONTEXT("orientation " << orientation) {
        const Image image = decode_image(jpeg_with_exif(jpeg, orientation, order), 3);
        BOOST_CHECK_EQUAL(image.width, orientation < 5 ? 32 : 16);
        BOOST_CHECK_EQUAL(image.height, orientation < 5 ? 16 : 32);
        check_quarters(image, values, 3);
        constexpr std::size_t kAfterHeader = 33;
        const std::string chunk = png_chunk("eXIf", exif(orientation, order));
        check_quarters(decode_image(inserted(png, kAfterHeader, chunk), 3), values, 0);
      }
    }
  }
  check_quarters(decode_image(jpeg_with_exif(jpeg, 9, false), 3), expected.at(1), 3);
}

BOOST_AUTO_TEST_CASE(every_format_is_the_same_image) {
  for (const char* ending : {".png", ".bmp", ".tif", ".ppm", ".webp", ".jpg"}) {
    BOOST_TEST_CONTEXT(ending) {
      const bool lossy = std::string(ending) == ".jpg" || std::string(ending) == ".webp";
      const Image image = decode_image(encoded(ending, quarters(40, 100, 160, 220)), 3);
      check_quarters(image, {40, 100, 160, 220}, lossy ? 4 : 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(red_comes_first) {
  cv::Mat image(2, 2, CV_8UC3, cv::Scalar(10, 20, 30));  // Blue, green, red.
  const Image decoded = decode_image(encoded(".png", image), 3);
  BOOST_CHECK_EQUAL(pixel(decoded, 1, 1, 0), 30);
  BOOST_CHECK_EQUAL(pixel(decoded, 1, 1, 2), 10);
  // 0.299 red + 0.587 green + 0.114 blue
  BOOST_CHECK_EQUAL(pixel(decode_image(encoded(".png", image), 1), 0, 0), 22);
}

BOOST_AUTO_TEST_CASE(grey_and_transparent) {
  const Image grey = decode_image(encoded(".png", quarters(1, 2, 3, 4, CV_8UC1)), 3);
  BOOST_CHECK_EQUAL(grey.channels, 3);
  check_quarters(grey, {1, 2, 3, 4}, 0);
  BOOST_CHECK_EQUAL(decode_image(encoded(".png", quarters(1, 2, 3, 4, CV_8UC1)), 1).channels, 1);

  cv::Mat clear(1, 3, CV_8UC4);
  clear.at<cv::Vec4b>(0, 0) = {10, 20, 30, 255};
  clear.at<cv::Vec4b>(0, 1) = {10, 20, 30, 0};
  clear.at<cv::Vec4b>(0, 2) = {0, 0, 255, 51};
  const Image image = decode_image(encoded(".png", clear), 3);
  BOOST_CHECK((image.pixels == Bytes{30, 20, 10, 128, 128, 128, 153, 102, 102}));
}

BOOST_AUTO_TEST_CASE(sixteen_bits_are_rounded) {
  for (const char* ending : {".png", ".tif"}) {
    cv::Mat deep(1, 5, CV_16UC1);
    const int values[] = {0, 128, 129, 32896, 65535};
    for (int x = 0; x < 5; ++x) {
      deep.at<std::uint16_t>(0, x) = static_cast<std::uint16_t>(values[x]);
    }
    const Image image = decode_image(encoded(ending, deep), 1);
    BOOST_CHECK((image.pixels == Bytes{0, 0, 1, 128, 255}));
  }
}

BOOST_AUTO_TEST_CASE(cut_off_anywhere) {
  cv::Mat noise(40, 40, CV_8UC3);
  cv::randu(noise, 0, 256);
  for (const char* ending : {".jpg", ".png", ".webp", ".bmp", ".tif", ".ppm"}) {
    const Bytes whole = encoded(ending, noise);
    BOOST_CHECK_EQUAL(failure(whole), "");
    for (const std::size_t lost : {std::size_t{1}, std::size_t{2}, std::size_t{100},
                                   whole.size() / 2, whole.size() - 30, whole.size() - 3}) {
      const Bytes part(whole.begin(), whole.end() - static_cast<std::ptrdiff_t>(lost));
      BOOST_CHECK_MESSAGE(!failure(part).empty(), ending << " without its last " << lost);
    }
  }
  const Bytes jpeg = encoded(".jpg", noise);
  BOOST_CHECK_EQUAL(failure({jpeg.begin(), jpeg.end() - 2}),
                    "is cut off: it ends before the end marker of a JPEG image");
}

BOOST_AUTO_TEST_CASE(damaged_and_foreign) {
  Bytes png = encoded(".png", quarters(1, 2, 3, 4));
  png[png.size() / 2] ^= 1;
  check_contains(failure(png), "is damaged: wrong checksum of the PNG chunk at byte ");
  BOOST_CHECK_EQUAL(failure({}), "is empty");
  const std::string text = "<html><body>404 not found</body></html>";
  BOOST_CHECK_EQUAL(failure(Bytes(text.begin(), text.end())),
                    "is not an image in a format that is read");
  const std::string gif = "GIF89a and so on";
  check_contains(failure(Bytes(gif.begin(), gif.end())), "is a GIF");
  BOOST_CHECK(!looks_like_image({}));
}

BOOST_AUTO_TEST_CASE(bombs_do_not_go_off) {
  BOOST_CHECK_EQUAL(failure(png_header(60000, 60000)),
                    "claims 60000 x 60000 pixels (height x width); the limit is 150 million");
  BOOST_CHECK(!failure(png_header(0xffffffff, 0xffffffff)).empty());
  BOOST_CHECK(!failure(png_header(100, 100)).empty());  // Without pixels.
  Bytes jpeg = encoded(".jpg", quarters(1, 2, 3, 4));
  for (std::size_t i = 0; i + 9 < jpeg.size(); ++i) {
    if (jpeg[i] != 0xff || jpeg[i + 1] != 0xc0) continue;
    for (std::size_t k = 5; k < 9; ++k) jpeg[i + k] = 0xff;
  }
  check_contains(failure(jpeg), "claims 65535 x 65535 pixels");
  Bytes bmp = encoded(".bmp", quarters(1, 2, 3, 4));
  for (std::size_t k = 18; k < 26; ++k) bmp[k] = k % 4 == 1 ? 0 : 0xff;  // Its sides.
  BOOST_CHECK(!failure(bmp).empty());
}

/// Whatever one byte becomes, there is an image or a reason, and nothing worse.
BOOST_AUTO_TEST_CASE(single_changed_bytes) {
  std::uint32_t random = 1;
  for (const char* ending : {".jpg", ".png", ".webp", ".bmp", ".tif", ".ppm"}) {
    const Bytes whole = encoded(ending, quarters(40, 100, 160, 220));
    for (int round = 0; round < 150; ++round) {
      Bytes changed = whole;
      random = random * 1664525 + 1013904223;
      changed[(random >> 8) % std::min<std::size_t>(changed.size(), 400)] =
          static_cast<std::uint8_t>(random >> 24);
      failure(changed);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
