#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include <numeric>
#include <set>

#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(augmentation)

constexpr Augmentation kReference{4, 0.5};

struct Images {
  Images(int height, int width, int channels) : height(height), width(width), channels(channels) {
    const CounterRandom random(3, Purpose::shuffle);
    for (int i = 0; i < 6 * height * width * channels; ++i) {
      pixels.push_back(static_cast<std::uint8_t>(random.below(static_cast<std::uint64_t>(i), 256)));
    }
    view.count = 6;
    view.images = pixels;
    view.labels = labels;
    view.index = labels;
  }
  BatchMaker maker(bool bf16 = false, bool channels_last = true) const {
    std::vector<double> mean(static_cast<std::size_t>(channels), 0.4);
    std::vector<double> std(static_cast<std::size_t>(channels), 0.2);
    mean[0] = 0.5;
    return BatchMaker({height, width, channels, mean, std, bf16, channels_last});
  }
  /// What the pixel (y, x) of an augmented image must be, said in the plainest way.
  float expected(int row, int c, int y, int x, const Draw& draw, int padding) const {
    const int from_x = (draw.flip ? width - 1 - x : x) + draw.left - padding;
    const int from_y = y + draw.top - padding;
    float value = 0;  // black, before normalisation
    if (from_x >= 0 && from_x < width && from_y >= 0 && from_y < height) {
      value = pixels[static_cast<std::size_t>(
          ((row * height + from_y) * width + from_x) * channels + c)];
    }
    return (value / 255.0F - (c == 0 ? 0.5F : 0.4F)) / 0.2F;
  }

  int height, width, channels;
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> labels = {5, 4, 3, 2, 1, 0};
  SplitView view;
};

BOOST_AUTO_TEST_CASE(draws_are_a_pure_function_of_seed_epoch_and_row) {
  const Draw draw = draw_augmentation(kReference, 32, 32, 42, 3, 1234);
  draw_augmentation(kReference, 32, 32, 1, 1, 1);
  BOOST_TEST((draw == draw_augmentation(kReference, 32, 32, 42, 3, 1234)));
  int differ_by_seed = 0;
  int differ_by_epoch = 0;
  int differ_by_row = 0;
  for (int row = 0; row < 100; ++row) {
    const Draw here = draw_augmentation(kReference, 32, 32, 42, 3, row);
    differ_by_seed += here == draw_augmentation(kReference, 32, 32, 43, 3, row) ? 0 : 1;
    differ_by_epoch += here == draw_augmentation(kReference, 32, 32, 42, 4, row) ? 0 : 1;
    differ_by_row += here == draw_augmentation(kReference, 32, 32, 42, 3, row + 1) ? 0 : 1;
  }
  BOOST_TEST(differ_by_seed > 90);
  BOOST_TEST(differ_by_epoch > 90);
  BOOST_TEST(differ_by_row > 90);
}

BOOST_AUTO_TEST_CASE(draws_are_pinned) {
  // A seed must mean the same in every later version.
  const CounterRandom random(42, Purpose::augment, 3);
  BOOST_TEST(random.bits(0) == 7604911826124805788U);
  BOOST_TEST(random.bits(1) == 12845710389531237799U);
}

BOOST_AUTO_TEST_CASE(draws_are_spread_evenly) {
  std::vector<int> tops(9);
  std::vector<int> lefts(9);
  int flips = 0;
  for (int row = 0; row < 9000; ++row) {
    const Draw draw = draw_augmentation(kReference, 32, 32, 1, 0, row);
    ++tops[static_cast<std::size_t>(draw.top)];
    ++lefts[static_cast<std::size_t>(draw.left)];
    flips += draw.flip ? 1 : 0;
  }
  for (const int count : tops) BOOST_TEST(std::abs(count - 1000) < 150);
  for (const int count : lefts) BOOST_TEST(std::abs(count - 1000) < 150);
  BOOST_TEST(std::abs(flips - 4500) < 200);
  BOOST_TEST(!draw_augmentation({4, 0}, 32, 32, 1, 0, 7).flip);
  BOOST_TEST(draw_augmentation({4, 1}, 32, 32, 1, 0, 7).flip);
}

BOOST_AUTO_TEST_CASE(pixels_are_cropped_flipped_and_normalised) {
  const std::vector<std::int32_t> rows = {3, 0, 5, 1};
  for (const auto& [height, width, channels, padding] :
       {std::tuple(8, 8, 3, 4), std::tuple(8, 16, 1, 2), std::tuple(5, 4, 2, 9),
        std::tuple(8, 8, 3, 0)}) {
    const Images images(height, width, channels);
    const Augmentation augmentation{padding, 0.5};
    for (int epoch = 0; epoch < 20; ++epoch) {
      const at::Tensor batch =
          images.maker().augmented(images.view, rows, augmentation, 9, epoch).contiguous();
      const auto* value = batch.const_data_ptr<float>();
      int wrong = 0;
      for (const int row : rows) {
        const Draw draw = draw_augmentation(augmentation, height, width, 9, epoch, row);
        for (int c = 0; c < channels; ++c) {
          for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
              wrong += *value++ == images.expected(row, c, y, x, draw, padding) ? 0 : 1;
            }
          }
        }
      }
      BOOST_TEST(wrong == 0);
    }
  }
}

BOOST_AUTO_TEST_CASE(a_batch_does_not_depend_on_threads_or_neighbours) {
  const Images images(8, 8, 3);
  std::vector<std::int32_t> rows(200);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::int32_t>(i % 6);
  const BatchMaker maker = images.maker();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = maker.augmented(images.view, rows, kReference, 5, 2);
  at::set_num_threads(2);
  const at::Tensor two = maker.augmented(images.view, rows, kReference, 5, 2);
  at::set_num_threads(threads);
  BOOST_TEST(one.equal(two));
  const at::Tensor alone =
      maker.augmented(images.view, std::span(rows).subspan(3, 1), kReference, 5, 2);
  BOOST_TEST(alone[0].equal(one[3]));
}

BOOST_AUTO_TEST_CASE(formats_hold_the_same_values) {
  const Images images(8, 8, 3);
  const std::vector<std::int32_t> rows = {2, 4};
  const at::Tensor last = images.maker().plain(images.view, rows);
  BOOST_TEST(last.is_contiguous(at::MemoryFormat::ChannelsLast));
  const at::Tensor first = images.maker(false, false).plain(images.view, rows);
  BOOST_TEST(first.is_contiguous());
  BOOST_TEST(first.equal(last));
  const at::Tensor bf16 = images.maker(true).plain(images.view, rows);
  BOOST_TEST(bf16.equal(last.to(at::kBFloat16)));
  BOOST_TEST(BatchMaker::labels(images.view, rows).equal(at::tensor({3, 1}, at::kLong)));
}

BOOST_AUTO_TEST_CASE(each_epoch_has_its_permutation) {
  const auto rows = shuffled_rows(42, 0, 1000);
  BOOST_TEST(rows == shuffled_rows(42, 0, 1000));
  BOOST_TEST((rows != shuffled_rows(42, 1, 1000)));
  BOOST_TEST((rows != shuffled_rows(43, 0, 1000)));
  BOOST_TEST(std::set<std::int32_t>(rows.begin(), rows.end()).size() == 1000U);
  BOOST_TEST(*std::max_element(rows.begin(), rows.end()) == 999);
  // Where the first image goes is even over seeds.
  double sum = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) sum += shuffled_rows(seed, 0, 10)[0];
  BOOST_TEST(std::abs(sum / 1000 - 4.5) < 0.4);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
