#include "stages/learn/evaluation.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/flip.h>
#include <ATen/ops/reflection_pad2d.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace cifarpipe::learn {

bool surer(const Judgement& a, const Judgement& b) {
  // NaN compares false with everything, so that it would count as equal to all, which are not equal
  // to one another: no order that a sort may be given.
  if (std::isnan(a.confidence) || std::isnan(b.confidence)) {
    return !std::isnan(a.confidence) && std::isnan(b.confidence);
  }
  return a.confidence > b.confidence;
}

Judgement judge(std::span<const float> logits, std::int32_t label) {
  Judgement out;
  out.label = label;
  const auto best = std::max_element(logits.begin(), logits.end());
  out.predicted = static_cast<std::int32_t>(best - logits.begin());
  const double largest = *best;
  const float of_label = logits[static_cast<std::size_t>(label)];
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    out.finite = out.finite && std::isfinite(logits[i]);
    sum += std::exp(static_cast<double>(logits[i]) - largest);
    // Of equal ones the first is likelier, as for `predicted`; what is not a number is no answer.
    const bool tie = logits[i] == of_label && i < static_cast<std::size_t>(label);
    const bool other = i != static_cast<std::size_t>(label);
    out.label_rank += other && (tie || !(logits[i] <= of_label)) ? 1 : 0;
  }
  out.confidence = 1 / sum;
  out.label_probability = std::exp(of_label - largest) / sum;
  out.loss = std::log(sum) + largest - of_label;
  return out;
}

namespace {

at::Tensor with_mirror(const Model& model, const at::Tensor& images) {
  const ForwardPass pass;
  const at::Tensor plain = model.forward(images, pass).to(at::kFloat);
  return at::add(plain, model.forward(at::flip(images, {3}), pass).to(at::kFloat)).mul_(0.5);
}

at::Tensor answer(const Model& model, const at::Tensor& images, const EvaluationOptions& options) {
  const AutocastScope autocast(options.precision, model.device().type());
  if (options.views == Views::plain) {
    return model.forward(images, ForwardPass{}).to(at::kFloat).cpu().contiguous();
  }
  at::Tensor logits = with_mirror(model, images);
  if (options.views == Views::flip_shift) {
    // One pixel more on every side, mirrored at the edge, as training's crops have it.
    const at::Tensor wide = at::reflection_pad2d(images, {1, 1, 1, 1});
    const auto moved = [&](std::int64_t by) {
      return wide.narrow(2, by, images.size(2))
          .narrow(3, by, images.size(3))
          .contiguous(images.suggest_memory_format());
    };
    logits.mul_(0.5)
        .add_(with_mirror(model, moved(0)), 0.25)
        .add_(with_mirror(model, moved(2)), 0.25);
  }
  return logits.cpu().contiguous();
}

}  // namespace

Evaluation evaluate(const Model& model, const BatchMaker& maker, const SplitView& split,
                    const EvaluationOptions& options,
                    const std::function<void(const Judgement&)>& each,
                    const std::function<void(std::int64_t done)>& between) {
  const at::NoGradGuard no_grad;
  double loss = 0;
  bool finite = true;
  std::int64_t correct = 0;
  std::vector<std::int32_t> rows;
  for (std::int64_t at = 0; at < split.count; at += options.batch_size) {
    between(at);
    rows.resize(static_cast<std::size_t>(std::min(options.batch_size, split.count - at)));
    std::iota(rows.begin(), rows.end(), static_cast<std::int32_t>(at));
    const at::Tensor logits = answer(model, maker.plain(split, rows).to(model.device()), options);
    const auto classes = static_cast<std::size_t>(logits.size(1));
    const float* values = logits.const_data_ptr<float>();
    for (const auto row : rows) {
      Judgement judgement = judge({values, classes}, split.labels[static_cast<std::size_t>(row)]);
      values += classes;
      judgement.row = row;
      loss += judgement.loss;
      finite = finite && judgement.finite;
      correct += judgement.predicted == judgement.label ? 1 : 0;
      if (each) each(judgement);
    }
  }
  const auto count = static_cast<double>(std::max<std::int64_t>(split.count, 1));
  return {loss / count, static_cast<double>(correct) / count, split.count, finite};
}

}  // namespace cifarpipe::learn
