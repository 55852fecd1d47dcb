#include "stages/download/synthetic.hpp"

#include <array>
#include <string>
#include <utility>

#include "stages/download/counter_random.hpp"
#include "stages/download/scene.hpp"
#include "stages/download/shapes.hpp"
#include "stages/learn/files.hpp"

namespace cifarpipe::download {
namespace {

constexpr std::int64_t kTrainFiles = 5;
// Test images are other members of the same family, however many training images there are. A
// multiple of ten, so that they too begin with a whole shuffle.
constexpr std::uint64_t kFirstTestImage = 10'000'000'000u;
constexpr std::uint64_t kLabelStream = std::uint64_t{1} << 48;

/// The label of an image: each block of ten is a shuffle of the ten classes.
int label_of(std::uint64_t seed, std::uint64_t index) {
  std::array<int, kShapeNames.size()> order;
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  Draws draws(seed, kLabelStream + index / order.size());
  for (std::size_t i = order.size() - 1; i > 0; --i) {
    std::swap(order[i], order[static_cast<std::size_t>(draws.below(static_cast<int>(i) + 1))]);
  }
  return order[index % order.size()];
}

}  // namespace

void write_synthetic(const std::filesystem::path& dir, const SyntheticOptions& options,
                     const std::function<void(std::int64_t done)>& progress) {
  std::int64_t done = 0;
  const auto write_images = [&](const std::string& name, std::uint64_t first, std::int64_t count) {
    learn::FileWriter file(dir / name);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::uint64_t index = first + static_cast<std::uint64_t>(i);
      const int label = label_of(options.seed, index);
      const ScenePixels pixels = draw_scene(options.seed, index, label);
      const auto byte = static_cast<std::uint8_t>(label);
      file.write(&byte, 1);
      file.write(pixels.data(), pixels.size());
      if (++done % 64 == 0) progress(done);
    }
    file.close();
  };
  for (std::int64_t f = 0; f < kTrainFiles; ++f) {
    const std::int64_t first = options.train_images * f / kTrainFiles;
    const std::int64_t end = options.train_images * (f + 1) / kTrainFiles;
    write_images("data_batch_" + std::to_string(f + 1) + ".bin", static_cast<std::uint64_t>(first),
                 end - first);
  }
  write_images("test_batch.bin", kFirstTestImage, options.test_images);
  std::string names;
  for (const std::string_view name : kShapeNames) names.append(name).append("\n");
  learn::write_text(dir / "batches.meta.txt", names);
  progress(done);
}

}  // namespace cifarpipe::download
