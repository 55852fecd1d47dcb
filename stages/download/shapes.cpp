#include "stages/download/shapes.hpp"

#include <span>

namespace cifarpipe::download {
namespace {

struct Point {
  int x;
  int y;
};

constexpr Point kSquare[] = {{-800, -800}, {800, -800}, {800, 800}, {-800, 800}};
constexpr Point kTriangle[] = {{0, -1150}, {996, 575}, {-996, 575}};
constexpr Point kStar[] = {{0, -1150}, {282, -389}, {1093, -355}, {457, 148},    {676, 931},
                           {0, 481},   {-676, 931}, {-457, 148},  {-1093, -355}, {-282, -389}};
constexpr Point kCross[] = {{-300, -1000}, {300, -1000}, {300, -300},   {1000, -300},
                            {1000, 300},   {300, 300},   {300, 1000},   {-300, 1000},
                            {-300, 300},   {-1000, 300}, {-1000, -300}, {-300, -300}};
constexpr Point kArrow[] = {{0, -1150},   {850, -150},  {300, -150}, {300, 1050},
                            {-300, 1050}, {-300, -150}, {-850, -150}};
constexpr Point kHeartTip[] = {{0, -380}, {920, -68}, {0, 1080}, {-920, -68}};
// The sides cross in the middle: the even-odd rule leaves two triangles that touch.
constexpr Point kHourglass[] = {{-780, -1000}, {780, -1000}, {-780, 1000}, {780, 1000}};

/// Even-odd rule. Products stay far below 2^31 for the coordinates used here; 64 bits to be sure.
bool inside_polygon(std::span<const Point> corners, int x, int y) {
  bool inside = false;
  for (std::size_t i = 0, j = corners.size() - 1; i < corners.size(); j = i++) {
    const Point& a = corners[i];
    const Point& b = corners[j];
    if ((a.y > y) == (b.y > y)) continue;
    // x < a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y), without the division.
    const std::int64_t rise = b.y - a.y;
    const std::int64_t left = std::int64_t{x - a.x} * rise;
    const std::int64_t right = std::int64_t{b.x - a.x} * (y - a.y);
    if (rise > 0 ? left < right : left > right) inside = !inside;
  }
  return inside;
}

bool inside_circle(int x, int y, int radius) {
  return x * x + y * y <= radius * radius;
}

/// Two discs and the triangle below them that their tangents meet in.
bool inside_heart(int u, int v) {
  return inside_circle(u - 480, v + 380, 540) || inside_circle(u + 480, v + 380, 540) ||
         inside_polygon(kHeartTip, u, v);
}

// A quarter of a turn.
constexpr int kQuarter[65] = {
    0,     402,   804,   1205,  1606,  2006,  2404,  2801,  3196,  3590,  3981,  4370,  4756,
    5139,  5520,  5897,  6270,  6639,  7005,  7366,  7723,  8076,  8423,  8765,  9102,  9434,
    9760,  10080, 10394, 10702, 11003, 11297, 11585, 11866, 12140, 12406, 12665, 12916, 13160,
    13395, 13623, 13842, 14053, 14256, 14449, 14635, 14811, 14978, 15137, 15286, 15426, 15557,
    15679, 15791, 15893, 15986, 16069, 16143, 16207, 16261, 16305, 16340, 16364, 16379, 16384};

}  // namespace

bool inside_shape(int label, int u, int v) {
  switch (label) {
    case 0:
      return inside_circle(u, v, 950);
    case 1:
      return inside_circle(u, v, 1050) && !inside_circle(u, v, 600);
    case 2:
      return inside_polygon(kSquare, u, v);
    case 3:
      return inside_polygon(kTriangle, u, v);
    case 4:
      return inside_polygon(kStar, u, v);
    case 5:
      return inside_polygon(kCross, u, v);
    case 6:
      return inside_circle(u - 150, v, 1050) && !inside_circle(u - 650, v, 850);
    case 7:
      return inside_heart(u, v);
    case 8:
      return inside_polygon(kArrow, u, v);
    case 9:
      return inside_polygon(kHourglass, u, v);
    default:
      return false;
  }
}

int sine(int angle) {
  const int a = angle & 255;
  if (a <= 64) return kQuarter[a];
  if (a <= 128) return kQuarter[128 - a];
  if (a <= 192) return -kQuarter[a - 128];
  return -kQuarter[256 - a];
}

int cosine(int angle) {
  return sine(angle + 64);
}

}  // namespace cifarpipe::download
