// Reads the records of CIFAR's binary files one by one, checking each. The files are mapped one at
// a time: memory does not grow with the data. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "stages/preprocess/cifar_layout.hpp"

namespace cifarpipe::preprocess {

struct Record {
  std::int64_t position = 0;  ///< In the official order of its split.
  int label = 0;
  /// Three planes of 32 x 32. Valid during the call.
  std::span<const std::uint8_t> planes;
};

/// How many records the files hold. Throws an Error with file and byte for one that ends within a
/// record.
std::int64_t count_records(const CifarLayout& layout,
                           const std::vector<std::filesystem::path>& files);

/// Calls `take` for the first `limit` records (0 = all) in order. Throws an Error with file and
/// byte for a label that is not a class. `take` may throw to stop.
void for_each_record(const CifarLayout& layout, const std::vector<std::filesystem::path>& files,
                     std::int64_t limit, const std::function<void(const Record&)>& take);

/// Three planes to red, green, blue of each pixel in turn.
void interleave(std::span<const std::uint8_t> planes, std::span<std::uint8_t> pixels);

}  // namespace cifarpipe::preprocess
