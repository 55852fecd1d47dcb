// What an evaluation found, summed up, and the files that say so. Values only: one thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "stages/learn/evaluation.hpp"
#include "stages/learn/metrics.hpp"

namespace cifarpipe {

/// What is only told in summary.json, and how to sum up.
struct ReportOptions {
  std::string split;
  std::string tta = "none";
  int top_k = 5;
  int calibration_bins = 15;
};

class EvaluationReport {
 public:
  struct Row {
    std::int32_t index;  ///< In the official order.
    learn::Judgement judgement;
  };
  /// Accuracy on the images that have no duplicate in the training split.
  struct WithoutDuplicates {
    std::int64_t duplicates = 0;  ///< Images left out.
    std::int64_t images = 0;
    std::int64_t correct = 0;
    std::optional<double> accuracy() const;  ///< Nothing when all are left out.
  };

  EvaluationReport(ReportOptions options, learn::ModelInfo model);

  /// `index` is the image's position in the official order.
  void add(const learn::Judgement& judgement, std::int32_t index);
  /// After the last `add`. `indices` are in the official order; what is not here does not count.
  void leave_out(const std::set<std::int64_t>& indices);

  double loss() const;
  double accuracy() const;
  learn::Interval interval() const { return learn::wilson(correct_, images()); }
  /// How often the label was among the five likeliest classes.
  double top5_accuracy() const;
  double topk_accuracy() const;
  std::int64_t images() const { return static_cast<std::int64_t>(rows_.size()); }
  /// Images that have this label, and those of them that were answered right.
  std::int64_t class_images(std::size_t label) const;
  std::int64_t class_correct(std::size_t label) const { return counts_[label][label]; }
  /// counts()[label][predicted]
  const learn::Confusion& counts() const { return counts_; }
  const learn::Calibration& calibration() const { return calibration_; }
  learn::MacroMetrics macro() const { return learn::macro_metrics(learn::class_metrics(counts_)); }
  const std::optional<WithoutDuplicates>& without_duplicates() const { return without_; }
  /// Wrong answers, the surest first; at most `count`.
  std::vector<Row> worst(std::size_t count) const;

  /// confusion.csv, per_class.csv, calibration.csv, predictions.csv and summary.json. Figures that
  /// no image tells are empty cells and null: those of classes without images.
  void write(const std::filesystem::path& dir) const;

 private:
  std::string confusion_csv() const;
  std::string per_class_csv() const;
  std::string calibration_csv() const;
  std::string predictions_csv() const;
  std::string summary_json() const;

  ReportOptions options_;
  learn::ModelInfo model_;
  learn::Confusion counts_;
  learn::Calibration calibration_;
  std::optional<WithoutDuplicates> without_;
  std::vector<Row> rows_;
  double loss_sum_ = 0;
  std::int64_t correct_ = 0;
  std::int64_t top5_ = 0;
  std::int64_t topk_ = 0;
};

}  // namespace cifarpipe
