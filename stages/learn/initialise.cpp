// First values of a model's tensors.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "stages/learn/counter_random.hpp"
#include "stages/learn/model.hpp"

namespace cifarpipe::learn {
namespace {

/// Uniform in [-bound, bound), in row-major order whatever the memory order is.
void fill_uniform(const at::Tensor& tensor, double bound, const CounterRandom& random) {
  at::Tensor values = at::empty(tensor.sizes(), at::kFloat);
  auto* to = values.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    to[i] = static_cast<float>((2 * random.unit(static_cast<std::uint64_t>(i)) - 1) * bound);
  }
  tensor.copy_(values);
}

/// The first filters, as many as there are input channels, let theirs through.
void fill_dirac(const at::Tensor& weight) {
  const std::int64_t count = std::min(weight.size(0), weight.size(1));
  for (std::int64_t i = 0; i < count; ++i) {
    const at::Tensor filter = weight.select(0, i);
    filter.fill_(0);
    filter.select(0, i).select(0, weight.size(2) / 2).select(0, weight.size(3) / 2).fill_(1);
  }
}

/// Kaiming with a = sqrt(5) comes to this; a layer's bias has the bound of its weight.
double uniform_bound(const Node& node) {
  const std::int64_t window = node.op == Op::conv2d ? node.kernel * node.kernel : 1;
  return 1 / std::sqrt(static_cast<double>(node.in * window));
}

bool is_running(const TensorSpec& spec) {
  return spec.counts || spec.name.find(".running_") != std::string::npos;
}

}  // namespace

void Model::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  const auto all = all_tensors(*this);
  std::uint64_t number = 0;
  for (const TensorSpec& spec : network_.tensors()) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const NamedTensor& t) { return t.name == spec.name; });
    const at::Tensor& tensor = found->tensor;
    if (spec.init == Init::zero || spec.init == Init::one) {
      tensor.fill_(spec.init == Init::one ? 1 : 0);
    } else {
      const double bound = uniform_bound(network_.nodes[static_cast<std::size_t>(spec.node)]);
      fill_uniform(tensor, bound, CounterRandom(seed, Purpose::weights, number));
      if (spec.init == Init::dirac) fill_dirac(tensor);
    }
    // Numbers are part of what a seed means: they belong to weights and biases in their order.
    if (!is_running(spec)) ++number;
  }
}

}  // namespace cifarpipe::learn
