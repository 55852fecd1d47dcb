#include "stages/export/check.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "stages/export/onnx_spelled.hpp"
#include "stages/export/opencv_net.hpp"
#include "stages/export/script_module.hpp"
#include "stages/learn/torch_file.hpp"

namespace cifarpipe {
namespace {

/// The model's tensors from a file of this program's own; everything must be there.
void copy_weights(const learn::StateDict& file, const std::string& name,
                  const learn::Model& model) {
  const at::NoGradGuard no_grad;
  for (const auto& [key, to] : learn::all_tensors(model)) {
    const auto found = file.tensors().find(key);
    if (found == file.tensors().end()) throw Error(name + " has no tensor '" + key + "'");
    at::Tensor values = at::empty(to.sizes(), to.scalar_type());
    if (found->second.bytes.size() != values.nbytes()) {
      throw Error(name + ": tensor '" + key + "' has another size than the model's");
    }
    std::memcpy(values.mutable_data_ptr(), found->second.bytes.data(), values.nbytes());
    to.copy_(values);
  }
}

}  // namespace

at::Tensor in_batches(const at::Tensor& images,
                      const std::function<at::Tensor(const at::Tensor& batch)>& answer) {
  constexpr std::int64_t kBatch = 64;
  std::vector<at::Tensor> parts;
  for (std::int64_t at = 0; at < images.size(0); at += kBatch) {
    parts.push_back(answer(images.slice(0, at, std::min(at + kBatch, images.size(0)))));
  }
  return parts.size() == 1 ? parts[0].contiguous() : at::cat(parts).contiguous();
}

at::Tensor answers(const learn::Model& model, const at::Tensor& normalised) {
  const at::NoGradGuard no_grad;
  return in_batches(
      normalised, [&](const at::Tensor& batch) { return model.forward(batch, {}).to(at::kFloat); });
}

double require_agreement(const std::string& file, const at::Tensor& logits,
                         const Reference& reference) {
  const at::Tensor got = logits.contiguous();
  if (got.sizes() != reference.logits.sizes() || got.scalar_type() != at::kFloat) {
    throw Error(file + " does not agree with the checkpoint: it gives an output of another shape");
  }
  const auto classes = static_cast<std::size_t>(got.size(1));
  const float* have = got.const_data_ptr<float>();
  const float* want = reference.logits.const_data_ptr<float>();
  double worst = 0;
  std::int64_t worst_image = 0;
  for (const std::int64_t position : reference.positions) {
    double largest = 1;
    double apart = 0;
    for (std::size_t i = 0; i < classes; ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(want[i])));
      const double difference = std::abs(static_cast<double>(have[i]) - want[i]);
      // What is not a number is as far away as can be.
      apart = std::isnan(difference) ? INFINITY : std::max(apart, difference);
    }
    if (apart / largest > worst) {
      worst = apart / largest;
      worst_image = position;
    }
    have += classes;
    want += classes;
  }
  if (worst <= reference.tolerance) return worst;
  throw Error(
      fmt::format("{} does not agree with the checkpoint: its logits differ by {:.3g} of the "
                  "largest (or of 1), "
                  "more than the tolerance {:g}, for image {} of the split {}",
                  file, worst, reference.tolerance, worst_image, reference.split));
}

namespace {

/// What OpenCV makes of a model in bytes, N x classes.
at::Tensor logits_by_opencv(const std::string& bytes, const std::string& name,
                            const Reference& reference) {
  const at::Tensor images = reference.images.contiguous();
  const auto count = static_cast<std::size_t>(images.numel());
  const std::vector<float> values = answers_by_opencv(
      bytes, name, {images.const_data_ptr<float>(), count},
      {images.size(0), images.size(1), images.size(2), images.size(3)}, reference.threads);
  const auto all = static_cast<std::int64_t>(values.size());
  at::Tensor logits = at::empty({images.size(0), all / images.size(0)}, at::kFloat);
  std::copy_n(values.begin(), logits.numel(), logits.mutable_data_ptr<float>());
  return logits;
}

}  // namespace

double check_onnx(const std::filesystem::path& file, const Reference& reference) {
  const std::string name = file.filename().string();
  return require_agreement(name, logits_by_opencv(learn::read_text(file), name, reference),
                           reference);
}

double check_onnx_int8(const std::filesystem::path& file, const Reference& reference) {
  const std::string name = file.filename().string();
  const std::string floats = spelled_out(learn::read_text(file), name);
  return require_agreement(name, logits_by_opencv(floats, name, reference), reference);
}

double check_script(const std::filesystem::path& file, const Reference& reference) {
  ScriptModule module(file);
  const at::Tensor logits =
      in_batches(reference.images, [&](const at::Tensor& batch) { return module.forward(batch); });
  return require_agreement(file.filename().string(), logits, reference);
}

double check_weights(const std::filesystem::path& file, const Reference& reference,
                     const learn::Model& empty) {
  const std::string name = file.filename().string();
  copy_weights(learn::read_state_dict(file), name, empty);
  return require_agreement(name, answers(empty, reference.normalised), reference);
}

}  // namespace cifarpipe
