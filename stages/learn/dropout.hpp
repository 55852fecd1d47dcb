// Dropout whose mask is a pure function of a key and the element's place in memory: nothing to
// save for a resume, nothing serial, and the backward pass draws the mask again instead of
// keeping it (on processors). Computes on libtorch's threads; call on the stage's thread.
#pragma once

#include <ATen/core/Tensor.h>

#include "stages/learn/counter_random.hpp"

namespace cifarpipe::learn {

/// Zeroes each element with probability `p` (rounded to 1/65536; `key` is a CounterRandom's) and
/// scales the others so that the expectation stays. `x` must be dense; float or bfloat16.
at::Tensor dropout(const at::Tensor& x, double p, std::uint64_t key);

/// The same where `x` is not on the processor, with the device's own generator, set to `key`:
/// another mask, and as much a function of the key.
at::Tensor device_dropout(const at::Tensor& x, double p, std::uint64_t key);

}  // namespace cifarpipe::learn
