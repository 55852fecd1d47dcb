// What an evaluation found, summed up, and the files that say so. Values only: one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "stages/learn/evaluation.hpp"

namespace cifarpipe {

class EvaluationReport {
 public:
  /// `split` and `model` are only told in summary.json.
  EvaluationReport(std::string split, learn::ModelInfo model);

  /// `index` is the image's position in the official order.
  void add(const learn::Judgement& judgement, std::int32_t index);

  double loss() const;
  double accuracy() const;
  /// How often the label was among the five likeliest classes.
  double top5_accuracy() const;
  std::int64_t images() const { return static_cast<std::int64_t>(rows_.size()); }
  /// Images that have this label, and those of them that were answered right.
  std::int64_t class_images(std::size_t label) const;
  std::int64_t class_correct(std::size_t label) const { return counts_[label][label]; }
  /// counts()[label][predicted]
  const std::vector<std::vector<std::int64_t>>& counts() const { return counts_; }

  /// confusion.csv, per_class.csv, predictions.csv and summary.json.
  void write(const std::filesystem::path& dir) const;

 private:
  struct Row {
    std::int32_t index;
    learn::Judgement judgement;
  };
  std::string confusion_csv() const;
  std::string per_class_csv() const;
  std::string predictions_csv() const;
  std::string summary_json() const;

  std::string split_;
  learn::ModelInfo model_;
  std::vector<std::vector<std::int64_t>> counts_;
  std::vector<Row> rows_;
  double loss_sum_ = 0;
  std::int64_t correct_ = 0;
  std::int64_t top5_ = 0;
};

}  // namespace cifarpipe
