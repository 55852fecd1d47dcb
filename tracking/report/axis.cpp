#include "tracking/report/axis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

/// 1, 2 or 5 times a power of ten, not below `least`.
double nice_step(double least) {
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

int decimals_of(double step) {
  return std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 12);
}

}  // namespace

double Axis::place(double value) const {
  if (!log) return (value - low) / (high - low);
  return (std::log(value) - std::log(low)) / (std::log(high) - std::log(low));
}

std::string Axis::text(double tick, bool as_percent) const {
  const double factor = as_percent ? 100 : 1;
  const char* unit = as_percent ? " %" : "";
  const double value = factor * tick;
  if (log || ticks.size() < 2) {
    if (value != 0 && (std::abs(value) < 1e-3 || std::abs(value) >= 1e6)) {
      const int exponent = static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9));
      return fmt::format("{:.3g}e{}{}", value / std::pow(10, exponent), exponent, unit);
    }
    return fmt::format("{:g}{}", value, unit);
  }
  if (std::max(std::abs(low), std::abs(high)) * factor >= 1e4) return compact(value) + unit;
  const double step = factor * (ticks[1] - ticks[0]);
  if (step < 1e-5) return fmt::format("{:.3g}{}", value, unit);
  return fmt::format("{:.{}f}{}", value, decimals_of(step), unit);
}

Axis linear_axis(double low, double high, int count, bool whole) {
  Axis axis;
  if (!(high > low)) {
    const double margin = whole ? 1 : low == 0 ? 1 : 0.1 * std::abs(low);
    low -= margin;
    high += margin;
  }
  axis.low = low;
  axis.high = high;
  double step = nice_step((high - low) / std::max(1, count));
  if (whole) step = std::max(1.0, step);
  const double slack = 1e-9 * step;
  for (auto i = static_cast<std::int64_t>(std::ceil((low - slack) / step));
       static_cast<double>(i) * step <= high + slack; ++i) {
    axis.ticks.push_back(static_cast<double>(i) * step);
  }
  return axis;
}

Axis log_axis(double low, double high) {
  Axis axis;
  axis.log = true;
  if (!(high > low)) {
    low /= 2;
    high *= 2;
  }
  axis.low = low;
  axis.high = high;
  const double decades = std::log10(high / low);
  const int stride = std::max(1, static_cast<int>(std::ceil(decades / 7)));
  for (int e = static_cast<int>(std::floor(std::log10(low))); std::pow(10, e) <= high; ++e) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double tick = factor * std::pow(10, e);
      const bool wanted = factor == 1 ? e % stride == 0 : decades < 2.5;
      if (wanted && tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) {
        axis.ticks.push_back(tick);
      }
    }
  }
  return axis;
}

}  // namespace cifarpipe::report
