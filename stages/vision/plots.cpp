#include "stages/vision/plots.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "pipeline/error.hpp"
#include "stages/vision/canvas.hpp"

namespace cifarpipe::vision {
namespace {

// White to dark blue, each step darker than the one before to the eye (ColorBrewer's "GnBu" with a
// darker end).
constexpr int kRamp[][3] = {{255, 255, 255}, {234, 247, 230}, {204, 235, 205},
                            {158, 214, 190}, {106, 186, 199}, {62, 147, 194},
                            {30, 104, 172},  {9, 62, 125},    {5, 34, 80}};

/// The root makes the few percent of confusions visible beside a diagonal near 100 %.
Colour colour_of(double share) {
  const double at = std::sqrt(std::clamp(share, 0.0, 1.0)) * 8;
  const int step = std::min(static_cast<int>(at), 7);
  const double part = at - step;
  Colour colour;
  for (int c = 0; c < 3; ++c) {
    colour[c] = static_cast<std::uint8_t>(
        std::lround(kRamp[step][c] * (1 - part) + kRamp[step + 1][c] * part));
  }
  return colour;
}

Colour ink_on(const Colour& ground) {
  return 3 * ground[0] + 6 * ground[1] + ground[2] < 1350 ? kPaper : kInk;
}

std::string percent_text(double share, bool with_decimal) {
  const double percent = share * 100;
  if (with_decimal && percent < 99.95) return fmt::format("{:.1f}", percent);
  return fmt::format("{:.0f}", percent);
}

class ConfusionPlot {
 public:
  ConfusionPlot(const std::vector<std::string>& classes,
                const std::vector<std::vector<std::int64_t>>& counts, const std::string& title)
      : counts_(counts), n_(static_cast<int>(classes.size())), title_(plain(title, 90)) {
    if (classes.empty() || counts.size() != classes.size()) {
      throw Error("a confusion matrix needs a row for each class");
    }
    for (const auto& row : counts) {
      if (row.size() != classes.size()) {
        throw Error("a confusion matrix needs a column for each class");
      }
    }
    figures_ = n_ <= 20;
    cell_ = n_ <= 12 ? 56 : n_ <= 20 ? 44 : n_ <= 50 ? 22 : 13;
    text_ = n_ <= 20 ? 12 : n_ <= 50 ? 10 : 8;
    for (const std::string& name : classes) {
      names_.push_back(plain(name, 20));
      label_ = std::max(label_, Canvas::text_width(names_.back(), text_));
    }
    subtitle_ = all_right();
    left_ = kMargin + 26 + label_ + 8;
    top_ = kTitle + label_ + 12;
    bar_ = left_ + n_ * cell_ + kGap;
    if (n_ <= 50) bar_ += recall_width() + kGap;
    bar_length_ = std::clamp(n_ * cell_, 160, 400);
    height_ = top_ + std::max(n_ * cell_ + 44, bar_length_ + kMargin);
  }

  void draw(const std::filesystem::path& png) const {
    const int width = std::max({bar_ + kTick + Canvas::text_width("100 %", kSmall),
                                kMargin + Canvas::text_width(title_, kTitleText, true),
                                kMargin + Canvas::text_width(subtitle_, kSubtitleText)});
    Canvas canvas(width + kMargin, height_);
    canvas.text(title_, kMargin, 26, kTitleText, kInk, Align::left, true);
    canvas.text(subtitle_, kMargin, 52, kSubtitleText, kFaintInk);
    for (int t = 0; t < n_; ++t) draw_row(canvas, t);
    draw_grid(canvas);
    draw_names(canvas);
    draw_bar(canvas);
    canvas.save(png);
  }

 private:
  static constexpr int kMargin = 20;
  static constexpr int kGap = 12;
  static constexpr int kTitle = 74;
  static constexpr int kTitleText = 15;
  static constexpr int kSubtitleText = 11;
  static constexpr int kSmall = 9;
  static constexpr int kTick = 25;  // From the bar's left side to its percentages.

  std::int64_t row_sum(int t) const {
    std::int64_t sum = 0;
    for (const std::int64_t count : counts_[static_cast<std::size_t>(t)]) sum += count;
    return sum;
  }
  std::int64_t count(int t, int p) const {
    return counts_[static_cast<std::size_t>(t)][static_cast<std::size_t>(p)];
  }
  double share(int t, int p) const {
    const std::int64_t sum = row_sum(t);
    return sum == 0 ? 0 : static_cast<double>(count(t, p)) / static_cast<double>(sum);
  }

