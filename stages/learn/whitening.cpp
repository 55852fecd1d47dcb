#include "stages/learn/whitening.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cifarpipe::learn {
namespace {

/// P^T P / n for the patches of k x k pixels, [C k k, C k k] in double; sums in a fixed order.
at::Tensor patch_covariance(const at::Tensor& images, std::int64_t kernel) {
  const at::Tensor x = images.to(at::kFloat).contiguous();
  const std::int64_t size = x.size(1) * kernel * kernel;
  const at::Tensor patches = x.unfold(2, kernel, 1).unfold(3, kernel, 1);  // N C H W k k
  const at::Tensor rows = patches.permute({0, 2, 3, 1, 4, 5}).reshape({-1, size}).to(at::kDouble);
  return rows.t().mm(rows).div_(static_cast<double>(rows.size(0)));
}

/// An eigenvector's sign means nothing: its largest number is made positive, so that libraries
/// agree.
void fix_signs(at::Tensor& vectors) {
  for (std::int64_t i = 0; i < vectors.size(1); ++i) {
    const at::Tensor column = vectors.select(1, i);
    const auto largest = column.abs().argmax().item<std::int64_t>();
    if (column.select(0, largest).item<double>() < 0) column.neg_();
  }
}

}  // namespace

void whiten(const Model& model, const BatchMaker& maker, const SplitView& train,
            std::int64_t images, double epsilon) {
  const at::NoGradGuard no_grad;
  for (const auto& spec : model.network().tensors()) {
    if (spec.init != Init::whitening || spec.shape.size() != 4) continue;
    std::vector<std::int32_t> rows(static_cast<std::size_t>(std::min(images, train.count)));
    std::iota(rows.begin(), rows.end(), 0);
    const at::Tensor covariance = patch_covariance(maker.plain(train, rows), spec.shape[2]);
    auto [values, vectors] = at::linalg_eigh(covariance);
    vectors = vectors.clone();
    fix_signs(vectors);
    const std::int64_t size = covariance.size(0);
    for (const auto& [name, weight] : all_tensors(model)) {
      if (name != spec.name) continue;
      for (std::int64_t i = 0; i < size && i < weight.size(0); ++i) {
        const std::int64_t from = size - 1 - i;  // ascending in `values`
        const double scale = 1 / std::sqrt(values.select(0, from).item<double>() + epsilon);
        const at::Tensor filter = vectors.select(1, from).mul(scale).view(
            {weight.size(1), weight.size(2), weight.size(3)});
        weight.select(0, i).copy_(filter);
        if (size + i < weight.size(0)) weight.select(0, size + i).copy_(filter.neg());
      }
    }
  }
}

}  // namespace cifarpipe::learn
