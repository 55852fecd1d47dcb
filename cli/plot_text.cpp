// Curves in a terminal: braille dots, two by four in a character.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "cli/plot.hpp"

namespace cifarpipe::cli {
namespace {

constexpr std::array<const char*, 6> kColors = {"\033[36m", "\033[35m", "\033[33m",
                                                "\033[32m", "\033[34m", "\033[31m"};
constexpr std::array<const char*, 8> kSigns = {"●", "○", "▲", "△", "■", "□", "◆", "◇"};
constexpr std::size_t kNobody = static_cast<std::size_t>(-1);

std::size_t columns_in(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string utf8(char32_t c) {  // Of a braille sign: three bytes.
  return {static_cast<char>(0xe0 | (c >> 12)), static_cast<char>(0x80 | ((c >> 6) & 0x3f)),
          static_cast<char>(0x80 | (c & 0x3f))};
}

/// Characters of dots, each of which belongs to the curve that drew there last.
class Canvas {
 public:
  /// `fine`: two by four dots in a character; else one.
  Canvas(std::size_t columns, std::size_t rows, bool fine)
      : columns_(columns), rows_(rows), fine_(fine), cells_(columns * rows) {}

  double dots_across() const { return static_cast<double>(columns_ * (fine_ ? 2 : 1)); }
  double dots_down() const { return static_cast<double>(rows_ * (fine_ ? 4 : 1)); }

  /// A straight line between two dots, by as many steps as the longer side has.
  void line(double x0, double y0, double x1, double y1, std::size_t curve) {
    const double steps =
        std::max({std::ceil(std::abs(x1 - x0)), std::ceil(std::abs(y1 - y0)), 1.0});
    for (double s = 0; s <= steps; ++s) {
      dot(x0 + (x1 - x0) * s / steps, y0 + (y1 - y0) * s / steps, curve);
    }
  }

  std::string row(std::size_t r, bool color) const {
    std::string out;
    for (std::size_t c = 0; c < columns_; ++c) {
      const Cell& cell = cells_[r * columns_ + c];
      if (cell.curve == kNobody) {
        out += ' ';
        continue;
      }
      const std::string sign =
          fine_ ? utf8(U'\u2800' + cell.dots) : kSigns[cell.curve % kSigns.size()];
      out += color ? fmt::format("{}{}\033[0m", kColors[cell.curve % kColors.size()], sign) : sign;
    }
    while (out.ends_with(' ')) out.pop_back();
    return out;
  }

 private:
  struct Cell {
    std::uint8_t dots = 0;
    std::size_t curve = kNobody;
  };

  void dot(double x, double y, std::size_t curve) {
    const auto whole = [](double v, double most) {
      return static_cast<std::size_t>(std::clamp(std::round(v), 0.0, most - 1));
    };
    const std::size_t dx = whole(x, dots_across());
    const std::size_t dy = whole(y, dots_down());
    Cell& cell = cells_[(fine_ ? dy / 4 : dy) * columns_ + (fine_ ? dx / 2 : dx)];
    constexpr std::uint8_t kBits[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    if (fine_) cell.dots = static_cast<std::uint8_t>(cell.dots | kBits[dy % 4][dx % 2]);
    cell.curve = curve;
  }

  std::size_t columns_;
  std::size_t rows_;
  bool fine_;
  std::vector<Cell> cells_;
};

void draw(Canvas& canvas, const Series& series, const Axis& x, const Axis& y, std::size_t curve) {
  bool pen_down = false;
  double last_x = 0, last_y = 0;
  for (std::size_t i = 0; i < series.x.size(); ++i) {
    const double px = x.place(series.x[i]) * (canvas.dots_across() - 1);
    const double py = (1 - y.place(series.y[i])) * (canvas.dots_down() - 1);
    if (std::isnan(px) || std::isnan(py)) {
      pen_down = false;
      continue;
    }
    canvas.line(pen_down ? last_x : px, pen_down ? last_y : py, px, py, curve);
    pen_down = true;
    last_x = px;
    last_y = py;
  }
}

/// The line below the canvas with its ticks, and the line with their numbers.
std::pair<std::string, std::string> x_lines(const Axis& axis, std::size_t columns) {
  std::string line;
  std::vector<bool> ticked(columns, false);
  std::string numbers;
  for (const Tick& tick : axis.ticks) {
    const double place = axis.place(tick.at);
    const auto at =
        static_cast<std::size_t>(std::clamp(std::round(place * static_cast<double>(columns - 1)),
                                            0.0, static_cast<double>(columns - 1)));
    const std::size_t size = tick.text.size();
    if (size > columns) continue;
    const std::size_t half = size / 2;
    const std::size_t begin = std::min(at > half ? at - half : 0, columns - size);
    if (!numbers.empty() && begin < numbers.size() + 2) continue;
    ticked[at] = true;
    numbers.append(begin - numbers.size(), ' ');
    numbers += tick.text;
  }
  for (std::size_t c = 0; c < columns; ++c) line += ticked[c] ? "┬" : "─";
  return {line, numbers};
}

}  // namespace

std::string plot_text(const std::vector<Series>& series, const PlotOptions& options) {
  // Beside them a line each for the label, the axis, its numbers and its label.
  const std::size_t rows = std::max<std::size_t>(options.height, 8) - 4;
  const Extent ys = y_extent(series, options.log);
  const Axis y = make_axis(
      ys.low, ys.high,
      {.log = options.log, .rounded = true, .most_ticks = std::max<std::size_t>(rows / 3, 3)});
  std::size_t gutter = 0;
  for (const Tick& tick : y.ticks) gutter = std::max(gutter, columns_in(tick.text));
  const std::size_t columns = std::max<std::size_t>(options.width, gutter + 22) - gutter - 2;
  const Axis x = x_axis(series, options.log, std::max<std::size_t>(columns / 12, 2));

  Canvas canvas(columns, rows, series.size() == 1 || options.color);
  for (std::size_t i = 0; i < series.size(); ++i) draw(canvas, series[i], x, y, i);

  std::vector<std::string> names(rows);
  for (const Tick& tick : y.ticks) {
    const double row = (1 - y.place(tick.at)) * static_cast<double>(rows - 1);
    names[static_cast<std::size_t>(
        std::clamp(std::round(row), 0.0, static_cast<double>(rows - 1)))] = tick.text;
  }
  std::string out;
  if (!options.y_label.empty()) out += options.y_label + (options.log ? " (log)\n" : "\n");
  for (std::size_t r = 0; r < rows; ++r) {
    out += std::string(gutter - columns_in(names[r]), ' ') + names[r];
    out += (names[r].empty() ? " │" : " ┤") + canvas.row(r, options.color) + "\n";
  }
  const auto [line, numbers] = x_lines(x, columns);
  out += std::string(gutter, ' ') + " └" + line + "\n";
  out += std::string(gutter + 2, ' ') + numbers;
  if (!options.x_label.empty()) {
    out += fmt::format("\n{:>{}}", options.x_label, gutter + 2 + columns);
  }
  out += '\n';
  for (std::size_t i = 0; i < series.size(); ++i) {
    const std::string sign = options.color ? fmt::format("{}━━\033[0m", kColors[i % kColors.size()])
                             : series.size() == 1 ? "⠒⠒"
                                                  : kSigns[i % kSigns.size()];
    out +=
        fmt::format("  {} {}  {}\n", sign, series[i].label, legend_figures(series[i], options.log));
  }
  return out;
}

}  // namespace cifarpipe::cli
