#include "stages/learn/muon.hpp"

#include <ATen/ops/add.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/norm.h>

#include <cmath>

namespace cifarpipe::learn {

/// X -> P X with P = a + b A + c A A and A = X X^T, three times. Since P and A commute, the next A
/// is P A P: only the first A and the last product touch the long side of X, which saves half the
/// work for the matrices of convolutions.
at::Tensor orthogonalised(const at::Tensor& matrix) {
  constexpr double a = 3.4445, b = -4.7750, c = 2.0315;
  const bool tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = tall ? matrix.t().contiguous() : matrix;
  x = x.div(at::norm(x).add(1e-7));
  at::Tensor square = at::mm(x, x.t());
  at::Tensor product;
  for (int step = 0; step < 3; ++step) {
    const at::Tensor factor = at::addmm(square, square, square, b, c);
    factor.diagonal().add_(a);
    product = step == 0 ? factor : at::mm(factor, product);
    if (step < 2) square = at::mm(factor, at::mm(square, factor));
  }
  x = at::mm(product, x);
  return tall ? x.t() : x;
}

void muon_step(at::Tensor& filters, const at::Tensor& gradient, at::Tensor& velocity, double lr,
               double momentum) {
  velocity.mul_(momentum).add_(gradient);
  const at::Tensor ahead = at::add(gradient, velocity, momentum);
  const at::Tensor update =
      orthogonalised(ahead.reshape({ahead.size(0), -1})).reshape(filters.sizes());
  const double length = at::norm(filters).item<float>();
  if (length > 0) filters.mul_(std::sqrt(static_cast<double>(filters.size(0))) / length);
  filters.add_(update, -lr);
}

}  // namespace cifarpipe::learn
