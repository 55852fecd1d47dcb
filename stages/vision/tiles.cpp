#include "stages/vision/tiles.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "pipeline/error.hpp"
#include "stages/vision/canvas.hpp"

namespace cifarpipe::vision {
namespace {

constexpr int kMargin = 20;
constexpr int kGap = 16;
constexpr int kBetween = 4;  // The pictures of one tile.
constexpr int kHead = 76;
constexpr int kText = 11;
constexpr int kSmall = 9;
constexpr int kLine = 18;
constexpr int kCaption = 62;  // With three lines.
const Colour kRight(25, 135, 84);
const Colour kWrong(192, 57, 43);

// Black over violet and orange to pale yellow, brighter all the way (matplotlib's "inferno").
constexpr int kInferno[][3] = {{0, 0, 4},      {31, 12, 72},   {85, 15, 109},
                               {136, 34, 106}, {186, 54, 85},  {227, 89, 51},
                               {249, 140, 10}, {249, 201, 50}, {252, 255, 164}};

Colour inferno(double value) {
  const double at = std::clamp(value, 0.0, 1.0) * 8;
  const int step = std::min(static_cast<int>(at), 7);
  const double part = at - step;
  Colour colour;
  for (int c = 0; c < 3; ++c) {
    colour[c] = static_cast<std::uint8_t>(
        std::lround(kInferno[step][c] * (1 - part) + kInferno[step + 1][c] * part));
  }
  return colour;
}

/// In smaller letters where `width` has no room for it, and then cut.
void fitted_text(Canvas& canvas, const std::string& text, int left, int y, int width,
                 const Colour& colour, bool bold) {
  std::string cut = plain(text, 60);
  int size = kText;
  while (size > kSmall && Canvas::text_width(cut, size, bold) > width) --size;
  while (cut.size() > 3 && Canvas::text_width(cut, size, bold) > width) {
    cut = plain(cut, cut.size() - 1);
  }
  canvas.text(cut, left, y, size, colour, Align::left, bold);
}

class TileSheet {
 public:
  TileSheet(int width, int height, const std::vector<Tile>& tiles)
      : tiles_(tiles), source_(width, height) {
    if (tiles.empty() || width < 1 || height < 1) throw Error("a sheet of tiles needs images");
    const int zoom = std::max(1, 96 / std::max(width, height));
    cell_ = cv::Size(width * zoom, height * zoom);
    const auto pictures = static_cast<int>(tiles.front().pictures.size());
    tile_width_ = std::max(96, pictures * (cell_.width + kBetween) - kBetween);
    // A number that is cut is a wrong number: notes that have no room beside get their own line.
    for (const Tile& tile : tiles) {
      note_below_ |= Canvas::text_width(last_line(tile), kSmall) > tile_width_;
    }
    if (note_below_) caption_ += kLine;
    const int across = std::clamp(1000 / (tile_width_ + kGap), 1, 8);
    columns_ = std::min(across, static_cast<int>(tiles.size()));
    rows_ = (static_cast<int>(tiles.size()) + columns_ - 1) / columns_;
  }

  void draw(const std::filesystem::path& png, const std::string& title,
            const std::string& subtitle) const {
    const int least = 2 * kMargin + std::max(Canvas::text_width(plain(title, 90), 15, true),
                                             Canvas::text_width(plain(subtitle, 120), 10));
    const int width = std::max(2 * kMargin + columns_ * (tile_width_ + kGap) - kGap, least);
    const int step = cell_.height + caption_ + kGap;
    Canvas canvas(width, kHead + rows_ * step + 4);
    canvas.text(plain(title, 90), kMargin, 26, 15, kInk, Align::left, true);
    canvas.text(plain(subtitle, 120), kMargin, 52, 10, kFaintInk);
    for (std::size_t i = 0; i < tiles_.size(); ++i) {
      const int column = static_cast<int>(i) % columns_;
      const int row = static_cast<int>(i) / columns_;
      draw_tile(canvas, tiles_[i], kMargin + column * (tile_width_ + kGap), kHead + row * step);
    }
    canvas.save(png);
  }

 private:
  static std::string percent(const Tile& tile) {
    return fmt::format("{:.1f} %", tile.confidence * 100);
  }
  static std::string last_line(const Tile& tile) {
    return tile.note.empty() ? percent(tile) : percent(tile) + "  " + plain(tile.note, 60);
  }

  void draw_tile(Canvas& canvas, const Tile& tile, int left, int top) const {
    int x = left;
    for (const auto& picture : tile.pictures) {
      if (picture.size() != static_cast<std::size_t>(source_.area()) * 3) {
        throw Error("an image of a sheet has not the size of the others");
      }
      const cv::Mat small(source_, CV_8UC3, const_cast<std::uint8_t*>(picture.data()));
      cv::Mat target(canvas.pixels(), cv::Rect({x, top}, cell_));
      cv::resize(small, target, cell_, 0, 0, cv::INTER_NEAREST);
      x += cell_.width + kBetween;
    }
    const int text = top + cell_.height + 14;
    fitted_text(canvas, tile.answer, left, text, tile_width_, tile.right ? kRight : kWrong, true);
    fitted_text(canvas, tile.right ? "right" : "is " + tile.truth, left, text + 19, tile_width_,
                kInk, false);
    canvas.text(note_below_ ? percent(tile) : last_line(tile), left, text + 37, kSmall, kFaintInk);
    if (note_below_) canvas.text(plain(tile.note, 60), left, text + 37 + kLine, kSmall, kFaintInk);
  }

  const std::vector<Tile>& tiles_;
  cv::Size source_;
  cv::Size cell_;
  int tile_width_ = 0;
  int caption_ = kCaption;
  bool note_below_ = false;
  int columns_ = 1;
  int rows_ = 1;
};

}  // namespace

void draw_tiles(const std::filesystem::path& png, const std::string& title,
                const std::string& subtitle, int width, int height,
                const std::vector<Tile>& tiles) {
  TileSheet(width, height, tiles).draw(png, title, subtitle);
}

std::vector<std::uint8_t> heated(const std::vector<std::uint8_t>& rgb,
                                 const std::vector<float>& heat) {
  if (rgb.size() != heat.size() * 3) throw Error("a heat map has not the size of its image");
  std::vector<std::uint8_t> out(rgb.size());
  for (std::size_t i = 0; i < heat.size(); ++i) {
    const double grey = 0.299 * rgb[3 * i] + 0.587 * rgb[3 * i + 1] + 0.114 * rgb[3 * i + 2];
    const Colour colour = inferno(heat[i]);
    for (std::size_t c = 0; c < 3; ++c) {
      out[3 * i + c] =
          static_cast<std::uint8_t>(std::lround(0.3 * grey + 0.7 * colour[static_cast<int>(c)]));
    }
  }
  return out;
}

}  // namespace cifarpipe::vision
