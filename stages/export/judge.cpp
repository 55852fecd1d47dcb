#include "stages/export/judge.hpp"

#include <ATen/ops/isfinite.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "stages/learn/duplicate_list.hpp"
#include "stages/learn/evaluation.hpp"
#include "stages/learn/metrics.hpp"

namespace cifarpipe {
namespace {

/// As the dataset lists them; none without a list.
std::set<std::int64_t> duplicates_of(const std::filesystem::path& dataset,
                                     const std::string& split) {
  const std::filesystem::path list = dataset / learn::kDuplicatesFile;
  if (split == "train" || !std::filesystem::exists(list)) return {};
  return learn::read_duplicates(list, split);
}

}  // namespace

void require_finite(const at::Tensor& logits, std::span<const std::int32_t> positions,
                    const std::string& split, const std::string& model) {
  const at::Tensor finite = at::isfinite(logits).all(1);
  const bool* good = finite.const_data_ptr<bool>();
  for (std::size_t i = 0; i < positions.size(); ++i) {
    if (good[i]) continue;
    throw Error(fmt::format(
        "{}'s own outputs are not finite, first for image {} of the split {}: the weights are so "
        "large that they overflow; train the model again with a smaller lr",
        model, positions[i], split));
  }
}

SplitFigures judge_split(const learn::DatasetReader& data, const std::filesystem::path& dataset,
                         const std::string& split, const std::vector<std::int32_t>& classes,
                         const learn::BatchMaker& maker, const Judged& model,
                         const std::function<void(std::int64_t done, std::int64_t all)>& between) {
  constexpr std::int64_t kBatch = 256;
  const auto duplicates = duplicates_of(dataset, split);
  const learn::SplitView& images = data.split(split);
  SplitFigures figures{split, images.count};
  std::vector<std::int32_t> rows;
  for (std::int64_t at = 0; at < images.count; at += kBatch) {
    between(at, images.count);
    rows.resize(static_cast<std::size_t>(std::min(kBatch, images.count - at)));
    std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(at));
    const at::Tensor logits = model.answer(maker.plain(images, rows)).contiguous();
    require_finite(logits, images.index.subspan(static_cast<std::size_t>(at), rows.size()), split,
                   model.name);
    const auto width = static_cast<std::size_t>(logits.size(1));
    const float* values = logits.const_data_ptr<float>();
    for (const auto row : rows) {
      const auto label = static_cast<std::size_t>(images.labels[static_cast<std::size_t>(row)]);
      const learn::Judgement judgement = learn::judge({values, width}, classes[label]);
      const bool right = judgement.predicted == judgement.label;
      figures.right.push_back(right);
      figures.correct += right ? 1 : 0;
      if (duplicates.contains(images.index[static_cast<std::size_t>(row)])) {
        ++figures.duplicates;
        figures.duplicates_correct += right ? 1 : 0;
      }
      figures.loss += judgement.loss / static_cast<double>(images.count);
      values += width;
    }
  }
  return figures;
}

AccuracyLoss accuracy_loss(const SplitFigures& from, const SplitFigures& to) {
  std::int64_t lost = 0;
  std::int64_t gained = 0;
  for (std::size_t i = 0; i < from.right.size(); ++i) {
    lost += from.right[i] && !to.right[i] ? 1 : 0;
    gained += !from.right[i] && to.right[i] ? 1 : 0;
  }
  if (lost + gained == 0) return {};
  const auto images = static_cast<double>(from.right.size());
  const auto moved = static_cast<double>(lost + gained) / images;
  const double share = learn::wilson(lost, lost + gained).low;
  return {static_cast<double>(lost - gained) / images, (2 * share - 1) * moved};
}

double accuracy(const SplitFigures& figures) {
  return static_cast<double>(figures.correct) / static_cast<double>(figures.images);
}

}  // namespace cifarpipe
