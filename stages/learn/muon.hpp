// Muon, an update rule for convolution filters: the momentum of each filter bank, as a matrix of
// [out, in * k * k], is brought to singular values near 1 before it is applied.
// Jordan et al. 2024 (kellerjordan.github.io/posts/muon); for convolutions as in airbench.
// Stage's thread only.
#pragma once

#include <ATen/core/Tensor.h>

namespace cifarpipe::learn {

/// [rows, columns] float to the nearest matrix with singular values near 1, by three steps of a
/// quintic Newton-Schulz iteration: they come to lie between 0.7 and 1.2.
at::Tensor orthogonalised(const at::Tensor& matrix);

/// One step. The filters are first scaled to a length of sqrt(out), which a batch norm behind them
/// does not notice; `velocity` lies as they do. Nesterov's momentum.
void muon_step(at::Tensor& filters, const at::Tensor& gradient, at::Tensor& velocity, double lr,
               double momentum);

}  // namespace cifarpipe::learn
