// What the tests of `learn` share: a folder that goes away, a small dataset that can be learned,
// and a host that records, stops after a given number of questions and keeps checkpoints.
#pragma once

#include <stdlib.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "stages/learn/trainer.hpp"

namespace cifarpipe::learn {

class TempFolder {
 public:
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "learn-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TempFolder(const TempFolder&) = delete;
  ~TempFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }
  /// A new empty folder inside.
  std::filesystem::path make(const std::string& name) const {
    std::filesystem::create_directories(path_ / name);
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

inline DatasetInfo small_info() {
  return {8, 8, 3, {"red", "green", "blue", "grey"}, {0.5, 0.4, 0.3}, {0.25, 0.2, 0.3}};
}

/// 8x8 noise in which one channel is brighter, which is the label (3 = none).
inline void add_small_images(DatasetWriter& writer, std::string_view split, int count) {
  const CounterRandom random(7, Purpose::shuffle, std::hash<std::string_view>{}(split));
  std::vector<std::uint8_t> image(8 * 8 * 3);
  for (int i = 0; i < count; ++i) {
    const auto base = static_cast<std::uint64_t>(i) * 1000;
    const auto label = static_cast<std::int32_t>(random.below(base, 4));
    for (std::size_t p = 0; p < image.size(); ++p) {
      const auto bright = static_cast<std::int32_t>(p % 3) == label ? 70 : 0;
      image[p] = static_cast<std::uint8_t>(random.below(base + 1 + p, 180) + bright);
    }
    writer.add(split, image, label, i);
  }
}

inline std::filesystem::path make_small_dataset(const TempFolder& temp, int train,
                                                int validation = 0) {
  const auto dir = temp.make("data");
  DatasetWriter writer(dir, small_info());
  add_small_images(writer, "train", train);
  if (validation > 0) add_small_images(writer, "validation", validation);
  add_small_images(writer, "test", 20);
  writer.finish();
  return dir;
}

class FakeHost : public TrainingHost {
 public:
  using Points = std::map<std::pair<TrainMetric, std::int64_t>, double>;

  explicit FakeHost(std::filesystem::path checkpoints) : dir_(std::move(checkpoints)) {}

  void metric(TrainMetric metric, std::int64_t step, double value) override {
    BOOST_TEST(points.emplace(std::pair(metric, step), value).second);  // none twice
  }
  void progress(double done, double total, std::string_view) override { BOOST_TEST(done <= total); }
  void info(std::string_view) override {}
  void warn(std::string_view line) override { warnings.emplace_back(line); }
  void mistakes(std::int64_t, std::span<const Judgement>) override {}
  bool stop_requested() override { return questions++ == stop_at; }
  std::optional<std::filesystem::path> checkpoint() override {
    if (saved == 0) return std::nullopt;
    return dir_ / std::to_string(saved);
  }
  void save_checkpoint(const std::function<void(const std::filesystem::path&)>& write) override {
    const auto dir = dir_ / std::to_string(saved + 1);
    std::filesystem::create_directories(dir);
    write(dir);
    ++saved;
    points_at_checkpoint = points;
  }
  /// As after a kill: what came after the newest checkpoint is superseded.
  void lose_what_is_not_saved() { points = points_at_checkpoint; }

  int stop_at = -1;  ///< The number of the question that is answered with yes.
  int questions = 0;
  int saved = 0;
  Points points;
  Points points_at_checkpoint;
  std::vector<std::string> warnings;

 private:
  std::filesystem::path dir_;
};

/// Asserts that `call` throws an Error whose sentence holds `part`.
template <class Call>
void expect_error(const Call& call, const std::string& part) {
  try {
    call();
    BOOST_ERROR("nothing was thrown; expected: " + part);
  } catch (const Error& error) {
    BOOST_TEST(std::string(error.what()).find(part) != std::string::npos,
               "'" << error.what() << "' lacks '" << part << "'");
  }
}

}  // namespace cifarpipe::learn
