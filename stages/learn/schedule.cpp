#include "stages/learn/schedule.hpp"

#include <cmath>
#include <numbers>

#include "stages/learn/files.hpp"

namespace cifarpipe::learn {
namespace {

/// From `from` to `to` on half a cosine wave; `share` in [0, 1].
double cosine_between(double from, double to, double share) {
  return to + (from - to) * (1 + std::cos(std::numbers::pi * share)) / 2;
}

/// `lr` times gamma, as often as asked; multiplied again and again, as PyTorch does: the same bits.
double decayed(double lr, double gamma, std::int64_t times) {
  for (std::int64_t i = 0; i < times; ++i) lr *= gamma;
  return lr;
}

/// PyTorch's OneCycleLR reaches the peak with the last step of the rise and the end with the last
/// step of all.
double one_cycle(const Schedule& s, double step, double rise, double total) {
  const double peak = rise - 1;
  if (step <= peak) return cosine_between(s.lr * s.warmup_from, s.lr, peak > 0 ? step / peak : 1);
  const double fall = total - 1 - peak;
  return cosine_between(s.lr, s.lr * s.end, fall > 0 ? (step - peak) / fall : 1);
}

double by_epoch(const Schedule& s, std::int64_t epoch) {
  if (s.rule == "step")
    return s.step_size == 0 ? s.lr : decayed(s.lr, s.gamma, epoch / s.step_size);
  std::int64_t passed = 0;
  for (const auto milestone : s.milestones) passed += epoch >= milestone ? 1 : 0;
  return decayed(s.lr, s.gamma, passed);
}

}  // namespace

double learning_rate(const Schedule& s, const Progress& progress) {
  const auto step = static_cast<double>(progress.step);
  const auto total = static_cast<double>(progress.steps_per_epoch * progress.epochs);
  const double rise = s.warmup * static_cast<double>(progress.steps_per_epoch);
  if (s.rule == "one_cycle") return one_cycle(s, step, rise, total);
  if (step < rise) {
    return s.lr * (s.warmup_from + (1 - s.warmup_from) * step / rise);
  }
  if (s.rule == "constant") return s.lr;
  if (s.rule == "step" || s.rule == "multi_step") {
    return by_epoch(s, progress.step / progress.steps_per_epoch);
  }
  const double left = total - rise;
  const double share = left > 0 ? (step - rise) / left : 1;
  if (s.rule == "linear") return s.lr * (1 + (s.end - 1) * share);
  if (s.rule == "cosine") return cosine_between(s.lr, s.lr * s.end, share);
  throw Error("there is no schedule '" + s.rule + "'");
}

}  // namespace cifarpipe::learn
