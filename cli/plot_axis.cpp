// Where values stand, which ticks an axis has and how they are written.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/plot.hpp"

namespace cifarpipe::cli {
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
  TickText(double greatest, double step) : step_(step) {
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
          static_cast<int>(std::floor(std::log10(greatest)) - std::floor(std::log10(step) + 1e-9)),
          0, 12);
    }
  }
  std::string operator()(double value) const {
    if (std::abs(value) < step_ * 1e-6) return "0";
    if (scientific_) return fmt::format("{:.{}e}", value, digits_);
    return fmt::format("{:.{}f}{}", value / scale_, decimals_of(step_ / scale_), suffix_);
  }

 private:
  double step_;
  double scale_ = 1;
  const char* suffix_ = "";
  bool scientific_ = false;
  int digits_ = 0;
};

std::vector<Tick> linear_ticks(const Axis& axis, double step) {
  constexpr int kMost = 100;  // Values near the greatest double would never come to an end.
  const TickText text(std::max(std::abs(axis.low), std::abs(axis.high)), step);
  std::vector<Tick> ticks;
  double n = std::ceil(axis.low / step - 1e-9);
  for (int i = 0; i < kMost && n * step <= axis.high + step * 1e-6; ++i, ++n) {
    ticks.push_back({n * step, text(n * step)});
  }
  return ticks;
}

Axis linear_axis(double low, double high, bool rounded, std::size_t most_ticks) {
  const double greatest = std::max(std::abs(low), std::abs(high));
  if (!(high - low > greatest * 1e-9)) {  // One value, or none that digits could tell apart.
    const double room = greatest == 0 ? 1 : greatest * 0.1;
    low -= room;
    high += room;
  }
  const auto spaces = static_cast<double>(std::max<std::size_t>(most_ticks, 2) - 1);
  double step = nice_step(high / spaces - low / spaces);
  // Rounding the ends can take one more than there is room for.
  while (rounded && std::ceil(high / step - 1e-9) - std::floor(low / step + 1e-9) > spaces) {
    step = nice_step(step * 1.5);
  }
  Axis axis;
  axis.low = rounded ? std::floor(low / step + 1e-9) * step : low;
  axis.high = rounded ? std::ceil(high / step - 1e-9) * step : high;
  axis.ticks = linear_ticks(axis, step);
  while (axis.ticks.size() < 2 && step > 0) {
    step = nice_step(step * 0.4);
    axis.ticks = linear_ticks(axis, step);
  }
  return axis;
}

std::string log_text(double value) {
  const double power = std::floor(std::log10(value) + 1e-9);
  if (power >= -4 && power <= 5) {
    return fmt::format("{:.{}f}", value, std::max(0, -static_cast<int>(power)));
  }
  return fmt::format("{:.0e}", value);
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

Axis log_axis(double low, double high, bool rounded, std::size_t most_ticks) {
  Axis axis;
  axis.log = true;
  if (!(high > low)) {
    low /= 2;
    high *= 2;
  }
  axis.low = rounded ? log_round(low, false) : low;
  axis.high = rounded ? log_round(high, true) : high;
  const double first = std::floor(std::log10(axis.low) + 1e-9);
  const double last = std::ceil(std::log10(axis.high) - 1e-9);
  const bool between = (last - first) * 3 <= static_cast<double>(most_ticks);
  const double every = std::max(
      1.0,
      std::ceil((last - first + 1) / static_cast<double>(std::max<std::size_t>(most_ticks, 2))));
  for (double n = first; n <= last; n += every) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double at = factor * std::pow(10.0, n);
      if (at < axis.low * (1 - 1e-9) || at > axis.high * (1 + 1e-9)) continue;
      if (factor == 1.0 || between) axis.ticks.push_back({at, log_text(at)});
    }
  }
  if (axis.ticks.size() < 2) {  // Less than a decade, with no room for 2 and 5.
    axis.ticks = {{axis.low, log_text(axis.low)}, {axis.high, log_text(axis.high)}};
  }
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

