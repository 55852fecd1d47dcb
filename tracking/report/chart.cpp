#include "tracking/report/chart.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "tracking/axis.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

// In the SVG's own units; the page scales it to its column.
constexpr double kWidth = 480;
constexpr double kHeight = 250;
constexpr double kLeft = 56;
constexpr double kRight = 14;
constexpr double kTop = 10;
constexpr double kBottom = 34;
constexpr std::size_t kMostPoints = 400;  // Of a series: what so few pixels can show.
constexpr std::size_t kMostDots = 60;

struct Frame {
  Axis x;
  Axis y;
  double across(double value) const { return kLeft + x.place(value) * (kWidth - kLeft - kRight); }
  double down(double value) const {
    return kHeight - kBottom - y.place(value) * (kHeight - kTop - kBottom);
  }
};

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  bool empty() const { return low > high; }
};

Frame frame_of(const Chart& chart) {
  Range x;
  Range y;
  bool whole = true;
  for (const Series& series : chart.series) {
    for (const ChartPoint& p : series.points) {
      x.add(p.x);
      y.add(p.y);
      whole = whole && p.x == std::floor(p.x);
    }
  }
  if (x.empty()) x = {0, 1};
  if (y.empty()) y = {0, 1};
  Frame frame;
  frame.x = make_axis(x.low, x.high, {.whole = whole, .most_ticks = 7});
  constexpr double kDecades = 100;
  if (!chart.percent && y.low > 0 && y.high / y.low >= kDecades) {
    frame.y = make_axis(y.low / 1.1, y.high * 1.1, {.log = true, .most_ticks = 7});
    return frame;
  }
  const double margin = 0.05 * (y.high - y.low);
  const double floor = y.low >= 0 ? 0 : -std::numeric_limits<double>::infinity();
  const double ceiling = chart.percent && y.high <= 1 ? 1 : std::numeric_limits<double>::infinity();
  frame.y = make_axis(std::max(y.low - margin, floor), std::min(y.high + margin, ceiling),
                      {.percent = chart.percent, .most_ticks = 6});
  return frame;
}

Markup grid(const Chart& chart, const Frame& frame) {
  Markup out;
  for (const Tick& tick : frame.y.ticks) {
    out += html(R"(<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)", kLeft,
                kWidth - kRight, frame.down(tick.at), frame.down(tick.at));
    out += html(R"(<text class="tick" text-anchor="end" x="{}" y="{:.1f}">{}</text>)", kLeft - 7,
                frame.down(tick.at) + 4, tick.text);
  }
  for (const Tick& tick : frame.x.ticks) {
    out += html(R"(<line class="notch" x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}"/>)",
                frame.across(tick.at), frame.across(tick.at), kHeight - kBottom,
                kHeight - kBottom + 4);
    out += html(R"(<text class="tick" text-anchor="middle" x="{:.1f}" y="{}">{}</text>)",
                frame.across(tick.at), kHeight - kBottom + 17, tick.text);
  }
  out += html(R"(<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>)", kLeft, kWidth - kRight,
              kHeight - kBottom, kHeight - kBottom);
  out += html(R"(<text class="unit" text-anchor="end" x="{}" y="{}">{}{}</text>)", kWidth - kRight,
              kHeight - 4, chart.x_label, frame.y.log ? ", logarithmic" : "");
  return out;
}

/// The path of a line, broken where a value is not finite; a point alone becomes a dot.
std::string path_of(const std::vector<ChartPoint>& points, const Frame& frame) {
  std::string path;
  bool open = false;
  for (const ChartPoint& p : points) {
    if (!std::isfinite(p.y)) {
      open = false;
      continue;
    }
    path += fmt::format("{}{:.1f} {:.1f}", open ? "L" : "M", frame.across(p.x), frame.down(p.y));
    // A line of no length is drawn by its round ends.
    if (!open) path += "h0";
    open = true;
  }
  return path;
}

/// Where what is not finite is marked: NaN and −∞ at the foot, ∞ at the top.
double edge_of(double value) {
  return value > 0 ? kTop + 4 : kHeight - kBottom - 4;
}

std::string said(const Chart& chart, const ChartPoint& p) {
  return fmt::format("{} {:g}: {}", chart.x_label, p.x, chart.percent ? percent(p.y) : figure(p.y));
}

