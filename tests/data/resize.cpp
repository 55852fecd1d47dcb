// Resizing against Pillow's, bit for bit: digests of images that a formula gives, from
// tests/parity/make_resize.py.
#include "stages/vision/resize.hpp"

#include "pipeline/digest.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::test;
using namespace cifarpipe::vision;

namespace {

struct Case {
  int width;
  int height;
  int channels;
  int to_width;
  int to_height;
  std::string sha256;
};

#include "tests/parity/resize.inc"

/// The same as in make_resize.py.
Image formula(int width, int height, int channels) {
  Image image{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        const int noise = (x * 7919 + y * 104729 + c * 1299709) % 65521 * 31 % 256;
        const int edges = (x / 3 + y / 5 + c) % 2 * 255;
        image.pixels.push_back(static_cast<std::uint8_t>((x + y) % 4 < 2 ? noise : edges));
      }
    }
  }
  return image;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(resize)

BOOST_AUTO_TEST_CASE(equals_pillow) {
  const Image small = fitted(formula(9, 6, 1), 4, 4);
  BOOST_CHECK_EQUAL_COLLECTIONS(small.pixels.begin(), small.pixels.end(), kSmall.begin(),
                                kSmall.end());
  for (const Case& c : kCases) {
    const Image image = fitted(formula(c.width, c.height, c.channels), c.to_width, c.to_height);
    BOOST_CHECK_EQUAL(image.width, c.to_width);
    BOOST_CHECK_EQUAL(image.height, c.to_height);
    const std::string text(image.pixels.begin(), image.pixels.end());
    BOOST_CHECK_MESSAGE(sha256(text) == c.sha256, c.width << " x " << c.height << " to "
                                                          << c.to_width << " x " << c.to_height
                                                          << " differs from Pillow's");
  }
}

BOOST_AUTO_TEST_CASE(what_fits_is_left_alone) {
  const Image image = formula(32, 24, 3);
  BOOST_CHECK(fitted(image, 32, 24).pixels == image.pixels);
}

BOOST_AUTO_TEST_CASE(what_is_beside_is_grey) {
  const Image image = fitted(Image{2, 1, 3, std::vector<std::uint8_t>(6, 200)}, 4, 4);
  for (int y = 0; y < 4; ++y) {
    const bool inside = y == 1 || y == 2;
    for (int i = 0; i < 12; ++i)
      BOOST_CHECK_EQUAL(image.pixels[static_cast<std::size_t>(y * 12 + i)], inside ? 200 : 128);
  }
}

BOOST_AUTO_TEST_CASE(grey_is_weighted_as_eyes_see) {
  // Pillow's "L" of pure red, green, blue, white.
  const Image rgb{4, 1, 3, {255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255}};
  BOOST_CHECK((with_channels(rgb, 1).pixels == std::vector<std::uint8_t>{76, 150, 29, 255}));
}

BOOST_AUTO_TEST_SUITE_END()
