// Which image of a source goes into which split of the dataset. Pure function: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "stages/preprocess/image_source.hpp"

namespace cifarpipe::preprocess {

struct SplitOptions {
  double test = 0;        ///< Share of the training images, where the source has no test split.
  double validation = 0;  ///< The same for validation, of what is left.
  std::int64_t limit_train = 0;
  std::int64_t limit_test = 0;
};

/// One image on its way.
struct Item {
  std::size_t split = 0;  ///< Of the source.
  std::size_t image = 0;
  std::size_t target = 0;  ///< Place in learn::kSplitNames.
};

struct SplitPlan {
  std::vector<Item> items;  ///< Training and validation images, then test images, by their numbers.
  std::array<bool, 3> present{};  ///< Of learn::kSplitNames.
};

/// Throws an Error of usage for a share of what the source has already or that is no image, and
/// when there would be nothing to judge a model by.
SplitPlan plan_splits(const ImageSource& source, const SplitOptions& options, std::uint64_t seed);

}  // namespace cifarpipe::preprocess
