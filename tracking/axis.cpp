#include "tracking/axis.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace cifarpipe {
namespace {

/// The smallest of 1, 2, 5 · 10ⁿ that is not below `raw`.
double nice_step(double raw) {
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

int decimals_of(double step) {
  return std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 12);
}

/// How all ticks of an axis are written, so that they look alike.
class TickText {
 public:
  TickText(double greatest, double step, bool percent)
      : factor_(percent ? 100 : 1), step_(step * factor_) {
    greatest *= factor_;
    if (greatest >= 1e4 && greatest < 1e13) {
      for (const auto& [scale, suffix] :
           {std::pair(1e9, "G"), std::pair(1e6, "M"), std::pair(1e3, "k")}) {
        if (greatest < scale) continue;
        scale_ = scale;
        suffix_ = suffix;
        break;
      }
    } else if (greatest >= 1e13 || greatest < 1e-3) {
      scientific_ = true;
      digits_ = std::clamp(
          static_cast<int>(std::floor(std::log10(greatest)) - std::floor(std::log10(step_) + 1e-9)),
          0, 12);
    }
    if (percent) suffix_ += " %";
  }
  std::string operator()(double value) const {
    value *= factor_;
    if (std::abs(value) < step_ * 1e-6) return factor_ == 1 ? "0" : "0 %";
    if (scientific_) return fmt::format("{:.{}e}{}", value, digits_, suffix_);
    return fmt::format("{:.{}f}{}", value / scale_, decimals_of(step_ / scale_), suffix_);
  }

 private:
  double factor_;
  double step_;
  double scale_ = 1;
  std::string suffix_;
  bool scientific_ = false;
  int digits_ = 0;
};

std::vector<Tick> linear_ticks(const Axis& axis, double step, bool percent) {
  constexpr int kMost = 100;  // Values near the greatest double would never come to an end.
  const TickText text(std::max(std::abs(axis.low), std::abs(axis.high)), step, percent);
  std::vector<Tick> ticks;
  double n = std::ceil(axis.low / step - 1e-9);
  for (int i = 0; i < kMost && n * step <= axis.high + step * 1e-6; ++i, ++n) {
    ticks.push_back({n * step, text(n * step)});
  }
  return ticks;
}

/// Room around one value, or around values that digits could not tell apart.
void widen(double& low, double& high, bool whole) {
  const double greatest = std::max(std::abs(low), std::abs(high));
  if (high - low > greatest * 1e-9) return;
  const double room = whole || greatest == 0 ? 1 : greatest * 0.1;
  low -= room;
  high += room;
}

Axis linear_axis(double low, double high, const AxisOptions& options) {
  widen(low, high, options.whole);
  const double least_step = options.whole ? 1 : 0;
  const auto spaces = static_cast<double>(std::max<std::size_t>(options.most_ticks, 2) - 1);
  double step = std::max(nice_step(high / spaces - low / spaces), least_step);
  // Rounding the ends can take one more than there is room for.
  while (options.rounded &&
         std::ceil(high / step - 1e-9) - std::floor(low / step + 1e-9) > spaces) {
    step = nice_step(step * 1.5);
  }
  Axis axis;
  axis.low = options.rounded ? std::floor(low / step + 1e-9) * step : low;
  axis.high = options.rounded ? std::ceil(high / step - 1e-9) * step : high;
  axis.ticks = linear_ticks(axis, step, options.percent);
  while (axis.ticks.size() < 2 && step > least_step) {
    step = std::max(nice_step(step * 0.4), least_step);
    axis.ticks = linear_ticks(axis, step, options.percent);
  }
  return axis;
}

std::string log_text(double value, bool percent) {
  if (percent) value *= 100;
  const char* unit = percent ? " %" : "";
  const double power = std::floor(std::log10(value) + 1e-9);
  if (power >= -4 && power <= 5) {
    return fmt::format("{:.{}f}{}", value, std::max(0, -static_cast<int>(power)), unit);
  }
  return fmt::format("{:.0e}{}", value, unit);
}

/// The greatest of 1, 2, 5 · 10ⁿ that is not above `value`, or the least that is not below.
double log_round(double value, bool up) {
  const double power = std::pow(10.0, std::floor(std::log10(value) + 1e-9));
  if (up) {
    for (const double factor : {1.0, 2.0, 5.0, 10.0}) {
      if (factor * power >= value * (1 - 1e-9)) return factor * power;
    }
  }
  double best = power;
  for (const double factor : {2.0, 5.0}) {
    if (factor * power <= value * (1 + 1e-9)) best = factor * power;
  }
  return best;
}

Axis log_axis(double low, double high, const AxisOptions& options) {
  Axis axis;
  axis.log = true;
  if (!(high > low)) {
    low /= 2;
    high *= 2;
  }
  axis.low = options.rounded ? log_round(low, false) : low;
  axis.high = options.rounded ? log_round(high, true) : high;
  const double first = std::floor(std::log10(axis.low) + 1e-9);
  const double last = std::ceil(std::log10(axis.high) - 1e-9);
  const auto room = static_cast<double>(std::max<std::size_t>(options.most_ticks, 2));
  const bool between = (last - first) * 3 <= room;
  const double every = std::max(1.0, std::ceil((last - first + 1) / room));
  const auto tick = [&](double at) { return Tick{at, log_text(at, options.percent)}; };
  for (double n = first; n <= last; n += every) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double at = factor * std::pow(10.0, n);
      if (at < axis.low * (1 - 1e-9) || at > axis.high * (1 + 1e-9)) continue;
      if (factor == 1.0 || between) axis.ticks.push_back(tick(at));
    }
  }
  // Less than a decade, with no room for 2 and 5.
  if (axis.ticks.size() < 2) axis.ticks = {tick(axis.low), tick(axis.high)};
  return axis;
}

}  // namespace

double Axis::place(double value) const {
  if (!std::isfinite(value) || (log && value <= 0)) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  if (log) return (std::log(value) - std::log(low)) / (std::log(high) - std::log(low));
  return (value - low) / (high - low);
}

Axis make_axis(double low, double high, const AxisOptions& options) {
  return options.log ? log_axis(low, high, options) : linear_axis(low, high, options);
}

}  // namespace cifarpipe
