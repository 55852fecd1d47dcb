// Curves as text and as SVG, and the little curves of tables. Pure functions: what they draw
// depends on their arguments alone. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/axis.hpp"

namespace cifarpipe::cli {

/// A curve; `x` never falls. Where `y` is not finite it has a gap.
struct Series {
  std::string label;
  std::vector<double> x;
  std::vector<double> y;
};

/// The least and the greatest value that has a place in a plot; `any` is false if there is none.
struct Extent {
  bool any = false;
  double low = 0;
  double high = 0;
  void add(double value);
};
Extent x_extent(const std::vector<Series>& series, bool log);
Extent y_extent(const std::vector<Series>& series, bool log);
/// The axis below the curves; between whole numbers it has no halves.
Axis x_axis(const std::vector<Series>& series, bool log, std::size_t most_ticks);

struct PlotOptions {
  std::string title;
  std::string x_label;      ///< With its unit: "step", "time (min)".
  std::string y_label;      ///< Often the metric's key.
  bool log = false;         ///< Of y.
  bool color = false;       ///< Of text.
  std::size_t width = 80;   ///< Columns, or pixels of an SVG.
  std::size_t height = 20;  ///< Lines before the legend, or pixels with it.
};

/// "▁▂▃█" of at most `width` characters: means of neighbours, gaps where nothing is finite. The
/// same `low` and `high` make several comparable.
std::string sparkline(const std::vector<double>& values, double low, double high,
                      std::size_t width);

/// What the legend says of a curve beside its label: "last 0.31, least 0.3 at 18; 2 not finite".
std::string legend_figures(const Series& series, bool log);

/// Braille dots and axes, a legend line a curve. One curve, or colour: fine lines; several without
/// colour: a sign of its own for each. Ends with a newline. Some value must have a place.
std::string plot_text(const std::vector<Series>& series, const PlotOptions& options);

/// What every SVG file begins with, by which an earlier one is known.
inline constexpr std::string_view kSvgBegin =
    "<svg xmlns=\"http://www.w3.org/2000/svg\" data-generator=\"cifarpipe\" ";

/// An SVG file of its own, light or dark as its viewer is. Some value must have a place.
std::string plot_svg(const std::vector<Series>& series, const PlotOptions& options);

}  // namespace cifarpipe::cli
