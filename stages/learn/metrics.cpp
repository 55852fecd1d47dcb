#include "stages/learn/metrics.hpp"

#include <algorithm>
#include <cmath>

namespace cifarpipe::learn {
namespace {

double ratio(double part, double whole) {
  return whole == 0 ? 0 : part / whole;
}

}  // namespace

Interval wilson(std::int64_t part, std::int64_t whole) {
  if (whole <= 0) return {};
  constexpr double kZ = 1.959963984540054;  // 97.5 % of the normal distribution
  const auto n = static_cast<double>(whole);
  const double share = static_cast<double>(part) / n;
  const double scale = 1 + kZ * kZ / n;
  const double centre = (share + kZ * kZ / (2 * n)) / scale;
  const double half = kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n)) / scale;
  return {part == 0 ? 0 : std::max(0.0, centre - half),
          part == whole ? 1 : std::min(1.0, centre + half)};
}

std::vector<ClassMetrics> class_metrics(const Confusion& counts) {
  std::vector<ClassMetrics> classes(counts.size());
  for (std::size_t label = 0; label < counts.size(); ++label) {
    classes[label].correct = counts[label][label];
    for (std::size_t answer = 0; answer < counts.size(); ++answer) {
      classes[label].images += counts[label][answer];
      classes[answer].predicted += counts[label][answer];
    }
  }
  for (ClassMetrics& c : classes) {
    const auto correct = static_cast<double>(c.correct);
    c.precision = ratio(correct, static_cast<double>(c.predicted));
    c.recall = ratio(correct, static_cast<double>(c.images));
    c.f1 = ratio(2 * correct, static_cast<double>(c.predicted + c.images));
  }
  return classes;
}

MacroMetrics macro_metrics(const std::vector<ClassMetrics>& classes) {
  MacroMetrics macro;
  double present = 0;
  for (const ClassMetrics& c : classes) {
    if (c.images == 0) continue;
    macro.precision += c.precision;
    macro.recall += c.recall;
    macro.f1 += c.f1;
    ++present;
  }
  return {ratio(macro.precision, present), ratio(macro.recall, present), ratio(macro.f1, present)};
}

double CalibrationBin::confidence() const {
  return ratio(confidence_sum, static_cast<double>(images));
}

double CalibrationBin::accuracy() const {
  return ratio(static_cast<double>(correct), static_cast<double>(images));
}

Calibration::Calibration(int bins) : bins_(static_cast<std::size_t>(bins)) {
  for (int i = 0; i < bins; ++i) {
    bins_[static_cast<std::size_t>(i)].lower = static_cast<double>(i) / bins;
    bins_[static_cast<std::size_t>(i)].upper = static_cast<double>(i + 1) / bins;
  }
}

void Calibration::add(double confidence, bool correct) {
  const auto count = static_cast<double>(bins_.size());
  // NaN (a model that diverged) has no confidence.
  const double at = std::isnan(confidence) ? 0 : std::ceil(confidence * count) - 1;
  CalibrationBin& bin = bins_[static_cast<std::size_t>(std::clamp(at, 0.0, count - 1))];
  ++bin.images;
  bin.correct += correct ? 1 : 0;
  bin.confidence_sum += std::isnan(confidence) ? 0 : confidence;
}

double Calibration::expected_error() const {
  double sum = 0;
  double images = 0;
  for (const CalibrationBin& bin : bins_) {
    sum += std::abs(bin.confidence() - bin.accuracy()) * static_cast<double>(bin.images);
    images += static_cast<double>(bin.images);
  }
  return ratio(sum, images);
}

double Calibration::largest_error() const {
  double largest = 0;
  for (const CalibrationBin& bin : bins_) {
    if (bin.images > 0) largest = std::max(largest, std::abs(bin.confidence() - bin.accuracy()));
  }
  return largest;
}

}  // namespace cifarpipe::learn
