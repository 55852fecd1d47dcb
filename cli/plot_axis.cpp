// What curves span, the axis below them, sparklines and the figures of a legend.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/plot.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
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
  // One step alone stands at the beginning: before the first point there was none.
  const bool one = extent.any && extent.low == extent.high;
  const double high = one ? extent.low + std::max(1.0, std::abs(extent.low) * 0.1) : extent.high;
  return make_axis(extent.low, high, {.whole = whole, .most_ticks = most_ticks});
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
  std::size_t not_finite = 0, not_positive = 0, best = 0;
  bool any = false;
  for (std::size_t i = 0; i < series.y.size(); ++i) {
    if (!std::isfinite(series.y[i])) {
      ++not_finite;
      continue;
    }
    if (log && series.y[i] <= 0) ++not_positive;
    if (!any || series.y[i] < series.y[best]) best = i;
    any = true;
  }
  std::string out;
  if (any) {
    std::size_t most = best;
    for (std::size_t i = 0; i < series.y.size(); ++i) {
      if (std::isfinite(series.y[i]) && series.y[i] > series.y[most]) most = i;
    }
    out = "last " + figure_text(series.y.back());
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
