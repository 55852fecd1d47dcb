// The layers that models are made of: plain structs that hold their tensors, and one forward
// function each. What surrounds a convolution (bias, batch norm, ReLU, pooling, dropout) is called
// in one place only, `ConvBlock::forward`, so that it can be replaced by one fused operation.
// The tensors are shared handles: the model's lists of parameters and the layers refer to the same
// storage. Stage's thread only.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace cifarpipe::learn {

/// One pass of one batch through a model.
struct ForwardPass {
  bool training = false;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;           ///< Number of the batch since the beginning of training.
  std::uint64_t dropout_layer = 0;  ///< Counts the dropouts of this pass.

  at::Tensor dropout(const at::Tensor& x, double p);
};

struct Conv2d {
  Conv2d(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t padding,
         at::MemoryFormat format);
  at::Tensor forward(const at::Tensor& x) const;

  at::Tensor weight;
  at::Tensor bias;
  std::int64_t padding;
};

struct BatchNorm2d {
  explicit BatchNorm2d(std::int64_t channels);
  /// In training, uses the batch's statistics and moves the running ones.
  at::Tensor forward(const at::Tensor& x, const ForwardPass& pass);

  at::Tensor weight;
  at::Tensor bias;
  at::Tensor running_mean;
  at::Tensor running_var;
  at::Tensor num_batches_tracked;
};

struct Linear {
  Linear(std::int64_t in, std::int64_t out);
  at::Tensor forward(const at::Tensor& x) const;

  at::Tensor weight;
  at::Tensor bias;
};

/// conv, BN, ReLU, conv, BN, ReLU, max-pool 2, dropout; 3x3 convolutions that keep the size.
struct ConvBlock {
  ConvBlock(std::int64_t in, std::int64_t out, double dropout_p, at::MemoryFormat format);
  at::Tensor forward(const at::Tensor& x, ForwardPass& pass);

  Conv2d first;
  BatchNorm2d first_norm;
  Conv2d second;
  BatchNorm2d second_norm;
  double dropout_p;
};

}  // namespace cifarpipe::learn
