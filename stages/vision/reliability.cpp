#include "stages/vision/reliability.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "pipeline/error.hpp"
#include "stages/vision/canvas.hpp"

namespace cifarpipe::vision {
namespace {

constexpr int kSide = 440;
constexpr int kLeft = 76;
constexpr int kTop = 116;
constexpr int kHistogram = 110;
constexpr int kHistogramTop = kTop + kSide + 26;
constexpr int kWidth = kLeft + kSide + 40;
constexpr int kHeight = kHistogramTop + kHistogram + 64;
const Colour kBar(62, 127, 184);
const Colour kOver(222, 106, 92);    // Surer than right: confidence above accuracy.
const Colour kUnder(120, 184, 140);  // Less sure than right.
const Colour kGrid(228, 231, 235);

int down(double share) {
  return kTop + kSide - static_cast<int>(std::lround(share * kSide));
}

void draw_axes(Canvas& canvas) {
  for (int i = 0; i <= 5; ++i) {
    const double share = i / 5.0;
    const int x = kLeft + static_cast<int>(std::lround(share * kSide));
    canvas.fill({kLeft, down(share), kSide + 1, 1}, kGrid);
    canvas.fill({x, kTop, 1, kSide + 1}, kGrid);
    canvas.fill({x, kHistogramTop, 1, kHistogram + 1}, kGrid);
    canvas.text(fmt::format("{}", i * 20), kLeft - 8, down(share), 9, kFaintInk, Align::right);
    canvas.text(fmt::format("{}", i * 20), x, kHistogramTop + kHistogram + 14, 9, kFaintInk,
                Align::centre);
  }
}

/// A bar as high as the accuracy, and over its middle a strip from there to the confidence: the bar
/// stays whole to the eye whichever of the two is higher.
void draw_bin(Canvas& canvas, const ReliabilityBin& bin, int left, int right) {
  if (bin.images == 0) return;
  const int width = right - left - 2;
  const int accuracy = down(bin.accuracy);
  const int confidence = down(bin.confidence);
  canvas.fill({left + 1, accuracy, width, kTop + kSide - accuracy}, kBar);
  const int strip = std::max(width / 2, 1);
  const int from = left + 1 + (width - strip) / 2;
  if (confidence < accuracy) {  // Pixels count downwards.
    canvas.fill({from, confidence, strip, accuracy - confidence}, kOver);
  } else {
    canvas.fill({from, accuracy, strip, confidence - accuracy}, kUnder);
  }
}

void draw_diagonal(Canvas& canvas) {
  constexpr int kDash = 11;  // A dash and a gap.
  for (int i = 0; i + kDash / 2 <= kSide; i += kDash) {
    cv::line(canvas.pixels(), {kLeft + i, kTop + kSide - i},
             {kLeft + i + kDash / 2, kTop + kSide - i - kDash / 2}, cv::Scalar(kInk), 1,
             cv::LINE_AA);
  }
}

void draw_frame(Canvas& canvas, int top, int height) {
  const Colour line(173, 181, 189);
  canvas.fill({kLeft, top, 1, height + 1}, line);
  canvas.fill({kLeft, top + height, kSide + 1, 1}, line);
}

void draw_key(Canvas& canvas) {
  const std::pair<Colour, const char*> entries[] = {
      {kBar, "accuracy"}, {kOver, "overconfident by"}, {kUnder, "underconfident by"}};
  int x = kLeft;
  for (const auto& [colour, name] : entries) {
    canvas.fill({x, 84, 11, 11}, colour);
    canvas.text(name, x + 17, 90, 10, kFaintInk);
    x += 17 + Canvas::text_width(name, 10) + 24;
  }
}

}  // namespace

void draw_reliability(const std::filesystem::path& png, const std::vector<ReliabilityBin>& bins,
                      const std::string& title, const std::string& subtitle) {
  if (bins.empty()) throw Error("a reliability diagram needs bins");
  const std::string head = plain(title, 80);
  const std::string below = plain(subtitle, 90);
  const int widest = std::max(Canvas::text_width(head, 15, true), Canvas::text_width(below, 10));
  Canvas canvas(std::max(kWidth, 20 + widest + 20), kHeight);
  canvas.text(head, 20, 26, 15, kInk, Align::left, true);
  canvas.text(below, 20, 54, 10, kFaintInk);
  draw_key(canvas);
  draw_axes(canvas);
  std::int64_t most = 1;
  for (const ReliabilityBin& bin : bins) most = std::max(most, bin.images);
  const auto count = static_cast<int>(bins.size());
  for (int i = 0; i < count; ++i) {
    const ReliabilityBin& bin = bins[static_cast<std::size_t>(i)];
    const int left = kLeft + i * kSide / count;
    const int right = kLeft + (i + 1) * kSide / count;
    draw_bin(canvas, bin, left, right);
    int height = static_cast<int>(
        std::lround(static_cast<double>(bin.images) / static_cast<double>(most) * kHistogram));
    if (bin.images > 0) height = std::max(height, 1);
    canvas.fill({left + 1, kHistogramTop + kHistogram - height, right - left - 2, height},
                Colour(148, 158, 170));
  }
  draw_diagonal(canvas);
  draw_frame(canvas, kTop, kSide);
  draw_frame(canvas, kHistogramTop, kHistogram);
  canvas.text(fmt::format("{}", most), kLeft - 8, kHistogramTop + 4, 9, kFaintInk, Align::right);
  canvas.text("0", kLeft - 8, kHistogramTop + kHistogram, 9, kFaintInk, Align::right);
  const auto upwards = [&](const std::string& text, int centre) {
    canvas.text_upwards(text, 24, centre + Canvas::text_width(text, 11) / 2, 11, kFaintInk);
  };
  upwards("answers that are right (%)", kTop + kSide / 2);
  upwards("images", kHistogramTop + kHistogram / 2);
  canvas.text("confidence of the answer (%)", kLeft + kSide / 2, kHistogramTop + kHistogram + 40,
              11, kFaintInk, Align::centre);
  canvas.save(png);
}

}  // namespace cifarpipe::vision
