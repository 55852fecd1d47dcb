// The stage `preprocess`: CIFAR's binary files become one dataset, and a picture to look at. Input
// `files` (files/raw); outputs `dataset` (dataset/images) and `preview` (report/preview). One
// thread, but for the search for duplicates, whose memory alone grows with the data: some 250 bytes
// an image.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pipeline/stage.hpp"

namespace cifarpipe::preprocess {

struct PreprocessParams {
  std::string labels = "fine";
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
