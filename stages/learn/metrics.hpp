// Figures of a classifier's answers: precision, recall and F1 from a confusion matrix, calibration,
// intervals. No libtorch here. Pure functions: any thread.
#pragma once

#include <cstdint>
#include <vector>

namespace cifarpipe::learn {

/// `[label][predicted]`: how many images.
using Confusion = std::vector<std::vector<std::int64_t>>;

struct Interval {
  double low = 0;
  double high = 1;
};

/// Wilson's 95 % interval of a share; [0, 1] when there is nothing to tell it from.
Interval wilson(std::int64_t part, std::int64_t whole);

/// Of one class; what would be 0/0 is 0.
struct ClassMetrics {
  std::int64_t images = 0;     ///< That have this label.
  std::int64_t correct = 0;    ///< Of those, how many were answered so.
  std::int64_t predicted = 0;  ///< That were answered so.
  double precision = 0;
  double recall = 0;  ///< The class's accuracy.
  double f1 = 0;
};

std::vector<ClassMetrics> class_metrics(const Confusion& counts);

/// Means over the classes that have images.
struct MacroMetrics {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
};

MacroMetrics macro_metrics(const std::vector<ClassMetrics>& classes);

/// The answers whose confidence is in (lower, upper].
struct CalibrationBin {
  double lower = 0;
  double upper = 0;
  std::int64_t images = 0;
  std::int64_t correct = 0;
  double confidence_sum = 0;

  double confidence() const;  ///< Mean; 0 when empty.
  double accuracy() const;    ///< 0 when empty.
};

/// Bins of equal width over [0, 1].
class Calibration {
 public:
  explicit Calibration(int bins);

  void add(double confidence, bool correct);
  const std::vector<CalibrationBin>& bins() const { return bins_; }
  /// Expected calibration error: the mean distance of confidence and accuracy, weighted by images.
  double expected_error() const;
  /// The largest distance of a bin that has images.
  double largest_error() const;

 private:
  std::vector<CalibrationBin> bins_;
};

}  // namespace cifarpipe::learn
