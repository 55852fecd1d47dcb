#include "stages/evaluate/pictures.hpp"

#include <fmt/format.h>

#include "stages/learn/compute_scope.hpp"
#include "stages/learn/counted.hpp"
#include "stages/learn/saliency.hpp"
#include "stages/recipe/mistake_sheet.hpp"
#include "stages/vision/reliability.hpp"

namespace cifarpipe {
void draw_calibration(const std::filesystem::path& png, const EvaluationReport& report) {
  std::vector<vision::ReliabilityBin> bins;
  double confidence = 0;
  for (const learn::CalibrationBin& bin : report.calibration().bins()) {
    bins.push_back({bin.images, bin.confidence(), bin.accuracy()});
    confidence += bin.confidence_sum;
  }
  const auto images = static_cast<double>(report.images());
  vision::draw_reliability(png, bins,
                           fmt::format("expected calibration error {:.2f} %",
                                       100 * report.calibration().expected_error()),
                           fmt::format("{}: mean confidence {:.2f} %, answers right {:.2f} %",
                                       learn::counted(report.images(), "image"),
                                       100 * confidence / images, 100 * report.accuracy()));
}

void draw_mistakes(const std::filesystem::path& png, const EvaluationReport& report,
                   const learn::ModelInfo& info, const learn::SplitView& split, std::size_t count) {
  const auto worst = report.worst(count);
  if (worst.empty()) return;
  std::vector<vision::Tile> tiles;
  for (const auto& row : worst) tiles.push_back(judged_tile(info, split, row.judgement));
  vision::draw_tiles(
      png, "The " + learn::counted(static_cast<std::int64_t>(tiles.size()), "surest wrong answer"),
      "Below each image: the answer, the truth, the answer's confidence and the "
      "image's number.",
      static_cast<int>(info.width), static_cast<int>(info.height), tiles);
}

void draw_saliency(const std::filesystem::path& png, const EvaluationReport& report,
                   const learn::ModelInfo& info, const learn::SplitView& split, learn::Model& model,
                   std::size_t count) {
  const auto worst = report.worst(count);
  if (worst.empty()) return;
  const learn::FlushDenormalScope flush_denormals;
  // In fp32 whatever was judged in: gradients of noisy copies are small.
  const learn::BatchMaker maker(
      {info.height, info.width, info.channels, info.mean, info.std, false});
  std::vector<vision::Tile> tiles;
  for (const auto& row : worst) {
    const learn::Judgement& j = row.judgement;
    vision::Tile with_heat = judged_tile(info, split, row.judgement);
    const auto heat = learn::saliency(model, maker, split, static_cast<std::int32_t>(j.row),
                                      j.predicted, learn::SaliencyOptions{});
    with_heat.pictures.push_back(vision::heated(with_heat.pictures.front(), heat));
    tiles.push_back(std::move(with_heat));
  }
  vision::draw_tiles(png, "What the surest wrong answers hung on",
                     "Right: brighter pixels move the wrong answer more (SmoothGrad).",
                     static_cast<int>(info.width), static_cast<int>(info.height), tiles);
}

}  // namespace cifarpipe
