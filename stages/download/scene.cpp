#include "stages/download/scene.hpp"

#include <algorithm>
#include <cstdlib>

#include "stages/download/counter_random.hpp"
#include "stages/download/shapes.hpp"

// Coordinates are in 1/64 of a pixel; weights run from 0 to 256.
namespace cifarpipe::download {
namespace {

constexpr int kPixel = 64;
constexpr int kPicture = kSceneSide * kPixel;

struct Colour {
  int channel[3];
};

Colour random_colour(Draws& draws) {
  return {{draws.between(10, 245), draws.between(10, 245), draws.between(10, 245)}};
}

/// Roughly what an eye sees: green counts most.
int brightness(const Colour& c) {
  return (3 * c.channel[0] + 5 * c.channel[1] + 2 * c.channel[2]) / 10;
}

/// Of any hue, but within a range of brightness.
Colour colour_between(Draws& draws, int low, int high) {
  Colour colour = random_colour(draws);
  for (int i = 0; i < 24 && (brightness(colour) < low || brightness(colour) > high); ++i) {
    colour = random_colour(draws);
  }
  return colour;
}

Colour near_colour(Draws& draws, const Colour& c, int spread) {
  Colour result{};
  for (int i = 0; i < 3; ++i) {
    result.channel[i] = std::clamp(c.channel[i] + draws.between(-spread, spread), 0, 255);
  }
  return result;
}

Colour blend(const Colour& a, const Colour& b, int weight) {
  Colour result{};
  for (int i = 0; i < 3; ++i) {
    result.channel[i] = (a.channel[i] * (256 - weight) + b.channel[i] * weight) / 256;
  }
  return result;
}

/// Two colours and how they alternate over the plane.
class Texture {
 public:
  Texture(Draws& draws, Colour first, Colour second) : first_(first), second_(second) {
    kind_ = static_cast<Kind>(draws.below(4));
    const int angle = draws.below(256);
    sin_ = sine(angle);
    cos_ = cosine(angle);
    period_ = draws.between(4, 9) * kPixel;
    phase_ = draws.below(period_);
    for (int& knot : knots_) knot = draws.below(257);
  }

  Colour at(int x, int y) const { return blend(first_, second_, weight(x, y)); }

 private:
  enum class Kind { gradient, stripes, checks, clouds };

  int weight(int x, int y) const {
    const int along = (x * cos_ + y * sin_) / 16384;
    switch (kind_) {
      case Kind::gradient:
        return std::clamp(128 + along * 96 / (kPicture / 2), 0, 256);
      case Kind::stripes:
        return wave(along);
      case Kind::checks: {
        const int a = wave(along) - 128;
        const int b = wave((y * cos_ - x * sin_) / 16384) - 128;
        return std::clamp(128 + a * b / 40, 0, 256);
      }
      case Kind::clouds:
        return clouds(x, y);
    }
    return 0;
  }

  /// A triangle wave cut off at both ends: stripes with soft edges.
  int wave(int t) const {
    int p = (t + phase_ + 64 * period_) % period_;
    if (p > period_ / 2) p = period_ - p;
    return std::clamp(128 + (p - period_ / 4) * 1024 / period_, 0, 256);
  }

  /// Random values at the corners of a 4 x 4 grid, interpolated.
  int clouds(int x, int y) const {
    const int cell = kPicture / 4;
    const int px = std::clamp(x + kPicture / 2, 0, kPicture - 1);
    const int py = std::clamp(y + kPicture / 2, 0, kPicture - 1);
    const int* corner = knots_ + py / cell * 5 + px / cell;
    const int fx = px % cell;
    const int fy = py % cell;
    const int top = corner[0] * (cell - fx) + corner[1] * fx;
    const int bottom = corner[5] * (cell - fx) + corner[6] * fx;
    return static_cast<int>((std::int64_t{top} * (cell - fy) + std::int64_t{bottom} * fy) /
                            (std::int64_t{cell} * cell));
  }

  Colour first_;
  Colour second_;
  Kind kind_;
  int sin_;
  int cos_;
  int period_;
  int phase_;
  int knots_[25];
};

/// A thin line or, with length 0, a speck: as likely in every class.
struct Mark {
  Colour colour;
  int x, y, sin, cos, length, half_width;

