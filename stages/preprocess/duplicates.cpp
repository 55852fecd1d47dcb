#include "stages/preprocess/duplicates.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <numeric>
#include <optional>

#include "stages/learn/counter_random.hpp"
#include "stages/preprocess/hash_scan.hpp"
#include "stages/preprocess/parallel.hpp"
#include "stages/preprocess/perceptual_hash.hpp"

namespace cifarpipe::preprocess {
namespace {

constexpr std::size_t kSplits = learn::kSplitNames.size();
constexpr std::uint32_t kNobody = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint64_t kNothing = std::numeric_limits<std::uint64_t>::max();
constexpr std::size_t kImagesOfABlock = 256;
constexpr std::size_t kQueriesOfABlock = 64;
constexpr std::size_t kTilesAtATime = 256;  // 128 KiB: they stay in the processor's second cache.

/// Images that are equal to the last byte. Members are places in the whole order: split after
/// split.
struct Group {
  std::uint32_t lead = kNobody;  ///< The first of all.
  /// The first two of each split: an image's equal in its own split is the one that it is not.
  std::array<std::array<std::uint32_t, 2>, kSplits> first;

  Group() {
    for (auto& two : first) two.fill(kNobody);
  }
  void add(std::uint32_t image, std::size_t split) {
    if (lead == kNobody) lead = image;
    for (std::uint32_t& place : first[split]) {
      if (place != kNobody) continue;
      place = image;
      return;
    }
  }
};

/// Not a digest to trust: equal ones are compared byte by byte.
std::uint64_t mix_bytes(std::span<const std::uint8_t> bytes) {
  std::uint64_t sum = bytes.size();
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    sum = learn::mix_bits(sum ^ word);
  }
  for (; at < bytes.size(); ++at) sum = learn::mix_bits(sum ^ bytes[at]);
  return sum;
}

class Search {
 public:
  Search(const learn::DatasetReader& data, int distance, int threads,
         const std::function<void(double)>& check)
      : data_(data), distance_(distance), threads_(threads), check_(check) {
    for (std::size_t s = 0; s < kSplits; ++s) {
      if (data.has(learn::kSplitNames[s])) splits_[s] = data.split(learn::kSplitNames[s]);
      begins_[s + 1] = begins_[s] + static_cast<std::size_t>(splits_[s].count);
    }
    if (begins_.back() >= kNobody) throw Error("too many images to search for duplicates");
  }

  Duplicates run() {
    look_at_images();
    group_equal_images();
    if (distance_ >= 0) compare_groups();
    return list();
  }

 private:
  std::size_t images() const { return begins_.back(); }

  ImagePlace place(std::size_t image) const {
    std::size_t split = 0;
    while (image >= begins_[split + 1]) ++split;
    return {split, static_cast<std::int64_t>(image - begins_[split])};
  }

  std::span<const std::uint8_t> pixels(std::size_t image) const {
    const ImagePlace at = place(image);
    const auto size = static_cast<std::size_t>(data_.info().image_bytes());
    return splits_[at.split].images.subspan(static_cast<std::size_t>(at.place) * size, size);
  }

  void look_at_images() {
    sums_.resize(images());
    hashes_.resize(images());
    for_each_block((images() + kImagesOfABlock - 1) / kImagesOfABlock, threads_,
                   [this](std::size_t block) {
                     const auto& info = data_.info();
                     PerceptualHasher hash(info.height, info.width, info.channels);
                     const std::size_t end = std::min(images(), (block + 1) * kImagesOfABlock);
                     for (std::size_t i = block * kImagesOfABlock; i < end; ++i) {
                       sums_[i] = mix_bytes(pixels(i));
                       if (distance_ >= 0) hashes_[i] = hash(pixels(i));
                     }
                   },
                   [this](double) { check_(0); });
  }

  void group_equal_images() {
    std::vector<std::uint32_t> order(images());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [this](std::uint32_t a, std::uint32_t b) {
      return sums_[a] != sums_[b] ? sums_[a] < sums_[b] : a < b;
    });
    group_of_.resize(images());
    std::vector<std::uint32_t> lead_of(images());
    std::vector<std::uint32_t> leads;  // Of one sum: more than one only by chance.
    for (std::size_t i = 0; i < order.size(); ++i) {
      const std::uint32_t image = order[i];
      if (i == 0 || sums_[image] != sums_[order[i - 1]]) leads.clear();
      const auto lead = std::find_if(leads.begin(), leads.end(), [&](std::uint32_t other) {
        return std::ranges::equal(pixels(image), pixels(other));
      });
      lead_of[image] = lead == leads.end() ? image : *lead;
      if (lead == leads.end()) leads.push_back(image);
    }
    for (std::uint32_t image = 0; image < images(); ++image) {  // A lead comes before its group.
      if (lead_of[image] == image) {
        group_of_[image] = static_cast<std::uint32_t>(groups_.size());
        groups_.emplace_back();
      }
      group_of_[image] = group_of_[lead_of[image]];
      groups_[group_of_[image]].add(image, place(image).split);
    }
  }