  std::string recall_text(int t) const { return fmt::format("{} of {}", count(t, t), row_sum(t)); }
  int recall_width() const {
    int width = 0;
    for (int t = 0; t < n_; ++t) {
      width = std::max(width, Canvas::text_width(recall_text(t), kSmall));
    }
    return width;
  }

  std::string all_right() const {
    std::int64_t all = 0;
    std::int64_t right = 0;
    for (int t = 0; t < n_; ++t) {
      all += row_sum(t);
      right += count(t, t);
    }
    return fmt::format(
        "{} of {} images right ({:.2f} %). Cells: percent of the true class.", right, all,
        all == 0 ? 0.0 : 100.0 * static_cast<double>(right) / static_cast<double>(all));
  }

  void draw_row(Canvas& canvas, int t) const {
    for (int p = 0; p < n_; ++p) {
      const double value = share(t, p);
      const Colour ground = colour_of(value);
      const cv::Rect cell(left_ + p * cell_, top_ + t * cell_, cell_, cell_);
      canvas.fill(cell, ground);
      if (!figures_ || count(t, p) == 0) continue;
      canvas.text(percent_text(value, true), cell.x + cell_ / 2, cell.y + cell_ / 2,
                  n_ <= 12 ? 13 : 10, ink_on(ground), Align::centre, t == p);
    }
    if (n_ <= 50) {
      canvas.text(recall_text(t), left_ + n_ * cell_ + kGap, top_ + t * cell_ + cell_ / 2, kSmall,
                  kFaintInk);
    }
  }

  void draw_grid(Canvas& canvas) const {
    const Colour line(222, 226, 230);
    const int side = n_ * cell_;
    const int step = n_ <= 50 ? 1 : 10;  // Beyond fifty, lines would hide the cells.
    for (int i = 0; i <= n_; i += step) {
      canvas.fill({left_, top_ + i * cell_, side + 1, 1}, line);
      canvas.fill({left_ + i * cell_, top_, 1, side + 1}, line);
    }
  }

  void draw_names(Canvas& canvas) const {
    for (int i = 0; i < n_; ++i) {
      const int middle = i * cell_ + cell_ / 2;
      const std::string& name = names_[static_cast<std::size_t>(i)];
      canvas.text(name, left_ - 8, top_ + middle, text_, kInk, Align::right);
      if (label_ <= cell_ && n_ <= 20) {
        canvas.text(name, left_ + middle, top_ - 14, text_, kInk, Align::centre);
      } else {
        canvas.text_upwards(name, left_ + middle, top_ - 8, text_);
      }
    }
    const int centre = n_ * cell_ / 2;
    const std::string rows = "true class";
    canvas.text_upwards(rows, kMargin + 6, top_ + centre + Canvas::text_width(rows, 11) / 2, 11,
                        kFaintInk);
    canvas.text("taken for", left_ + centre, top_ + n_ * cell_ + 22, 11, kFaintInk, Align::centre);
  }

  /// The key to the colours, with ticks at the percentages that matter.
  void draw_bar(Canvas& canvas) const {
    const int x = bar_;
    const int length = bar_length_;
    for (int i = 0; i < length; ++i) {
      const double root = 1.0 - static_cast<double>(i) / (length - 1);
      canvas.fill({x, top_ + i, 16, 1}, colour_of(root * root));
    }
    const Colour line(173, 181, 189);
    canvas.fill({x - 1, top_ - 1, 18, 1}, line);
    canvas.fill({x - 1, top_ + length, 18, 1}, line);
    canvas.fill({x - 1, top_, 1, length}, line);
    canvas.fill({x + 16, top_, 1, length}, line);
    for (const int percent : {0, 1, 5, 10, 25, 50, 75, 100}) {
      const int y =
          top_ + static_cast<int>(std::lround((1 - std::sqrt(percent / 100.0)) * (length - 1)));
      canvas.fill({x + 17, y, 4, 1}, line);
      canvas.text(fmt::format("{} %", percent), x + kTick, y, kSmall, kFaintInk);
    }
  }

  const std::vector<std::vector<std::int64_t>>& counts_;
  int n_;
  std::string title_;
  std::string subtitle_;
  std::vector<std::string> names_;
  bool figures_ = true;
  int cell_ = 0;
  int text_ = 0;
  int label_ = 0;
  int left_ = 0;
  int top_ = 0;
  int bar_ = 0;  // Its left side.
  int bar_length_ = 0;
  int height_ = 0;
};

}  // namespace

void draw_confusion_matrix(const std::filesystem::path& png,
                           const std::vector<std::string>& classes,
                           const std::vector<std::vector<std::int64_t>>& counts,
                           const std::string& title) {
  ConfusionPlot(classes, counts, title).draw(png);
}

}  // namespace cifarpipe::vision
