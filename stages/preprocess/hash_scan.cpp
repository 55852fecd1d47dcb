#include "stages/preprocess/hash_scan.hpp"

#include <bit>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace cifarpipe::preprocess {
namespace {

// Unrelated images differ in more than a usual limit after half of the words: the rest is skipped.
constexpr std::size_t kFirstWords = kHashWords / 2;

/// `COUNT` is a popcount of 64 bits. A macro because a function compiled for a newer processor can
/// take in no function but one that is compiled for it too.
#define CIFARPIPE_SCAN_TILES(COUNT)                                                          \
  std::size_t found = 0;                                                                     \
  for (std::size_t t = 0; t < count; ++t) {                                                  \
    for (std::size_t lane = 0; lane < kTileHashes; ++lane) {                                 \
      std::uint32_t bits = 0;                                                                \
      for (std::size_t w = 0; w < kFirstWords; ++w) {                                        \
        bits += static_cast<std::uint32_t>(COUNT(query.words[w] ^ tiles[t].words[w][lane])); \
      }                                                                                      \
      if (bits > limit) continue;                                                            \
      for (std::size_t w = kFirstWords; w < kHashWords; ++w) {                               \
        bits += static_cast<std::uint32_t>(COUNT(query.words[w] ^ tiles[t].words[w][lane])); \
      }                                                                                      \
      if (bits > limit) continue;                                                            \
      hits[found++] = {static_cast<std::uint32_t>(t * kTileHashes + lane), bits};            \
    }                                                                                        \
  }                                                                                          \
  return found

std::size_t scan_baseline(const PerceptualHash& query, const HashTile* tiles, std::size_t count,
                          std::uint32_t limit, HashHit* hits) {
  CIFARPIPE_SCAN_TILES(std::popcount);
}

#if defined(__x86_64__)
__attribute__((target("popcnt"))) std::size_t scan_popcnt(const PerceptualHash& query,
                                                          const HashTile* tiles, std::size_t count,
                                                          std::uint32_t limit, HashHit* hits) {
  CIFARPIPE_SCAN_TILES(__builtin_popcountll);
}

__attribute__((target("avx512f,avx512vpopcntdq"))) std::size_t scan_avx512(
    const PerceptualHash& query, const HashTile* tiles, std::size_t count, std::uint32_t limit,
    HashHit* hits) {
  __m512i own[kHashWords];
  for (std::size_t w = 0; w < kHashWords; ++w) {
    own[w] = _mm512_set1_epi64(static_cast<long long>(query.words[w]));
  }
  const __m512i most = _mm512_set1_epi64(limit);
  std::size_t found = 0;
  for (std::size_t t = 0; t < count; ++t) {
    __m512i bits = _mm512_setzero_si512();
    for (std::size_t w = 0; w < kFirstWords; ++w) {
      const __m512i other = _mm512_load_si512(tiles[t].words[w]);
      bits = _mm512_add_epi64(bits, _mm512_popcnt_epi64(_mm512_xor_si512(own[w], other)));
    }
    if (_mm512_cmple_epu64_mask(bits, most) == 0) continue;
    for (std::size_t w = kFirstWords; w < kHashWords; ++w) {
      const __m512i other = _mm512_load_si512(tiles[t].words[w]);
      bits = _mm512_add_epi64(bits, _mm512_popcnt_epi64(_mm512_xor_si512(own[w], other)));
    }
    unsigned near = _mm512_cmple_epu64_mask(bits, most);
    if (near == 0) continue;
    alignas(64) std::uint64_t sums[kTileHashes];
    _mm512_store_si512(sums, bits);
    for (; near != 0; near &= near - 1) {
      const auto lane = static_cast<std::size_t>(__builtin_ctz(near));
      hits[found++] = {static_cast<std::uint32_t>(t * kTileHashes + lane),
                       static_cast<std::uint32_t>(sums[lane])};
    }
  }
  return found;
}
#endif

#undef CIFARPIPE_SCAN_TILES

}  // namespace

std::vector<HashTile> tile_hashes(std::span<const PerceptualHash> hashes) {
  std::vector<HashTile> tiles((hashes.size() + kTileHashes - 1) / kTileHashes);
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    for (std::size_t w = 0; w < kHashWords; ++w) {
      tiles[i / kTileHashes].words[w][i % kTileHashes] = hashes[i].words[w];
    }
  }
  return tiles;
}

std::vector<HashScan> hash_scans() {
  std::vector<HashScan> scans = {scan_baseline};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("popcnt")) scans.push_back(scan_popcnt);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq")) {
    scans.push_back(scan_avx512);
  }
#endif
  return scans;
}

}  // namespace cifarpipe::preprocess
