// One hash against many: the innermost loop of the search for duplicates, in the best form that the
// processor runs. Plain memory in and out; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "stages/preprocess/perceptual_hash.hpp"

namespace cifarpipe::preprocess {

inline constexpr std::size_t kTileHashes = 8;

/// Eight hashes, word by word, so that one vector holds the same word of all of them.
struct alignas(64) HashTile {
  std::uint64_t words[kHashWords][kTileHashes] = {};
};

/// In the same order; the last tile is filled up with hashes of zeros.
std::vector<HashTile> tile_hashes(std::span<const PerceptualHash> hashes);

struct HashHit {
  std::uint32_t position;  ///< 8 * tile + place in it.
  std::uint32_t distance;  ///< Bits.
};

/// Writes the hashes of `count` tiles that lie within `limit` bits of `query`, in their order, and
/// returns how many there are. `hits` has room for 8 * count.
using HashScan = std::size_t (*)(const PerceptualHash& query, const HashTile* tiles,
                                 std::size_t count, std::uint32_t limit, HashHit* hits);

/// The quickest one is the last. All of them give the same.
std::vector<HashScan> hash_scans();

}  // namespace cifarpipe::preprocess
