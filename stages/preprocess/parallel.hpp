// Blocks of work over threads, where each block writes what no other block writes: the result does
// not depend on how many threads there are.
#pragma once

#include <cstddef>
#include <functional>

namespace cifarpipe::preprocess {

/// Calls `work` once for each of `blocks` blocks, on up to `threads` threads, of which the calling
/// one is the first. `check` is called on the calling thread alone, with the share of the blocks
/// that are begun; when it throws, no further block is begun. The first exception comes through
/// after all threads have ended.
void for_each_block(std::size_t blocks, int threads, const std::function<void(std::size_t)>& work,
                    const std::function<void(double)>& check);

}  // namespace cifarpipe::preprocess
