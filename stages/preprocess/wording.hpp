// Numbers and lists as sentences have them. Pure functions: any thread.
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstddef>
#include <string>
#include <vector>

#include "stages/learn/counted.hpp"

namespace cifarpipe::preprocess {

/// "1 image", "2 images", "2 classes".
inline std::string counted(std::size_t count, const std::string& what) {
  return learn::counted(static_cast<std::int64_t>(count), what);
}

/// All of them, or the first five "and 7 more": a sentence stays one that can be read.
inline std::string listed(std::vector<std::string> items, const std::string& between = ", ") {
  constexpr std::size_t kMost = 5;
  if (items.size() <= kMost) return fmt::format("{}", fmt::join(items, between));
  const std::size_t more = items.size() - kMost;
  items.resize(kMost);
  return fmt::format("{} and {} more", fmt::join(items, between), more);
}

}  // namespace cifarpipe::preprocess
