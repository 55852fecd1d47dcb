// Which training images become the validation or the test split: a fixed share of every class,
// chosen by the seed. Pure function: any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cifarpipe::preprocess {

/// One flag an image. In all round(fraction x images) are true, and of each class its share, up or
/// down to a whole number. `classes` are the names; a label is a place in it. Throws an Error when
/// nothing would be left of a class to train on; `parameter` is what it calls the fraction.
std::vector<bool> choose_share(std::span<const std::int32_t> labels,
                               const std::vector<std::string>& classes, double fraction,
                               std::uint64_t seed, const std::string& parameter = "validation");

}  // namespace cifarpipe::preprocess
