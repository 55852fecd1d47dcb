// What sheets and plots are drawn on: a white RGB picture with smooth text. Private to this folder,
// so that nobody else includes OpenCV. One thread.
#pragma once

#include <filesystem>
#include <opencv2/core.hpp>
#include <string>

namespace cifarpipe::vision {

using Colour = cv::Vec3b;  // Red, green, blue.

inline const Colour kInk(33, 37, 41);
inline const Colour kFaintInk(108, 117, 125);
inline const Colour kPaper(255, 255, 255);

enum class Align { left, centre, right };

class Canvas {
 public:
  Canvas(int width, int height);

  cv::Mat& pixels() { return pixels_; }
  void fill(const cv::Rect& area, const Colour& colour);
  /// `x`, `y`: where its left end, middle or right end stands, at half the height of its capitals.
  /// `height`: of capitals, in pixels. `bold` makes strokes half as thick again.
  void text(const std::string& text, int x, int y, int height, const Colour& colour = kInk,
            Align align = Align::left, bool bold = false);
  /// The same, reading upwards; `y` is the lower end.
  void text_upwards(const std::string& text, int x, int y, int height, const Colour& colour = kInk);
  static int text_width(const std::string& text, int height, bool bold = false);

  void save(const std::filesystem::path& png) const;

 private:
  void stamp(const cv::Mat& mask, int left, int top, const Colour& colour);

  cv::Mat pixels_;
};

/// What the font has: everything but ASCII becomes '?'; cut to `longest` characters.
std::string plain(const std::string& text, std::size_t longest);

}  // namespace cifarpipe::vision
