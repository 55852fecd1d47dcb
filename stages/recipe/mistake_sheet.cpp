#include "stages/recipe/mistake_sheet.hpp"

#include <fmt/format.h>

#include "stages/learn/files.hpp"

namespace fs = std::filesystem;

namespace cifarpipe {
namespace {

/// As RGB: of one or two channels the first is shown in grey, of more than three the first three.
std::vector<std::uint8_t> picture(const learn::ModelInfo& info, const learn::SplitView& split,
                                  std::int64_t row) {
  const auto channels = static_cast<std::size_t>(info.channels);
  const auto pixels = static_cast<std::size_t>(info.height * info.width);
  const auto image = split.images.subspan(static_cast<std::size_t>(row) * pixels * channels);
  std::vector<std::uint8_t> rgb(pixels * 3);
  for (std::size_t p = 0; p < pixels; ++p) {
    for (std::size_t c = 0; c < 3; ++c) {
      rgb[3 * p + c] = image[p * channels + (channels < 3 ? 0 : c)];
    }
  }
  return rgb;
}

fs::path rows_of(const fs::path& work, std::int64_t epoch) {
  return work / fmt::format("epoch_{:03}.csv", epoch);
}

fs::path sheet_of(const fs::path& dir, std::int64_t epoch) {
  return dir / fmt::format("epoch_{:03}.png", epoch);
}

}  // namespace

vision::Tile judged_tile(const learn::ModelInfo& info, const learn::SplitView& split,
                         const learn::Judgement& j) {
  return {{picture(info, split, j.row)},
          info.classes[static_cast<std::size_t>(j.label)],
          info.classes[static_cast<std::size_t>(j.predicted)],
          j.confidence,
          j.label == j.predicted,
          fmt::format("#{}", split.index[static_cast<std::size_t>(j.row)])};
}

MistakeSheets::MistakeSheets(fs::path work, learn::ModelInfo info, const learn::SplitView& split)
    : work_(std::move(work)), info_(std::move(info)), split_(split) {
  fs::create_directories(work_);
}

void MistakeSheets::add(std::int64_t epoch, std::span<const learn::Judgement> worst) {
  std::string rows;
  std::vector<vision::Tile> tiles;
  for (const learn::Judgement& j : worst) {
    tiles.push_back(judged_tile(info_, split_, j));
    rows +=
        fmt::format("{},{},{},{},{:.6f}\n", epoch, split_.index[static_cast<std::size_t>(j.row)],
                    j.label, j.predicted, j.confidence);
  }
  learn::write_text(rows_of(work_, epoch), rows);
  if (tiles.empty()) return;
  vision::draw_tiles(sheet_of(work_, epoch), fmt::format("Epoch {}: surest mistakes", epoch),
                     "On the validation split: the answer, the truth, the answer's confidence and "
                     "the image's number.",
                     static_cast<int>(info_.width), static_cast<int>(info_.height), tiles);
}

void MistakeSheets::publish(const fs::path& dir, std::int64_t epochs) const {
  std::string csv = "epoch,index,label,predicted,confidence\n";
  for (std::int64_t epoch = 1; epoch <= epochs; ++epoch) {
    const fs::path rows = rows_of(work_, epoch);
    if (!fs::exists(rows)) continue;
    csv += learn::read_text(rows);
    const fs::path sheet = sheet_of(work_, epoch);
    if (fs::exists(sheet)) fs::copy_file(sheet, sheet_of(dir, epoch));
  }
  learn::write_text(dir / "mistakes.csv", csv);
}

}  // namespace cifarpipe