  /// Fills nearest_: for a group and a split, distance * 2^32 + the other group, the least.
  void compare_groups() {
    std::vector<PerceptualHash> hashes;
    for (std::uint32_t g = 0; g < groups_.size(); ++g) {
      if (hashes_[groups_[g].lead].flat) continue;
      structured_.push_back(g);
      hashes.push_back(hashes_[groups_[g].lead]);
    }
    std::array<std::uint64_t, kSplits> nothing;
    nothing.fill(kNothing);
    nearest_.assign(groups_.size(), nothing);
    const std::vector<HashTile> tiles = tile_hashes(hashes);
    const std::size_t blocks = (hashes.size() + kQueriesOfABlock - 1) / kQueriesOfABlock;
    for_each_block(
        blocks, threads_, [&](std::size_t block) { compare_block(block, hashes, tiles); },
        // Early queries have more others after them.
        [this](double begun) { check_(begun * (2 - begun)); });
  }

  void compare_block(std::size_t block, const std::vector<PerceptualHash>& hashes,
                     const std::vector<HashTile>& tiles) {
    const HashScan scan = hash_scans().back();
    const auto limit = static_cast<std::uint32_t>(std::min(distance_, kHashBits) *
                                                  hash_bits(data_.info().channels) / kHashBits);
    std::vector<HashHit> hits(kTilesAtATime * kTileHashes);
    const std::size_t begin = block * kQueriesOfABlock;
    const std::size_t end = std::min(hashes.size(), begin + kQueriesOfABlock);
    for (std::size_t t = begin / kTileHashes; t < tiles.size(); t += kTilesAtATime) {
      const std::size_t count = std::min(kTilesAtATime, tiles.size() - t);
      for (std::size_t query = begin; query < end; ++query) {
        const std::size_t found = scan(hashes[query], &tiles[t], count, limit, hits.data());
        for (std::size_t h = 0; h < found; ++h) {
          const std::size_t other = t * kTileHashes + hits[h].position;
          if (other <= query || other >= hashes.size()) continue;
          note(structured_[query], structured_[other], hits[h].distance);
          note(structured_[other], structured_[query], hits[h].distance);
        }
      }
    }
  }

  /// Several threads may come at the same group; the least of all is the same in any order.
  void note(std::uint32_t group, std::uint32_t other, std::uint32_t distance) {
    const std::uint64_t key = std::uint64_t{distance} << 32 | other;
    for (std::size_t s = 0; s < kSplits; ++s) {
      if (groups_[other].first[s][0] == kNobody) continue;
      const std::atomic_ref<std::uint64_t> least(nearest_[group][s]);
      std::uint64_t old = least.load(std::memory_order_relaxed);
      while (key < old && !least.compare_exchange_weak(old, key, std::memory_order_relaxed)) {
      }
    }
  }

  Duplicates list() const {
    Duplicates result;
    for (std::uint32_t image = 0; image < images(); ++image) {
      for (std::size_t s = 0; s < kSplits; ++s) {
        const auto found = partner(image, s);
        if (!found) continue;
        auto& count = result.counts[found->image.split][s];
        ++(found->exact ? count.exact : count.near);
        if (found->label != found->partner_label) ++count.conflicts;
        result.found.push_back(*found);
      }
    }
    return result;
  }

  std::optional<Duplicate> partner(std::uint32_t image, std::size_t split) const {
    Duplicate found;
    const std::uint32_t group = group_of_[image];
    const auto& equal = groups_[group].first[split];
    std::uint32_t other = equal[0] == image ? equal[1] : equal[0];
    found.exact = other != kNobody;
    if (!found.exact) {
      if (nearest_.empty() || nearest_[group][split] == kNothing) return std::nullopt;
      const std::uint64_t key = nearest_[group][split];
      found.distance = static_cast<int>(key >> 32);
      other = groups_[key & 0xffffffffU].first[split][0];
    }
    found.image = place(image);
    found.partner = place(other);
    const auto own = static_cast<std::size_t>(found.image.place);
    const auto its = static_cast<std::size_t>(found.partner.place);
    found.index = splits_[found.image.split].index[own];
    found.label = splits_[found.image.split].labels[own];
    found.partner_index = splits_[split].index[its];
    found.partner_label = splits_[split].labels[its];
    return found;
  }

  const learn::DatasetReader& data_;
  int distance_;
  int threads_;
  const std::function<void(double)>& check_;
  std::array<learn::SplitView, kSplits> splits_{};
  std::array<std::size_t, kSplits + 1> begins_{};
  std::vector<std::uint64_t> sums_;
  std::vector<PerceptualHash> hashes_;
  std::vector<Group> groups_;
  std::vector<std::uint32_t> group_of_;
  std::vector<std::uint32_t> structured_;  ///< Groups whose hash says something.
  std::vector<std::array<std::uint64_t, kSplits>> nearest_;
};

}  // namespace

Duplicates find_duplicates(const learn::DatasetReader& data, int distance, int threads,
                           const std::function<void(double)>& check) {
  return Search(data, distance, threads, check).run();
}

}  // namespace cifarpipe::preprocess
