// Augmented batches are what PyTorch's operations make of the same draws. The expected numbers come
// from tests/parity/make_augmentation.py.
#include <cmath>

#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(augmentation_parity)

constexpr std::int64_t kHeight = 5;
constexpr std::int64_t kWidth = 6;
constexpr std::int64_t kImages = 3;

const std::vector<std::vector<float>>& expected() {
  static const std::vector<std::vector<float>> all = {
#include "tests/parity/augmentation.inc"
  };
  return all;
}

/// make_augmentation.py's images.
std::vector<std::uint8_t> pixels() {
  std::vector<std::uint8_t> made;
  for (int i = 0; i < kImages * kHeight * kWidth * 3; ++i) {
    made.push_back(static_cast<std::uint8_t>((i * 7919 + i / 5 * 1047) % 256));
  }
  return made;
}

void compare(std::size_t number, const Augmentation& augmentation) {
  const std::vector<std::uint8_t> images = pixels();
  const std::vector<std::int32_t> labels(kImages);
  const std::vector<std::int32_t> rows = {0, 1, 2};
  const SplitView split{kImages, images, labels, labels};
  const BatchMaker maker({kHeight, kWidth, 3, {0.5, 0.4, 0.3}, {0.2, 0.25, 0.3}});
  const at::Tensor batch = maker.augmented(split, rows, augmentation, 9, 1).contiguous();
  const auto& want = expected()[number];
  BOOST_REQUIRE(static_cast<std::size_t>(batch.numel()) == want.size());
  const float* have = batch.const_data_ptr<float>();
  float worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    worst = std::max(worst, std::abs(have[i] - want[i]));
  }
  BOOST_TEST(worst < 2e-5F);
}

BOOST_AUTO_TEST_CASE(black_padding_crop_and_flip) {
  compare(0, {.padding = 2});
}

BOOST_AUTO_TEST_CASE(mirrored_padding_and_alternating_flips) {
  compare(1, {.padding = 2, .reflect = true, .alternate = true});
}

BOOST_AUTO_TEST_CASE(cutout) {
  compare(2, {.padding = 1, .cutout = 3});
}

BOOST_AUTO_TEST_CASE(colour_jitter) {
  compare(3,
          {.padding = 1, .reflect = true, .brightness = 0.4, .contrast = 0.4, .saturation = 0.4});
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
