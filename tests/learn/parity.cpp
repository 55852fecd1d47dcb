// Every network computes what PyTorch computes with the same weights: logits, loss, gradients and
// one step of each optimiser. The expected numbers come from tests/parity/make_models.py.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "stages/learn/optimizer.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(parity)

struct Expected {
  const char* architecture;
  std::vector<double> numbers;
};

const std::vector<Expected>& expected() {
  static const std::vector<Expected> all = {
#include "tests/parity/models.inc"
  };
  return all;
}

/// make_models.py's noise.
at::Tensor noise(at::IntArrayRef shape, int number) {
  at::Tensor made = at::empty(shape, at::kFloat);
  auto* to = made.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < made.numel(); ++i) {
    const double v =
        std::sin(12.9898 * static_cast<double>(i) + 78.233 * (number + 1)) * 43758.5453;
    to[i] = static_cast<float>(2 * (v - std::floor(v)) - 1);
  }
  return made;
}

bool is_norm_scale(const std::string& name) {
  if (name.ends_with("running_var")) return true;
  const bool norm = name.find("norm") != std::string::npos ||
                    name.find("bn") != std::string::npos ||
                    name.find("downsample.1") != std::string::npos;
  return norm && name.ends_with("weight");
}

std::unique_ptr<Model> filled(const std::string& architecture, bool fusion) {
  auto model = make_model(architecture, {32, 32, 3, 10});
  model->initialise(1);
  model->set_fusion(fusion);
  const at::NoGradGuard no_grad;
  auto all = all_tensors(*model);
  std::erase_if(all, [](const NamedTensor& t) { return !t.tensor.is_floating_point(); });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  int number = 0;
  for (const auto& [name, tensor] : all) {
    at::Tensor values = noise(tensor.sizes(), number++);
    if (tensor.dim() > 1) {
      const auto fan_in = static_cast<double>(tensor.numel() / tensor.size(0));
      values = values * std::sqrt(6 / fan_in);
    } else if (is_norm_scale(name)) {
      values = values * 0.25 + 1;
    } else {
      values = values * 0.1;
    }
    tensor.copy_(values);
  }
  return model;
}

at::Tensor images() {
  return (noise({4, 3, 32, 32}, 99) * 2).contiguous(at::MemoryFormat::ChannelsLast);
}

at::Tensor train_loss(Model& model) {
  const ForwardPass pass{true, 1, 1};
  return at::cross_entropy_loss(model.forward(images(), pass), at::tensor({3, 7, 1, 9}, at::kLong));
}

void check(const std::string& what, double found, double wanted, double tolerance) {
  BOOST_TEST(std::abs(found - wanted) <= tolerance * std::max(1.0, std::abs(wanted)),
             what << ": " << found << ", PyTorch has " << wanted);
}

double loss_after_step(const std::string& architecture, bool fusion,
                       const OptimizerOptions& options, double lr) {
  const auto model = filled(architecture, fusion);
  Optimizer optimizer(options, model->trained());
  train_loss(*model).backward();
  optimizer.step(lr);
  return train_loss(*model).item<double>();
}

void compare(const Expected& wanted, bool fusion) {
  const std::string name = wanted.architecture + std::string(fusion ? ", fused" : "");
  const auto& numbers = wanted.numbers;
  {
    const at::NoGradGuard no_grad;
    const at::Tensor logits = filled(wanted.architecture, fusion)->forward(images(), {});
    for (std::int64_t i = 0; i < 20; ++i) {
      check(name + " logit", logits[i / 10][i % 10].item<double>(),
            numbers[static_cast<std::size_t>(i)], 2e-4);
    }
  }
  if (numbers.size() == 20) return;
  const auto model = filled(wanted.architecture, fusion);
  const at::Tensor loss = train_loss(*model);
  loss.backward();
  double squares = 0;
  for (const auto& [tensor_name, tensor] : model->parameters()) {
    squares += std::pow(tensor.grad().norm().item<double>(), 2);
  }
  check(name + " loss", loss.item<double>(), numbers[20], 2e-4);
  check(name + " gradient", std::sqrt(squares), numbers[21], 2e-3);
  check(name + " adam", loss_after_step(wanted.architecture, fusion, {"adam", 0.1}, 1e-4),
        numbers[22], 2e-3);
  check(name + " adamw", loss_after_step(wanted.architecture, fusion, {"adamw", 0.1}, 1e-4),
        numbers[23], 2e-3);
  check(name + " sgd", loss_after_step(wanted.architecture, fusion, {"sgd", 0.1, 0.9, true}, 1e-2),
        numbers[24], 5e-3);
}

BOOST_AUTO_TEST_CASE(networks_compute_what_pytorch_computes) {
  BOOST_TEST(expected().size() == 5u);
  for (const auto& wanted : expected()) {
    compare(wanted, false);
    compare(wanted, true);
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