  explicit Mark(Draws& draws) {
    colour = random_colour(draws);
    x = draws.below(kPicture);
    y = draws.below(kPicture);
    const int angle = draws.below(256);
    sin = sine(angle);
    cos = cosine(angle);
    const bool line = draws.chance(50);
    length = line ? draws.between(6, 20) * kPixel : 0;
    half_width = line ? draws.between(20, 36) : draws.between(40, 90);
  }

  /// How much of the pixel around (px, py) it covers.
  int weight(int px, int py) const {
    const int dx = px - x;
    const int dy = py - y;
    const int along = (dx * cos + dy * sin) / 16384;
    const int across = std::abs((dy * cos - dx * sin) / 16384);
    const int beyond = std::max({0, -along, along - length});
    return std::clamp((half_width + kPixel / 2 - std::max(across, beyond)) * 4, 0, 256);
  }
};

/// The shape of the class, placed. 16 samples a pixel give it smooth edges.
struct Figure {
  int label, x, y, sin, cos, radius_x, radius_y;

  Figure(Draws& draws, int shape) : label(shape) {
    const int radius = draws.between(9 * kPixel, 13 * kPixel);
    const int stretch = draws.between(85, 118);
    radius_x = radius * stretch / 100;
    radius_y = radius * 100 / stretch;
    const int room = std::max(kPicture / 2 - radius - kPixel, kPixel);
    x = kPicture / 2 + draws.between(-room, room);
    y = kPicture / 2 + draws.between(-room, room);
    const int angle = draws.between(-20, 20);
    sin = sine(angle);
    cos = cosine(angle);
  }

  /// How much of the pixel with this corner it covers.
  int weight(int left, int top) const {
    const int reach = std::max(radius_x, radius_y) * kShapeReach / kShapeUnit + kPixel;
    if (std::abs(left - x) > reach || std::abs(top - y) > reach) return 0;
    int hits = 0;
    for (int sample = 0; sample < 16; ++sample) {
      const int dx = left + sample % 4 * 16 + 8 - x;
      const int dy = top + sample / 4 * 16 + 8 - y;
      // 16384 / kShapeUnit = 16
      const int u = (dx * cos + dy * sin) / (16 * radius_x);
      const int v = (dy * cos - dx * sin) / (16 * radius_y);
      if (inside_shape(label, u, v)) ++hits;
    }
    return hits * 16;
  }
};

}  // namespace

ScenePixels draw_scene(std::uint64_t seed, std::uint64_t index, int label) {
  Draws draws(seed, 2 * index);
  Draws noise(seed, 2 * index + 1);
  const Colour ground = colour_between(draws, 20, 95);
  const Texture background(draws, ground, near_colour(draws, ground, 40));
  const Colour paint = colour_between(draws, 150, 235);
  const Texture fill(draws, paint, near_colour(draws, paint, 40));
  const Figure figure(draws, label);
  const int marks_behind = draws.below(4);
  const int marks = marks_behind + draws.below(2);
  const Mark mark[4] = {Mark(draws), Mark(draws), Mark(draws), Mark(draws)};
  const int grain = draws.between(4, 16);

  ScenePixels pixels{};
  for (int row = 0; row < kSceneSide; ++row) {
    for (int column = 0; column < kSceneSide; ++column) {
      const int x = column * kPixel;
      const int y = row * kPixel;
      const int cx = x + kPixel / 2;
      const int cy = y + kPixel / 2;
      Colour colour = background.at(cx - kPicture / 2, cy - kPicture / 2);
      for (int m = 0; m < marks_behind; ++m) {
        colour = blend(colour, mark[m].colour, mark[m].weight(cx, cy));
      }
      if (const int weight = figure.weight(x, y)) {
        colour = blend(colour, fill.at(cx - kPicture / 2, cy - kPicture / 2), weight);
      }
      for (int m = marks_behind; m < marks; ++m) {
        colour = blend(colour, mark[m].colour, mark[m].weight(cx, cy));
      }
      const std::uint64_t bits = noise.bits();
      for (int c = 0; c < 3; ++c) {
        // The sum of two bytes: a triangular distribution around 255.
        const int sum = static_cast<int>((bits >> (16 * c)) & 255) +
                        static_cast<int>((bits >> (16 * c + 8)) & 255);
        const int value = colour.channel[c] + (sum - 255) * grain / 128;
        pixels[static_cast<std::size_t>((c * kSceneSide + row) * kSceneSide + column)] =
            static_cast<std::uint8_t>(std::clamp(value, 0, 255));
      }
    }
  }
  return pixels;
}

}  // namespace cifarpipe::download
