#include "stages/vision/canvas.hpp"

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <vector>

#include "stages/vision/png.hpp"

namespace cifarpipe::vision {
namespace {

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kCapitals = 21.0;  // Height of its capitals at scale 1.
// Strokes are drawn this much larger and shrunk: smoother than any line drawn at once.
constexpr int kOversampling = 4;

struct Size {
  double scale;
  int thickness;
  cv::Size box;
  int baseline;
};

Size measure(const std::string& text, int height, bool bold) {
  Size size{};
  size.scale = height * kOversampling / kCapitals;
  size.thickness = std::max(1, height * kOversampling * (bold ? 3 : 2) / 16);
  size.box = cv::getTextSize(text, kFont, size.scale, size.thickness, &size.baseline);
  return size;
}

/// How much of each pixel the text covers; its capitals begin `margin` pixels from the top.
cv::Mat text_mask(const std::string& text, int height, bool bold, int margin) {
  const Size size = measure(text, height, bold);
  const int width = size.box.width / kOversampling + 2 * margin + 1;
  cv::Mat large(cv::Size(width, height * 3 / 2 + 2 * margin) * kOversampling, CV_8U, cv::Scalar(0));
  cv::putText(large, text, {margin * kOversampling, (margin + height) * kOversampling}, kFont,
              size.scale, cv::Scalar(255), size.thickness, cv::LINE_AA);
  cv::Mat mask;
  cv::resize(large, mask, large.size() / kOversampling, 0, 0, cv::INTER_AREA);
  return mask;
}

}  // namespace

Canvas::Canvas(int width, int height) : pixels_(height, width, CV_8UC3, cv::Scalar(255, 255, 255)) {
  // A picture takes milliseconds: a pool of threads would only stay behind in the worker.
  cv::setNumThreads(1);
}

void Canvas::fill(const cv::Rect& area, const Colour& colour) {
  cv::Mat(pixels_, area & cv::Rect({0, 0}, pixels_.size())).setTo(cv::Scalar(colour));
}

int Canvas::text_width(const std::string& text, int height, bool bold) {
  return measure(text, height, bold).box.width / kOversampling + 1;
}

void Canvas::text(const std::string& text, int x, int y, int height, const Colour& colour,
                  Align align, bool bold) {
  constexpr int kMargin = 2;
  const cv::Mat mask = text_mask(text, height, bold, kMargin);
  const int width = mask.cols - 2 * kMargin;
  const int left = align == Align::left ? x : align == Align::right ? x - width : x - width / 2;
  stamp(mask, left - kMargin, y - height / 2 - kMargin, colour);
}

void Canvas::text_upwards(const std::string& text, int x, int y, int height, const Colour& colour) {
  constexpr int kMargin = 2;
  cv::Mat mask;
  cv::rotate(text_mask(text, height, false, kMargin), mask, cv::ROTATE_90_COUNTERCLOCKWISE);
  stamp(mask, x - height / 2 - kMargin, y - mask.rows + kMargin, colour);
}

void Canvas::stamp(const cv::Mat& mask, int left, int top, const Colour& colour) {
  const int first_row = std::max(0, -top);
  const int last_row = std::min(mask.rows, pixels_.rows - top);
  for (int row = first_row; row < last_row; ++row) {
    for (int column = std::max(0, -left); column < std::min(mask.cols, pixels_.cols - left);
         ++column) {
      const int weight = mask.at<std::uint8_t>(row, column);
      Colour& pixel = pixels_.at<Colour>(top + row, left + column);
      for (int c = 0; c < 3; ++c) {
        pixel[c] =
            static_cast<std::uint8_t>((pixel[c] * (255 - weight) + colour[c] * weight + 127) / 255);
      }
    }
  }
}

void Canvas::save(const std::filesystem::path& png) const {
  write_png(png, pixels_.cols, pixels_.rows, {pixels_.data, pixels_.total() * 3});
}

std::string plain(const std::string& text, std::size_t longest) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xc0) == 0x80) continue;  // The rest of a character that has its '?' already.
    result += byte >= 0x20 && byte < 0x7f ? c : '?';
  }
  if (result.size() > longest) result = result.substr(0, longest - 2) + "..";
  return result;
}

}  // namespace cifarpipe::vision
