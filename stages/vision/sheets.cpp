#include "stages/vision/sheets.hpp"

#include <algorithm>
#include <opencv2/imgproc.hpp>

#include "pipeline/error.hpp"
#include "stages/vision/canvas.hpp"

namespace cifarpipe::vision {
namespace {

constexpr int kMargin = 16;
constexpr int kGap = 4;
constexpr int kTitle = 40;
constexpr int kLabel = 12;
constexpr std::size_t kRowsOfABlock = 25;

/// As large as the width allows.
void draw_title(Canvas& canvas, const std::string& title) {
  int size = 14;
  while (size > 7 && Canvas::text_width(title, size) > canvas.pixels().cols - 3 * kMargin) --size;
  canvas.text(title, kMargin, kTitle / 2, size, kInk, Align::left, true);
}

}  // namespace

void draw_contact_sheet(const std::filesystem::path& png, const std::string& title, int width,
                        int height, const std::vector<SheetRow>& rows) {
  if (rows.empty() || width < 1 || height < 1) throw Error("a contact sheet needs images");
  // Small images are enlarged to about 64 pixels, by whole numbers so that pixels stay pixels.
  const bool many = rows.size() > kRowsOfABlock;
  const int zoom = std::max(1, (many ? 40 : 64) / std::max(width, height));
  const cv::Size cell(width * zoom, height * zoom);
  std::size_t columns = 1;
  int label_width = 0;
  for (const SheetRow& row : rows) {
    columns = std::max(columns, row.images.size());
    label_width = std::max(label_width, Canvas::text_width(plain(row.label, 24), kLabel));
  }
  const auto blocks = static_cast<int>((rows.size() + kRowsOfABlock - 1) / kRowsOfABlock);
  const auto block_rows = static_cast<int>((rows.size() + static_cast<std::size_t>(blocks) - 1) /
                                           static_cast<std::size_t>(blocks));
  const int images_width = static_cast<int>(columns) * (cell.width + kGap);
  const int block_width = kMargin + label_width + kGap * 2 + images_width;
  Canvas canvas(blocks * block_width + kMargin - kGap,
                kTitle + block_rows * (cell.height + kGap) + kMargin - kGap);
  draw_title(canvas, plain(title, 120));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const int left = static_cast<int>(r) / block_rows * block_width + kMargin;
    const int top = kTitle + static_cast<int>(r) % block_rows * (cell.height + kGap);
    canvas.text(plain(rows[r].label, 24), left + label_width, top + cell.height / 2, kLabel, kInk,
                Align::right);
    for (std::size_t i = 0; i < rows[r].images.size(); ++i) {
      const auto& image = rows[r].images[i];
      if (image.size() != static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3) {
        throw Error("an image of a contact sheet has not the size of the others");
      }
      const cv::Mat small(height, width, CV_8UC3, const_cast<std::uint8_t*>(image.data()));
      cv::Mat target(
          canvas.pixels(),
          cv::Rect({left + label_width + kGap * 2 + static_cast<int>(i) * (cell.width + kGap), top},
                   cell));
      cv::resize(small, target, cell, 0, 0, cv::INTER_NEAREST);
    }
  }
  canvas.save(png);
}

}  // namespace cifarpipe::vision
