// Which training images become the validation split: a fixed share of every class, chosen by the
// seed. Pure function: any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace cifarpipe::preprocess {

/// One flag an image. In all round(fraction x images) are true, and of each class its share, up or
/// down to a whole number. Throws an Error when nothing would be left of a class to train on.
std::vector<bool> choose_validation(std::span<const std::uint8_t> labels, int classes,
                                    double fraction, std::uint64_t seed);

}  // namespace cifarpipe::preprocess
