// The synthetic data: the same bytes everywhere. A hash that changes here changes everybody's
// results: raise the revision of the stage `download` with it.
#include "stages/download/synthetic.hpp"

#include <array>

#include "pipeline/digest.hpp"
#include "stages/download/counter_random.hpp"
#include "stages/download/scene.hpp"
#include "stages/download/shapes.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::download;
using namespace cifarpipe::test;

namespace {

constexpr std::size_t kRecord = 3073;

void nothing(std::int64_t) {}

}  // namespace

BOOST_AUTO_TEST_SUITE(synthetic)

BOOST_AUTO_TEST_CASE(pinned_bytes) {
  const TempDir temp;
  write_synthetic(temp.path(), {6000, 2000, 1}, nothing);
  BOOST_CHECK_EQUAL(combined_digest(digest_tree(temp.path())),
                    "fc4828754b3008e7d333148398979c3aa14d2b03a5a6e0fb0055e8a4b9957cc1");
}

BOOST_AUTO_TEST_CASE(layout) {
  const TempDir temp;
  std::int64_t last = 0;
  write_synthetic(temp.path(), {101, 20, 7}, [&](std::int64_t done) { last = done; });
  BOOST_CHECK_EQUAL(last, 121);
  const auto files = tree(temp.path());
  BOOST_CHECK_EQUAL(files.size(), 7u);
  std::string train;
  for (int i = 1; i <= 5; ++i) {
    train += files.at("data_batch_" + std::to_string(i) + ".bin");
  }
  BOOST_CHECK_EQUAL(train.size(), 101 * kRecord);
  BOOST_CHECK_EQUAL(files.at("test_batch.bin").size(), 20 * kRecord);
  BOOST_CHECK_EQUAL(files.at("batches.meta.txt").substr(0, 10), "disc\nring\n");
  // Ten in a row hold each class once, in the test file too.
  for (const std::string& part : {train, files.at("test_batch.bin")}) {
    for (std::size_t block = 0; block + 10 <= part.size() / kRecord; block += 10) {
      std::set<char> labels;
      for (std::size_t i = 0; i < 10; ++i) labels.insert(part[(block + i) * kRecord]);
      BOOST_CHECK_EQUAL(labels.size(), 10u);
    }
  }
  // Fewer images are the first of more, another seed gives others.
  const TempDir more;
  write_synthetic(more.path(), {200, 20, 7}, nothing);
  BOOST_CHECK(tree(more.path()).at("test_batch.bin") == files.at("test_batch.bin"));
  BOOST_CHECK(tree(more.path()).at("data_batch_1.bin").substr(0, 20 * kRecord) ==
              train.substr(0, 20 * kRecord));
  const TempDir other;
  write_synthetic(other.path(), {101, 20, 8}, nothing);
  BOOST_CHECK(tree(other.path()).at("test_batch.bin") != files.at("test_batch.bin"));
}

BOOST_AUTO_TEST_CASE(colour_does_not_give_the_class_away) {
  // Guessing by the mean colour alone: the class whose mean colour is the nearest.
  constexpr int kImages = 2000;
  std::vector<std::array<double, 3>> colours(kImages);
  double centre[10][3] = {};
  for (int i = 0; i < kImages; ++i) {
    const ScenePixels pixels = draw_scene(3, static_cast<std::uint64_t>(i), i % 10);
    for (std::size_t k = 0; k < pixels.size(); ++k) {
      colours[static_cast<std::size_t>(i)][k / 1024] += pixels[k] / 1024.0;
      centre[i % 10][k / 1024] += pixels[k] / 1024.0 / (kImages / 10);
    }
  }
  int right = 0;
  for (int i = 0; i < kImages; ++i) {
    int best = 0;
    double best_distance = 1e9;
    for (int label = 0; label < 10; ++label) {
      double distance = 0;
      for (std::size_t c = 0; c < 3; ++c) {
        const double d = colours[static_cast<std::size_t>(i)][c] - centre[label][c];
        distance += d * d;
      }
      if (distance < best_distance) {
        best = label;
        best_distance = distance;
      }
    }
    if (best == i % 10) ++right;
  }
  BOOST_CHECK_LT(right, kImages / 4);
}

BOOST_AUTO_TEST_CASE(shapes) {
  int area[10] = {};
  for (int label = 0; label < 10; ++label) {
    for (int y = -1300; y <= 1300; y += 10) {
      for (int x = -1300; x <= 1300; x += 10) {
        if (!inside_shape(label, x, y)) continue;
        ++area[label];
        BOOST_CHECK_LE(x * x + y * y, kShapeReach * kShapeReach);
      }
    }
    BOOST_CHECK_GT(area[label], 100 * 100);
  }
  BOOST_CHECK(!inside_shape(1, 0, 0));    // A ring has a hole,
  BOOST_CHECK(inside_shape(0, 0, 0));     // a disc has not,
  BOOST_CHECK(!inside_shape(9, 600, 0));  // and an hourglass a waist.
  BOOST_CHECK_EQUAL(sine(64), 16384);
  BOOST_CHECK_EQUAL(sine(-64), -16384);
  BOOST_CHECK_EQUAL(cosine(128), -16384);
  for (int a = 0; a < 256; ++a) {
    const int square = sine(a) * sine(a) / 16384 + cosine(a) * cosine(a) / 16384;
    BOOST_CHECK_LE(std::abs(square - 16384), 2);
  }
}

BOOST_AUTO_TEST_CASE(draws) {
  Draws a(1, 2);
  Draws b(1, 2);
  Draws c(1, 3);
  const std::uint64_t first = a.bits();
  BOOST_CHECK_EQUAL(first, b.bits());
  BOOST_CHECK_NE(first, c.bits());
  int counts[7] = {};
  for (int i = 0; i < 70000; ++i) ++counts[a.below(7)];
  for (const int count : counts) BOOST_CHECK_SMALL(count - 10000.0, 500.0);
}

BOOST_AUTO_TEST_CASE(stops_when_asked) {
  const TempDir temp;
  BOOST_CHECK_THROW(
      write_synthetic(temp.path(), {6000, 2000, 1}, [](std::int64_t) { throw Interrupted(); }),
      Interrupted);
}

BOOST_AUTO_TEST_SUITE_END()