Axis make_axis(double low, double high, bool log, bool rounded, std::size_t most_ticks) {
  return log ? log_axis(low, high, rounded, most_ticks)
             : linear_axis(low, high, rounded, most_ticks);
}

void Extent::add(double value) {
  low = any ? std::min(low, value) : value;
  high = any ? std::max(high, value) : value;
  any = true;
}

Extent x_extent(const std::vector<Series>& series, bool log) {
  Extent extent;
  for (const Series& s : series) {
    for (std::size_t i = 0; i < s.x.size(); ++i) {
      if (std::isfinite(s.y[i]) && (!log || s.y[i] > 0)) extent.add(s.x[i]);
    }
  }
  return extent;
}

Extent y_extent(const std::vector<Series>& series, bool log) {
  Extent extent;
  for (const Series& s : series) {
    for (const double y : s.y) {
      if (std::isfinite(y) && (!log || y > 0)) extent.add(y);
    }
  }
  return extent;
}

Axis x_axis(const std::vector<Series>& series, bool log, std::size_t most_ticks) {
  const Extent extent = x_extent(series, log);
  const bool whole = std::all_of(series.begin(), series.end(), [](const Series& s) {
    return std::all_of(s.x.begin(), s.x.end(), [](double x) { return x == std::floor(x); });
  });
  const double span = extent.high - extent.low;
  if (whole && span > 0 && span < static_cast<double>(most_ticks)) {
    most_ticks = static_cast<std::size_t>(span) + 1;  // No half steps.
  }
  return make_axis(extent.low, extent.high, false, false, most_ticks);
}

std::string sparkline(const std::vector<double>& values, double low, double high,
                      std::size_t width) {
  constexpr const char* kLevels[] = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const std::size_t columns = std::min(width, values.size());
  std::string out;
  for (std::size_t c = 0; c < columns; ++c) {
    double sum = 0;
    int count = 0;
    for (std::size_t i = c * values.size() / columns; i < (c + 1) * values.size() / columns; ++i) {
      if (!std::isfinite(values[i])) continue;
      sum += values[i];
      ++count;
    }
    if (count == 0) {
      out += ' ';
      continue;
    }
    const double place = high > low ? (sum / count - low) / (high - low) : 0.5;
    out += kLevels[std::clamp(static_cast<int>(place * 8), 0, 7)];
  }
  return out;
}

namespace {

std::string x_text(double x) {
  return x == std::floor(x) ? fmt::format("{:.0f}", x) : fmt::format("{:.3g}", x);
}

}  // namespace

std::string legend_figures(const Series& series, bool log) {
  std::size_t not_finite = 0, not_positive = 0, best = 0, last = 0;
  bool any = false;
  for (std::size_t i = 0; i < series.y.size(); ++i) {
    if (!std::isfinite(series.y[i])) {
      ++not_finite;
      continue;
    }
    if (log && series.y[i] <= 0) ++not_positive;
    if (!any || series.y[i] < series.y[best]) best = i;
    any = true;
    last = i;
  }
  std::string out;
  if (any) {
    std::size_t most = best;
    for (std::size_t i = 0; i < series.y.size(); ++i) {
      if (std::isfinite(series.y[i]) && series.y[i] > series.y[most]) most = i;
    }
    out = fmt::format("last {:.4g}", series.y[last]);
    if (series.y.size() > 1) {
      out += fmt::format(", least {:.4g} at {}, most {:.4g} at {}", series.y[best],
                         x_text(series.x[best]), series.y[most], x_text(series.x[most]));
    }
  }
  if (not_finite > 0) out += fmt::format("{}{} not finite", out.empty() ? "" : "; ", not_finite);
  if (not_positive > 0) out += fmt::format("; {} not positive, left out", not_positive);
  return out;
}

}  // namespace cifarpipe::cli
