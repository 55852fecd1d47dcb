// Which answers are worth another try, and how long to wait before it: as MLflow's own client does.
// Pure functions.
#pragma once

#include <algorithm>
#include <cmath>

#include "tracking/mlflow/settings.hpp"

namespace cifarpipe::mlflow {

/// MLflow answers 500 to bytes that it cannot read, too: such a call would go on for ever.
inline constexpr int kRepeatsOfBadAnswers = 3;
inline constexpr double kLongestWaitS = 120;

inline bool worth_repeating(long status) {
  return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
         status == 504;
}

/// Seconds before repeat number `repeat` (from 1): 0, 2, 4, 8, … with the default factor, plus up
/// to `backoff_jitter`. `chance` is from [0, 1).
inline double backoff_s(int repeat, const Settings& settings, double chance) {
  const double base =
      repeat <= 1 ? 0 : settings.backoff_factor * std::pow(2.0, std::min(repeat, 60) - 2);
  return std::min(base, kLongestWaitS) + settings.backoff_jitter * chance;
}

}  // namespace cifarpipe::mlflow
