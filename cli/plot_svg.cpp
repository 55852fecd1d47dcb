// Curves as one SVG file without anything outside it: a white or a dark page, as the viewer's is.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "cli/plot.hpp"

namespace cifarpipe::cli {
namespace {

constexpr std::size_t kPalette = 8;  // Colours that differ also to the colour-blind; then dashes.
constexpr const char* kStyle = R"(<style>
  .page { fill: #ffffff } .grid { stroke: #e3e6ea } .axis { stroke: #6b7280 }
  text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: #24292f }
  .title { font-size: 15px; font-weight: 600 } .quiet { fill: #57606a }
  .curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round }
  .c0 { stroke: #0072b2 } .c1 { stroke: #d55e00 } .c2 { stroke: #009e73 } .c3 { stroke: #a2458a }
  .c4 { stroke: #b07d00 } .c5 { stroke: #2a93c9 } .c6 { stroke: #555f6b } .c7 { stroke: #8c510a }
  .dashed { stroke-dasharray: 6 4 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .grid { stroke: #2a3038 } .axis { stroke: #8b949e }
    text { fill: #e6edf3 } .quiet { fill: #9da7b3 }
    .c0 { stroke: #58a6ff } .c1 { stroke: #ff9e64 } .c2 { stroke: #3fd6a0 } .c3 { stroke: #e58fcb }
    .c4 { stroke: #e3b341 } .c5 { stroke: #7fd1f7 } .c6 { stroke: #b1bac4 } .c7 { stroke: #d9a066 }
  }
</style>
)";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;  // XML has no control characters.
    }
  }
  return out;
}

/// Where the plot is within the picture.
struct Frame {
  double left = 0, top = 0, right = 0, bottom = 0;
  double x(double place) const { return left + place * (right - left); }
  double y(double place) const { return bottom - place * (bottom - top); }
};

struct Dot {
  double x = 0;
  double y = 0;
};

/// Of more points than there are pixels, each column's first, least, greatest and last: it looks
/// the same.
std::vector<Dot> thinned(const std::vector<Dot>& dots) {
  std::vector<Dot> out;
  for (std::size_t begin = 0; begin < dots.size();) {
    std::size_t end = begin, low = begin, high = begin;
    while (end < dots.size() && std::floor(dots[end].x) == std::floor(dots[begin].x)) {
      if (dots[end].y < dots[low].y) low = end;
      if (dots[end].y > dots[high].y) high = end;
      ++end;
    }
    std::size_t kept[] = {begin, std::min(low, high), std::max(low, high), end - 1};
    for (std::size_t k = 0; k < 4; ++k) {
      if (k == 0 || kept[k] != kept[k - 1]) out.push_back(dots[kept[k]]);
    }
    begin = end;
  }
  return out;
}

std::string class_of(std::size_t curve) {
  return fmt::format("curve c{}{}", curve % kPalette, curve / kPalette % 2 == 1 ? " dashed" : "");
}

/// One unbroken piece: a line, or a dot where it is a single point.
std::string piece(const std::vector<Dot>& dots, std::size_t curve) {
  if (dots.empty()) return "";
  if (dots.size() == 1) {
    return fmt::format("  <circle class=\"{}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2.5\"/>\n",
                       class_of(curve), dots[0].x, dots[0].y);
  }
  std::string out = fmt::format("  <polyline class=\"{}\" points=\"", class_of(curve));
  for (const Dot& dot : thinned(dots)) {
    out += fmt::format("{}{:.1f},{:.1f}", out.back() == '"' ? "" : " ", dot.x, dot.y);
  }
  return out + "\"/>\n";
}

std::string curve_of(const Series& series, const Frame& frame, const Axis& x, const Axis& y,
                     std::size_t curve) {
  std::string out;
  std::vector<Dot> dots;
  for (std::size_t i = 0; i < series.x.size(); ++i) {
    const double place = y.place(series.y[i]);
    if (std::isnan(place)) {
      out += piece(dots, curve);
      dots.clear();
    } else {
      dots.push_back({frame.x(x.place(series.x[i])), frame.y(place)});
    }
  }
  return out + piece(dots, curve);
}

std::string axes(const Frame& frame, const Axis& x, const Axis& y) {
  std::string out;
  for (const Tick& tick : y.ticks) {
    const double at = frame.y(y.place(tick.at));
    out += fmt::format(
        "  <line class=\"grid\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n"
        "  <text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
        frame.left, at, frame.right, at, frame.left - 8, at + 4.5, escaped(tick.text));
  }
  for (const Tick& tick : x.ticks) {
    const double at = frame.x(x.place(tick.at));
    out += fmt::format(
        "  <line class=\"axis\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n"
        "  <text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n",
        at, frame.bottom, at, frame.bottom + 5, at, frame.bottom + 20, escaped(tick.text));
  }
  return out +
         fmt::format("  <path class=\"axis\" fill=\"none\" d=\"M{:.1f} {:.1f}V{:.1f}H{:.1f}\"/>\n",
                     frame.left, frame.top, frame.bottom, frame.right);
}

constexpr double kLegendLine = 20;

std::string legend(const std::vector<Series>& series, const Frame& frame, bool log, double top) {
  std::string out;
  for (std::size_t i = 0; i < series.size(); ++i) {
    const double y = top + kLegendLine * static_cast<double>(i);
    out += fmt::format(
        "  <line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n"
        "  <text x=\"{:.1f}\" y=\"{:.1f}\">{}  <tspan class=\"quiet\">{}</tspan></text>\n",
        class_of(i), frame.left, y - 4.5, frame.left + 26, y - 4.5, frame.left + 34, y,
        escaped(series[i].label), escaped(legend_figures(series[i], log)));
  }
  return out;
}

}  // namespace

std::string plot_svg(const std::vector<Series>& series, const PlotOptions& options) {
  const auto width = static_cast<double>(options.width);
  const auto height = static_cast<double>(options.height);
  const Extent ys = y_extent(series, options.log);
  const Axis y = make_axis(ys.low, ys.high, {.log = options.log, .rounded = true, .most_ticks = 8});
  std::size_t widest = 0;
  for (const Tick& tick : y.ticks) widest = std::max(widest, tick.text.size());
  const bool titled = !options.title.empty();
  Frame frame;
  frame.left = 24 + 7.5 * static_cast<double>(widest);
  frame.top = titled ? 62 : 38;
  const Axis x = x_axis(series, options.log, std::max<std::size_t>(options.width / 90, 2));
  // The last number stands in the middle below the end of its axis.
  frame.right = width - std::max(24.0, 8 + 4.0 * static_cast<double>(x.ticks.back().text.size()));
  const double legend_height = kLegendLine * static_cast<double>(series.size());
  frame.bottom = std::max(height - 58 - legend_height, frame.top + 120);
  const double total = frame.bottom + 58 + legend_height;

  std::string out = fmt::format(
      "{4}width=\"{0:.0f}\" height=\"{1:.0f}\" "
      "viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\">\n  <title>{2}</title>\n{3}"
      "  <rect class=\"page\" width=\"{0:.0f}\" height=\"{1:.0f}\"/>\n",
      width, total, escaped(titled ? options.title : options.y_label), kStyle, kSvgBegin);
  if (titled) {
    out += fmt::format("  <text class=\"title\" x=\"16\" y=\"26\">{}</text>\n",
                       escaped(options.title));
  }
  out += fmt::format("  <text class=\"quiet\" x=\"16\" y=\"{:.1f}\">{}{}</text>\n", frame.top - 16,
                     escaped(options.y_label), options.log ? " (log)" : "");
  out += axes(frame, x, y);
  out += fmt::format(
      "  <text class=\"quiet\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
      frame.right, frame.bottom + 38, escaped(options.x_label));
  for (std::size_t i = 0; i < series.size(); ++i) out += curve_of(series[i], frame, x, y, i);
  out += legend(series, frame, options.log, frame.bottom + 58);
  return out + "</svg>\n";
}

}  // namespace cifarpipe::cli
