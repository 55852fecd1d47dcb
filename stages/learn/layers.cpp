#include "stages/learn/layers.hpp"

#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>

#include "stages/learn/dropout.hpp"

namespace cifarpipe::learn {
namespace {

// PyTorch's defaults.
constexpr double kNormMomentum = 0.1;
constexpr double kNormEpsilon = 1e-5;

at::Tensor parameter(at::IntArrayRef shape,
                     at::MemoryFormat format = at::MemoryFormat::Contiguous) {
  at::Tensor made = at::empty(shape, at::TensorOptions(at::kFloat), format);
  made.set_requires_grad(true);
  return made;
}

}  // namespace

at::Tensor ForwardPass::dropout(const at::Tensor& x, double p) {
  if (!training) return x;
  return learn::dropout(x, p, CounterRandom(seed, Purpose::dropout, step, dropout_layer++));
}

Conv2d::Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t padding,
               at::MemoryFormat format)
    : weight(parameter({out, in, kernel, kernel}, format)),
      bias(parameter({out})),
      padding(padding) {}

at::Tensor Conv2d::forward(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, at::IntArrayRef{1, 1}, at::IntArrayRef{padding, padding});
}

BatchNorm2d::BatchNorm2d(std::int64_t channels)
    : weight(parameter({channels})),
      bias(parameter({channels})),
      running_mean(at::zeros({channels}, at::kFloat)),
      running_var(at::ones({channels}, at::kFloat)),
      num_batches_tracked(at::zeros({}, at::kLong)) {}

at::Tensor BatchNorm2d::forward(const at::Tensor& x, const ForwardPass& pass) {
  if (pass.training) ++*num_batches_tracked.mutable_data_ptr<std::int64_t>();
  return at::batch_norm(x, weight, bias, running_mean, running_var, pass.training, kNormMomentum,
                        kNormEpsilon, /*cudnn_enabled=*/false);
}

Linear::Linear(std::int64_t in, std::int64_t out)
    : weight(parameter({out, in})), bias(parameter({out})) {}

at::Tensor Linear::forward(const at::Tensor& x) const {
  return at::linear(x, weight, bias);
}

ConvBlock::ConvBlock(std::int64_t in, std::int64_t out, double dropout_p, at::MemoryFormat format)
    : first(in, out, 3, 1, format),
      first_norm(out),
      second(out, out, 3, 1, format),
      second_norm(out),
      dropout_p(dropout_p) {}

at::Tensor ConvBlock::forward(const at::Tensor& x, ForwardPass& pass) {
  // ReLU works in place: batch norm's backward pass needs its input and not its output.
  at::Tensor y = first_norm.forward(first.forward(x), pass);
  y = second_norm.forward(second.forward(at::relu_(y)), pass);
  y = at::max_pool2d(at::relu_(y), at::IntArrayRef{2, 2});
  return pass.dropout(y, dropout_p);
}

}  // namespace cifarpipe::learn
