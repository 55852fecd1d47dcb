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
constexpr int kCaption = 62;
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

/// Cut to what `width` has room for.
std::string fitted(const std::string& text, int size, int width) {
  std::string cut = plain(text, 60);
  while (cut.size() > 3 && Canvas::text_width(cut, size) > width) cut = plain(cut, cut.size() - 1);
  return cut;
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
    const int across = std::clamp(1000 / (tile_width_ + kGap), 1, 8);
    columns_ = std::min(across, static_cast<int>(tiles.size()));
    rows_ = (static_cast<int>(tiles.size()) + columns_ - 1) / columns_;
  }

  void draw(const std::filesystem::path& png, const std::string& title,
            const std::string& subtitle) const {
    const int least = 2 * kMargin + std::max(Canvas::text_width(plain(title, 90), 15) * 11 / 10,
                                             Canvas::text_width(plain(subtitle, 120), 10));
    const int width = std::max(2 * kMargin + columns_ * (tile_width_ + kGap) - kGap, least);
    const int step = cell_.height + kCaption + kGap;
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
    const std::string percent = fmt::format("{:.1f} %", tile.confidence * 100);
    canvas.text(fitted(tile.answer, kText, tile_width_), left, text, kText,
                tile.right ? kRight : kWrong, Align::left, true);
    canvas.text(fitted(tile.right ? "right" : "is " + tile.truth, kText, tile_width_), left,
                text + 19, kText, kInk);
    const std::string last = tile.note.empty() ? percent : percent + "  " + tile.note;
    canvas.text(fitted(last, 9, tile_width_), left, text + 37, 9, kFaintInk);
  }

  const std::vector<Tile>& tiles_;
  cv::Size source_;
  cv::Size cell_;
  int tile_width_ = 0;
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
