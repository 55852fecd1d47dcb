// One run of the stage `preprocess` in folders of its own, for the tests of its sources. One
// thread.
#pragma once

#include <string>
#include <vector>

#include "stages/learn/dataset_file.hpp"
#include "stages/preprocess/preprocess_stage.hpp"
#include "stages/vision/png.hpp"
#include "tests/data/support.hpp"

namespace cifarpipe::test {

struct PreprocessJob {
  TempDir temp;
  FakeContext context{temp.make("work")};
  preprocess::PreprocessParams params;

  PreprocessJob() { context.set_input("files", temp.make("files")); }
  fs::path files() const { return temp.path() / "files"; }
  fs::path preview() const { return context.output("preview"); }
  learn::DatasetReader run() {
    preprocess::PreprocessStage(params).run(context);
    return learn::DatasetReader(context.output("dataset"));
  }
  std::string failure() {
    const std::string message =
        message_of([&] { preprocess::PreprocessStage(params).run(context); });
    BOOST_CHECK(!fs::exists(context.output("dataset") / "dataset.json"));
    return message;
  }
  /// Whether any line of the log holds this.
  bool said(const std::string& part) const {
    for (const auto& [level, line] : context.logs) {
      if (line.find(part) != std::string::npos) return true;
    }
    return false;
  }
  /// A PNG of one colour: red is `red`, green and blue are 0.
  void add_image(const std::string& file, int red, int width = 8, int height = 8) const {
    fs::create_directories((files() / file).parent_path());
    std::vector<std::uint8_t> rgb(static_cast<std::size_t>(width * height) * 3);
    for (std::size_t i = 0; i < rgb.size(); i += 3) rgb[i] = static_cast<std::uint8_t>(red);
    vision::write_png(files() / file, width, height, rgb);
  }
};

/// The red of each image's first pixel.
inline std::vector<int> reds(const learn::DatasetReader& data, const std::string& split) {
  std::vector<int> values;
  const learn::SplitView view = data.split(split);
  const auto step = static_cast<std::size_t>(data.info().image_bytes());
  for (std::size_t i = 0; i < static_cast<std::size_t>(view.count); ++i) {
    values.push_back(view.images[i * step]);
  }
  return values;
}

inline std::vector<int> numbers(std::span<const std::int32_t> values) {
  return {values.begin(), values.end()};
}

}  // namespace cifarpipe::test