Markup line(const Chart& chart, const Series& series, const Frame& frame) {
  const int color = series.color % kColors;
  Markup out =
      html(R"x(<path class="line" d="{}" stroke="var(--s{})"{}/>)x", path_of(series.points, frame),
           color, series.color >= kColors ? Markup{R"( stroke-dasharray="5 4")"} : Markup{});
  const bool dots = series.points.size() <= kMostDots && chart.series.size() <= 4;
  for (const ChartPoint& p : series.points) {
    if (!std::isfinite(p.y)) {
      out += html(R"(<path class="odd" d="M{:.1f} {:.1f}m-3.5-3.5l7 7m0-7l-7 7" )"
                  R"x(stroke="var(--s{})"><title>{}</title></path>)x",
                  frame.across(p.x), edge_of(p.y), color, said(chart, p));
    } else if (dots) {
      out += html(R"x(<circle cx="{:.1f}" cy="{:.1f}" r="2.6" fill="var(--s{})">)x"
                  R"(<title>{}</title></circle>)",
                  frame.across(p.x), frame.down(p.y), color, said(chart, p));
    }
  }
  return out;
}

/// What the script shows on hovering: for each line its points as [x, y, "step", "value"] in the
/// SVG's units.
std::string hover_data(const Chart& chart, const Frame& frame) {
  using Json = nlohmann::json;
  Json all = Json::array();
  const auto tenth = [](double value) { return std::round(value * 10) / 10; };
  for (const Series& series : chart.series) {
    Json points = Json::array();
    for (const ChartPoint& p : series.points) {
      points.push_back({tenth(frame.across(p.x)),
                        tenth(std::isfinite(p.y) ? frame.down(p.y) : edge_of(p.y)),
                        fmt::format("{:g}", p.x), chart.percent ? percent(p.y) : figure(p.y)});
    }
    all.push_back({{"name", series.label}, {"color", series.color % kColors}, {"at", points}});
  }
  return Json{{"x", chart.x_label}, {"lines", all}}.dump(-1, ' ', false,
                                                         Json::error_handler_t::replace);
}

}  // namespace

std::vector<ChartPoint> thinned(const std::vector<ChartPoint>& points, std::size_t limit) {
  if (points.size() <= limit) return points;
  const std::size_t stretches = std::max<std::size_t>(1, limit / 3);
  std::vector<ChartPoint> out;
  for (std::size_t s = 0; s < stretches; ++s) {
    const std::size_t begin = points.size() * s / stretches;
    const std::size_t end = points.size() * (s + 1) / stretches;
    std::size_t least = begin;
    std::size_t greatest = begin;
    for (std::size_t i = begin; i < end; ++i) {
      if (!std::isfinite(points[least].y) || points[i].y < points[least].y) least = i;
      if (!std::isfinite(points[greatest].y) || points[i].y > points[greatest].y) greatest = i;
    }
    for (std::size_t i = begin; i < end; ++i) {
      const bool last = i + 1 == points.size();
      if (i == begin || i == least || i == greatest || last || !std::isfinite(points[i].y)) {
        out.push_back(points[i]);
      }
    }
  }
  return out;
}

Markup draw_legend(const std::vector<Series>& series) {
  Markup entries;
  for (const Series& line : series) {
    entries += html(R"x(<span><i style="background:var(--s{})"></i>{}</span>)x",
                    line.color % kColors, line.label);
  }
  return html("<div class=\"legend\">{}</div>\n", entries);
}

Markup draw_chart(const Chart& chart) {
  Chart drawn = chart;
  std::erase_if(drawn.series, [](const Series& s) { return s.points.empty(); });
  for (Series& series : drawn.series) series.points = thinned(series.points, kMostPoints);
  const Frame frame = frame_of(drawn);
  Markup inside = grid(drawn, frame);
  for (const Series& series : drawn.series) inside += line(drawn, series, frame);
  return html(R"(<figure class="chart"><figcaption>{}</figcaption>{})"
              R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}" data-chart="{}">{}</svg>)"
              "</figure>\n",
              drawn.title,
              drawn.legend && drawn.series.size() > 1 ? draw_legend(drawn.series) : Markup{},
              kWidth, kHeight, drawn.title, hover_data(drawn, frame), inside);
}

}  // namespace cifarpipe::report
