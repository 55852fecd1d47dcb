// What a hash stands and what it tells apart, and that every way to compare many gives the same.
#include "stages/preprocess/perceptual_hash.hpp"

#include "stages/preprocess/hash_scan.hpp"
#include "tests/data/photographs.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::preprocess;
using namespace cifarpipe::test;

namespace {

constexpr int kLimit = 64;  // The stage's default.

/// Each pixel becomes `down` x `across` equal ones.
std::vector<std::uint8_t> enlarged(const std::vector<std::uint8_t>& image, int down, int across) {
  std::vector<std::uint8_t> out;
  for (std::size_t y = 0; y < 32U * static_cast<std::size_t>(down); ++y) {
    for (std::size_t x = 0; x < 32U * static_cast<std::size_t>(across); ++x) {
      const std::size_t from =
          y / static_cast<std::size_t>(down) * 32 + x / static_cast<std::size_t>(across);
      for (std::size_t c = 0; c < 3; ++c) out.push_back(image[from * 3 + c]);
    }
  }
  return out;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(perceptual_hash)

BOOST_AUTO_TEST_CASE(stands_small_changes) {
  PerceptualHasher hash(32, 32, 3);
  for (unsigned i = 0; i < 20; ++i) {
    const auto image = photograph(i);
    const PerceptualHash own = hash(image);
    BOOST_CHECK(!own.flat);
    BOOST_CHECK_EQUAL(hash_distance(own, own), 0);
    BOOST_CHECK_LE(hash_distance(own, hash(changed(image, 1, 12, 0))), 20);     // Brighter.
    BOOST_CHECK_LE(hash_distance(own, hash(changed(image, 0.6, 30, 0))), 20);   // Fainter.
    BOOST_CHECK_LE(hash_distance(own, hash(changed(image, 1, 0, 8))), kLimit);  // Noise.
    BOOST_CHECK_LE(hash_distance(own, hash(moved(image, 32, 1))), kLimit);
  }
}

BOOST_AUTO_TEST_CASE(tells_images_apart) {
  PerceptualHasher hash(32, 32, 3);
  std::vector<PerceptualHash> hashes;
  for (unsigned i = 0; i < 100; ++i) hashes.push_back(hash(photograph(i)));
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      BOOST_CHECK_GT(hash_distance(hashes[i], hashes[j]), kLimit);
    }
  }
}

BOOST_AUTO_TEST_CASE(any_size_is_reduced_by_area) {
  const auto image = photograph(3);
  const PerceptualHash own = PerceptualHasher(32, 32, 3)(image);
  BOOST_CHECK(PerceptualHasher(64, 64, 3)(enlarged(image, 2, 2)) == own);
  BOOST_CHECK(PerceptualHasher(32, 128, 3)(enlarged(image, 1, 4)) == own);
  // Sizes that 32 does not divide, and smaller ones: the same picture, drawn at each size.
  for (const int side : {24, 45, 100}) {
    const auto other = PerceptualHasher(side, side, 3)(photograph(3, side));
    BOOST_CHECK_LE(hash_distance(own, other), 40);
  }
  BOOST_CHECK_LT(hash_distance(PerceptualHasher(1, 1, 1)(std::vector<std::uint8_t>{9}), own), 468);
  check_contains(message_of([] { PerceptualHasher(32, 32, 4); }), "only images of 1 or 3 channels");
}

BOOST_AUTO_TEST_CASE(grey_images_have_the_bits_of_their_luminance) {
  PerceptualHasher hash(32, 32, 1);
  const auto image = photograph(5, 32, 1);
  BOOST_CHECK_LE(hash_distance(hash(image), hash(changed(image, 0.8, 10, 2))), 30);
  BOOST_CHECK_GT(hash_distance(hash(image), hash(photograph(6, 32, 1))), 60);
  const auto inverse = changed(image, -1, 255, 0);
  BOOST_CHECK_GT(hash_distance(hash(image), hash(inverse)), 150);
  BOOST_CHECK_LE(hash_distance(hash(image), hash(inverse)), hash_bits(1));
}

BOOST_AUTO_TEST_CASE(flat_images_are_known) {
  PerceptualHasher hash(32, 32, 3);
  for (const int shade : {0, 1, 127, 255}) {
    const std::vector<std::uint8_t> flat(3072, static_cast<std::uint8_t>(shade));
    BOOST_CHECK(hash(flat).flat);
    BOOST_CHECK(hash(changed(flat, 1, 0, 1)).flat);
  }
  BOOST_CHECK(!hash(changed(photograph(1), 0.1, 100, 0)).flat);  // Faint, but an image.
}

BOOST_AUTO_TEST_CASE(every_scan_gives_the_same) {
  std::mt19937_64 random(1);
  std::vector<PerceptualHash> hashes(203);  // The last tile is not full.
  for (PerceptualHash& hash : hashes) {
    hash = hashes[random() % hashes.size()];  // Some are alike.
    for (std::uint64_t& word : hash.words) word ^= random() & random() & random();
  }
  const std::vector<HashTile> tiles = tile_hashes(hashes);
  BOOST_REQUIRE_EQUAL(tiles.size(), 26u);
  for (const HashScan scan : hash_scans()) {
    for (const std::uint32_t limit : {0U, 30U, 64U, 130U, 512U}) {
      for (const PerceptualHash& query : hashes) {
        std::vector<HashHit> hits(tiles.size() * kTileHashes);
        hits.resize(scan(query, tiles.data(), tiles.size(), limit, hits.data()));
        std::size_t next = 0;
        for (std::size_t i = 0; i < tiles.size() * kTileHashes; ++i) {
          const PerceptualHash other = i < hashes.size() ? hashes[i] : PerceptualHash{};
          const auto distance = static_cast<std::uint32_t>(hash_distance(query, other));
          if (distance > limit) continue;
          BOOST_REQUIRE_LT(next, hits.size());
          BOOST_REQUIRE_EQUAL(hits[next].position, i);
          BOOST_REQUIRE_EQUAL(hits[next++].distance, distance);
        }
        BOOST_REQUIRE_EQUAL(next, hits.size());
      }
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
