// Which images of a dataset stand in it twice, within a split or in two: equal to the last byte
// (exact), or alike by their perceptual hashes (near). Every pair is compared; what is kept of
// them is the nearest partner that an image has in each split, so that a thousand equal images are
// a thousand lines and not half a million. One thread calls; the work is spread over several.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "stages/learn/dataset_file.hpp"

namespace cifarpipe::preprocess {

/// An image, by its split (place in learn::kSplitNames) and its place in that.
struct ImagePlace {
  std::size_t split = 0;
  std::int64_t place = 0;
  friend auto operator<=>(const ImagePlace&, const ImagePlace&) = default;
};

/// An image and its nearest partner in one of the splits, its own included.
struct Duplicate {
  ImagePlace image;
  ImagePlace partner;
  bool exact = false;
  int distance = 0;  ///< Bits of the hash; see perceptual_hash.hpp.
  std::int32_t index = 0;
  std::int32_t partner_index = 0;
  std::int32_t label = 0;
  std::int32_t partner_label = 0;
};

/// Images that have a partner in some split.
struct DuplicateCount {
  std::int64_t exact = 0;
  std::int64_t near = 0;
  std::int64_t conflicts = 0;  ///< Of both, those whose nearest partner has another label.
  std::int64_t all() const { return exact + near; }
};

struct Duplicates {
  /// In the order of the images, and for each in that of the partner's split. Partners go both
  /// ways: an image that is anyone's partner has a line of its own.
  std::vector<Duplicate> found;
  /// [split of the image][split of the partner], as in learn::kSplitNames.
  std::array<std::array<DuplicateCount, 3>, 3> counts{};
};

/// `distance` in bits of kHashBits (grey images have fewer, and count in proportion): 0 finds equal
/// hashes only, and -1 only equal images. Among partners equally near the first one counts. Images
/// without structure are compared byte by byte alone. Time grows with the square of the number of
/// different images; memory with the number. `check` is called on this thread, again and again,
/// with the share of the work that is done, and may throw to end it. The same result for any
/// number of threads.
Duplicates find_duplicates(const learn::DatasetReader& data, int distance, int threads,
                           const std::function<void(double)>& check);

}  // namespace cifarpipe::preprocess
