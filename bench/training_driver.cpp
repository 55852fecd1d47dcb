// Runs `learn` without pipelines or plugins: on a machine with only libtorch and a compiler, and
// for the comparison with the Python twin (training.py), which takes the same commands.
//
//   training_driver data DIR COUNT                      random images in CIFAR-10's shape
//   training_driver time DIR STEPS WARMUP PRECISION THREADS [ARCHITECTURE]
//       images per second, as JSON; without fusion where CIFARPIPE_NO_FUSION is set
//   training_driver batches DIR COUNT PRECISION   augmented batches alone, on one thread, as JSON
//   training_driver train DIR OUT EPOCHS PRECISION THREADS    trains and writes OUT/{model,last}
//   training_driver test DIR MODEL THREADS                    accuracy on the split 'test'
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "stages/learn/compute_scope.hpp"
#include "stages/learn/trainer.hpp"

namespace {

using namespace cifarpipe::learn;

/// Prints; never stops; keeps no checkpoints.
class PrintingHost : public TrainingHost {
 public:
  void metric(TrainMetric, std::int64_t, double) override {}
  void progress(double, double, std::string_view) override {}
  void info(std::string_view line) override {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
  }
  void warn(std::string_view line) override { info(line); }
  void mistakes(std::int64_t, std::span<const Judgement>) override {}
  bool stop_requested() override { return false; }
  std::optional<std::filesystem::path> checkpoint() override { return std::nullopt; }
  void save_checkpoint(const std::function<void(const std::filesystem::path&)>&) override {}
};

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void make_data(const std::filesystem::path& dir, int count) {
  std::filesystem::create_directories(dir);
  DatasetInfo info{32, 32, 3, {}, {0.4914, 0.4822, 0.4465}, {0.2023, 0.1994, 0.2010}};
  for (int c = 0; c < 10; ++c) info.classes.push_back("class" + std::to_string(c));
  DatasetWriter writer(dir, info);
  const CounterRandom random(1, Purpose::shuffle);
  std::vector<std::uint8_t> image(static_cast<std::size_t>(info.image_bytes()));
  std::uint64_t counter = 0;
  for (int i = 0; i < count; ++i) {
    for (auto& pixel : image) pixel = static_cast<std::uint8_t>(random.bits(counter++));
    writer.add("train", image, static_cast<std::int32_t>(random.below(counter++, 10)), i);
  }
  writer.finish();
}

void time_steps(const std::filesystem::path& dir, int steps, int warmup, bool bf16,
                const char* architecture) {
  const DatasetReader data(dir);
  PrintingHost host;
  TrainOptions options;
  options.precision = bf16 ? Precision::bf16 : Precision::fp32;
  if (const char* size = std::getenv("CIFARPIPE_BATCH")) options.batch_size = std::atoi(size);
  options.fusion = std::getenv("CIFARPIPE_NO_FUSION") == nullptr;
  if (architecture != nullptr) options.architecture = architecture;
  Trainer trainer(options, training_data(data), host);
  const FlushDenormalScope flush_denormals;
  const MemoryReuseScope memory;
  trainer.begin_epoch();
  for (int i = 0; i < warmup; ++i) trainer.train_batch();
  const double began = now_seconds();
  for (int i = 0; i < steps; ++i) trainer.train_batch();
  const double seconds = now_seconds() - began;
  std::printf("{\"images_per_second\": %.2f, \"steps\": %d, \"threads\": %d}\n",
              steps * options.batch_size / seconds, steps, at::get_num_threads());
}

/// Augmented batches alone, on one thread.
void time_batches(const std::filesystem::path& dir, int count, bool bf16) {
  const DatasetReader data(dir);
  const DatasetInfo& info = data.info();
  const BatchMaker maker({info.height, info.width, info.channels, info.mean, info.std, bf16});
  const auto rows = shuffled_rows(1, 0, data.split("train").count);
  const MemoryReuseScope memory;
  constexpr std::size_t kSize = 128;
  double began = 0;
  for (int i = -20; i < count; ++i) {
    if (i == 0) began = now_seconds();
    const auto at = static_cast<std::size_t>(i + 20) * kSize % (rows.size() - kSize);
    const at::Tensor batch =
        maker.augmented(data.split("train"), std::span(rows).subspan(at, kSize), {}, 1, 0);
    if (batch.numel() == 0) return;
  }
  std::printf("{\"images_per_second\": %.0f, \"threads\": %d}\n",
              static_cast<double>(count * kSize) / (now_seconds() - began), at::get_num_threads());
}

void test(const DatasetReader& data, const std::filesystem::path& model_dir) {
  const ModelInfo info = read_model_info(model_dir);
  const auto model = make_model(
      info.architecture,
      {info.height, info.width, info.channels, static_cast<std::int64_t>(info.classes.size())});
  load_weights(weights_file(model_dir), *model);
  const BatchMaker maker({info.height, info.width, info.channels, info.mean, info.std});
  const Evaluation result =
      evaluate(*model, maker, data.split("test"), {}, nullptr, [](std::int64_t) {});
  std::printf("{\"test_accuracy\": %.4f, \"test_loss\": %.4f}\n", result.accuracy, result.loss);
}

void train(const std::filesystem::path& dir, const std::filesystem::path& out, int epochs,
           bool bf16) {
  const DatasetReader data(dir);
  PrintingHost host;
  TrainOptions options;
  options.epochs = epochs;
  options.precision = bf16 ? Precision::bf16 : Precision::fp32;
  options.seed = 42;
  Trainer trainer(options, training_data(data), host);
  trainer.run();
  std::filesystem::create_directories(out / "model");
  std::filesystem::create_directories(out / "last");
  trainer.write_best(out / "model");
  trainer.write_last(out / "last");
  if (data.has("test")) test(data, out / "last");
}

int run(int argc, char** argv) {
  const auto is = [&](const char* name, int count) {
    return argc == count && std::strcmp(argv[1], name) == 0;
  };
  const auto prepare = [&](const char* threads) { at::set_num_threads(std::atoi(threads)); };
  if (is("data", 4)) {
    make_data(argv[2], std::atoi(argv[3]));
  } else if (is("time", 7) || is("time", 8)) {
    prepare(argv[6]);
    time_steps(argv[2], std::atoi(argv[3]), std::atoi(argv[4]), std::string(argv[5]) == "bf16",
               argc > 7 ? argv[7] : nullptr);
  } else if (is("batches", 5)) {
    prepare("1");
    time_batches(argv[2], std::atoi(argv[3]), std::string(argv[4]) == "bf16");
  } else if (is("train", 7)) {
    prepare(argv[6]);
    train(argv[2], argv[3], std::atoi(argv[4]), std::string(argv[5]) == "bf16");
  } else if (is("test", 5)) {
    prepare(argv[4]);
    test(DatasetReader(argv[2]), argv[3]);
  } else {
    std::fputs("usage: see the top of bench/training_driver.cpp\n", stderr);
    return 2;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
