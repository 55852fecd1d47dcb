// Makes libtorch in this process what a job's numerics say, the same for a worker's first job and
// its tenth. Stage's thread.
#pragma once

#include <cstdint>

#include "pipeline/stage.hpp"

namespace cifarpipe {

/// Threads, generators, caches and modes back to a fresh start. Throws Error (environment) if this
/// worker cannot compute with them.
void reset_numerics(const Numerics& numerics, std::uint64_t seed);

}  // namespace cifarpipe
