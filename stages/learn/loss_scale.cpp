#include "stages/learn/loss_scale.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

namespace cifarpipe::learn {

bool LossScale::unscale(const std::vector<NamedTensor>& trained) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> gradients;
  for (const auto& [name, tensor] : trained) {
    if (tensor.grad().defined()) gradients.push_back(tensor.grad());
  }
  if (gradients.empty()) return true;
  const auto options = gradients.front().options().dtype(at::kFloat);
  at::Tensor found = at::zeros({1}, options);
  at::_amp_foreach_non_finite_check_and_unscale_(gradients, found,
                                                 at::full({1}, 1 / factor, options));
  const bool finite = found.item<float>() == 0;
  if (!finite) {
    factor /= 2;
    good_steps = 0;
  } else if (++good_steps == kGrowthSteps) {
    factor *= 2;
    good_steps = 0;
  }
  return finite;
}

}  // namespace cifarpipe::learn
