#include "stages/learn/loss.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <cmath>

#include "stages/learn/counted.hpp"
#include "stages/learn/counter_random.hpp"

namespace cifarpipe::learn {
namespace {

/// A draw of Beta(a, a). For a <= 1 by Jöhnk's method (1964): x = u^(1/a) and y = v^(1/a) of two
/// uniform numbers are taken when x + y <= 1, and x / (x + y) is the draw; in logarithms, since the
/// powers are too small for a double when a is. For a > 1, where few are taken, by Cheng's method
/// (1978, algorithm BB).
double draw_beta(double a, const CounterRandom& random) {
  std::uint64_t counter = 16;
  if (a <= 1) {
    while (true) {
      const double x = std::log(random.unit(counter++)) / a;
      const double y = std::log(random.unit(counter++)) / a;
      if (!std::isfinite(x) || !std::isfinite(y)) continue;
      const double sum = std::max(x, y) + std::log1p(std::exp(-std::abs(x - y)));
      if (sum <= 0) return std::exp(x - sum);
    }
  }
  const double beta = 1 / std::sqrt(a);
  const double gamma = a + 1 / beta;
  while (true) {
    const double u1 = random.unit(counter++);
    const double u2 = random.unit(counter++);
    if (u1 <= 0 || u1 >= 1 || u2 <= 0) continue;
    const double v = beta * std::log(u1 / (1 - u1));
    const double w = a * std::exp(v);
    const double z = u1 * u1 * u2;
    const double r = gamma * v - std::log(4.0);
    const double s = a + r - w;
    if (s + 2.609438 >= 5 * z || r + 2 * a * std::log(2 * a / (a + w)) >= std::log(z)) {
      return w / (a + w);
    }
  }
}

std::vector<double> balanced(const SplitView& train, std::size_t classes) {
  std::vector<double> counts(classes);
  for (const auto label : train.labels) ++counts[static_cast<std::size_t>(label)];
  for (auto& count : counts) count = count > 0 ? 1 / count : 0;
  return counts;
}

}  // namespace

at::Tensor Mix::main_labels(const at::Tensor& labels) const {
  return share >= 0.5 ? labels : at::flip(labels, {0});
}

Mix draw_mix(const LossOptions& options, std::uint64_t seed, std::int64_t batch,
             std::int64_t height, std::int64_t width) {
  Mix mix;
  if (options.mixup == 0 && options.cutmix == 0) return mix;
  const CounterRandom random(seed, Purpose::mix, static_cast<std::uint64_t>(batch));
  mix.cut = options.mixup == 0 || (options.cutmix > 0 && random.unit(0) < 0.5);
  mix.share = draw_beta(mix.cut ? options.cutmix : options.mixup, random);
  if (!mix.cut) return mix;
  // A box of the other image's share of the area about a place anywhere; what lies outside is lost,
  // and the share becomes what is really covered.
  const double side = std::sqrt(1 - mix.share);
  const auto box = [&](std::int64_t size, std::uint64_t counter, std::int64_t& from,
                       std::int64_t& count) {
    const auto half = static_cast<std::int64_t>(static_cast<double>(size) * side / 2);
    const auto middle =
        static_cast<std::int64_t>(random.below(counter, static_cast<std::uint64_t>(size)));
    from = std::max<std::int64_t>(middle - half, 0);
    count = std::min(middle + half, size) - from;
  };
  box(height, 1, mix.top, mix.height);
  box(width, 2, mix.left, mix.width);
  mix.share = 1 - static_cast<double>(mix.height * mix.width) / static_cast<double>(height * width);
  return mix;
}

void mix_images(at::Tensor& images, const Mix& mix) {
  if (mix.share == 1) return;
  const at::NoGradGuard no_grad;
  const at::Tensor others = at::flip(images, {0});
  if (!mix.cut) {
    images = at::lerp(others, images, mix.share);
    return;
  }
  const auto box = [&](const at::Tensor& of) {
    return of.narrow(2, mix.top, mix.height).narrow(3, mix.left, mix.width);
  };
  box(images).copy_(box(others));
}

Loss::Loss(LossOptions options, const SplitView& train, const DatasetInfo& info, c10::Device device)
    : options_(std::move(options)) {
  std::vector<double> weights = options_.class_weights;
  const std::size_t classes = info.classes.size();
  if (options_.balance_classes) weights = balanced(train, classes);
  if (weights.empty()) return;
  if (weights.size() != classes) {
    throw Error("class_weights has " +
                    counted(static_cast<std::int64_t>(weights.size()), "number") + ", but there " +
                    (classes == 1 ? "is " : "are ") +
                    counted(static_cast<std::int64_t>(classes), "class"),
                ErrorKind::usage);
  }
  double sum = 0;
  for (const auto label : train.labels) sum += weights[static_cast<std::size_t>(label)];
  if (!(sum > 0)) {
    throw Error("class_weights leaves no image of the training split any weight", ErrorKind::usage);
  }
  std::vector<float> scaled;
  for (const double weight : weights) {
    scaled.push_back(static_cast<float>(weight * static_cast<double>(train.count) / sum));
  }
  weights_ = at::tensor(scaled).to(device);
}

at::Tensor Loss::plain(const at::Tensor& logits, const at::Tensor& labels) const {
  if (!weights_.defined()) {
    return at::cross_entropy_loss(logits, labels, {}, at::Reduction::Mean, -100,
                                  options_.label_smoothing);
  }
  const at::Tensor each = at::cross_entropy_loss(logits, labels, {}, at::Reduction::None, -100,
                                                 options_.label_smoothing);
  return at::mean(at::mul(each, weights_.index_select(0, labels)));
}

at::Tensor Loss::of(const at::Tensor& logits, const at::Tensor& labels, const Mix& mix) const {
  if (mix.share == 1) return plain(logits, labels);
  const at::Tensor own = at::mul(plain(logits, labels), at::Scalar(mix.share));
  return at::add(own, plain(logits, at::flip(labels, {0})), 1 - mix.share);
}

}  // namespace cifarpipe::learn
