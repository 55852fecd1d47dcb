// Line charts as inline SVG that reads without JavaScript; a script may add values on hovering by
// the data beside it. Values only: any thread.
#pragma once

#include <string>
#include <vector>

#include "tracking/report/html.hpp"

namespace cifarpipe::report {

struct ChartPoint {
  double x = 0;
  double y = 0;  ///< NaN: a gap, marked; infinite: marked at the edge.
};

struct Series {
  std::string label;
  std::vector<ChartPoint> points;  ///< By x, rising.
  int color = 0;                   ///< 0 to 7 by the page's palette; higher ones dashed.
};

struct Chart {
  std::string title;
  std::string x_label = "step";
  bool percent = false;  ///< Fractions, written as percentages.
  std::vector<Series> series;
  bool legend = true;  ///< Of its own, where there are several lines.
};

inline constexpr int kColors = 8;

/// What the colours of these lines mean.
Markup draw_legend(const std::vector<Series>& series);
/// A logarithmic axis where values are positive and span two decades. Empty series are left out.
Markup draw_chart(const Chart& chart);

/// At most about `limit` points with the same look: of each stretch the first, the least, the
/// greatest and what is not finite.
std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points, std::size_t limit);

}  // namespace cifarpipe::report
