// Writes the synthetic data set: coloured shapes in ten classes, in the layout of CIFAR-10's binary
// archive. The same options give the same bytes on every machine; a test pins their SHA-256, so
// whatever changes them must raise the stage's revision. One thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

namespace cifarpipe::download {

struct SyntheticOptions {
  std::int64_t train_images = 6000;  ///< Spread over five files.
  std::int64_t test_images = 2000;
  std::uint64_t seed = 1;
};

/// Makes `dir`/data_batch_1.bin … data_batch_5.bin, test_batch.bin and batches.meta.txt. Every ten
/// images in a row hold each class once. `progress` is called now and then with the number of
/// images done; it may throw to stop.
void write_synthetic(const std::filesystem::path& dir, const SyntheticOptions& options,
                     const std::function<void(std::int64_t done)>& progress);

}  // namespace cifarpipe::download
