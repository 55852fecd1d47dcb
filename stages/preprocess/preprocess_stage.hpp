// The stage `preprocess`: image files, NumPy arrays or CIFAR's binary files become one dataset, and
// something to look at. Input `files` (files/raw); outputs `dataset` (dataset/images) and `preview`
// (report/preview). Images are decoded, and duplicates searched, on all cores; what is written does
// not depend on how many.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/stage.hpp"

namespace cifarpipe::preprocess {

struct PreprocessParams {
  std::string labels = "fine";
  std::string layout = "auto";
  std::vector<std::int64_t> size;
  std::string color = "auto";
  std::string on_bad_image = "error";
  double test = 0;
  double validation = 0;
  std::string normalization = "reference";
  std::vector<double> mean;
  std::vector<double> std;
  std::int64_t limit_train = 0;
  std::int64_t limit_test = 0;
  std::int64_t duplicate_distance = 64;

  static Schema<PreprocessParams> schema();
};

class PreprocessStage : public Stage {
 public:
  using Params = PreprocessParams;
  static StageDescription describe();

  explicit PreprocessStage(Params params) : params_(std::move(params)) {}
  void run(StageContext& context) override;

 private:
  Params params_;
};

}  // namespace cifarpipe::preprocess
