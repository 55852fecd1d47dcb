// Axes of charts: where values lie and what is written beside them. Values only: any thread.
#pragma once

#include <string>
#include <vector>

namespace cifarpipe::report {

struct Axis {
  double low = 0;
  double high = 1;  ///< Greater than low.
  bool log = false;
  std::vector<double> ticks;  ///< Between low and high, rising.

  /// 0 at the low end, 1 at the high end.
  double place(double value) const;
  /// A tick as it is written: as many decimals as the distance of ticks asks for.
  std::string text(double tick, bool as_percent = false) const;
};

/// About `count` ticks at 1, 2 or 5 times a power of ten. `whole`: of whole numbers only. An empty
/// range is widened.
Axis linear_axis(double low, double high, int count, bool whole = false);
/// `low` is positive. Ticks at powers of ten, at 2 and 5 times them too where few fit.
Axis log_axis(double low, double high);

}  // namespace cifarpipe::report
