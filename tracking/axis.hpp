// Axes of charts: where values stand, which ticks there are and how they are written. Shared by
// plots in a terminal, in an SVG and in a report. Values only: any thread.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace cifarpipe {

struct Tick {
  double at = 0;
  std::string text;  ///< All ticks of an axis look alike: as many decimals as their distance asks.
};

/// From `low` to `high`, with ticks at round values between.
struct Axis {
  double low = 0;
  double high = 1;  ///< Greater than low.
  bool log = false;
  std::vector<Tick> ticks;  ///< Rising.

  /// 0 at `low`, 1 at `high`; NaN for what has no place: not finite, or with `log` not positive.
  double place(double value) const;
};

struct AxisOptions {
  bool log = false;            ///< Needs positive ends.
  bool rounded = false;        ///< The ends become round values too.
  bool whole = false;          ///< Ticks at whole numbers only, as steps are.
  bool percent = false;        ///< Fractions, written as percentages.
  std::size_t most_ticks = 6;  ///< About so many; at least two.
};

/// Ticks at 1, 2 or 5 times a power of ten. A range without length is widened.
Axis make_axis(double low, double high, const AxisOptions& options);

}  // namespace cifarpipe
