#include "stages/learn/optimizer.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "stages/learn/muon.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(optimizer)

struct Plain {
  double w, m = 0, v = 0;
};

/// Three steps of `rule` on a channels-last weight against the formula, element by element.
void check(const OptimizerOptions& options,
           const std::function<void(Plain&, double g, int step)>& formula) {
  const at::Tensor weight = at::rand({4, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor begin = weight.clone();
  weight.set_requires_grad(true);
  Optimizer rule(options, {{"w", weight}});
  std::vector<at::Tensor> gradients;
  for (int step = 0; step < 3; ++step) {
    gradients.push_back(at::randn({4, 3, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast));
    weight.mutable_grad() = gradients.back().clone();
    rule.step(0.01);
  }
  double worst = 0;
  for (int i = 0; i < weight.numel(); ++i) {
    const auto element = [i](const at::Tensor& t) {
      return static_cast<double>(t.detach().contiguous().flatten()[i].item<float>());
    };
    Plain plain{element(begin)};
    for (int step = 0; step < 3; ++step) {
      formula(plain, element(gradients[static_cast<std::size_t>(step)]), step + 1);
    }
    worst = std::max(worst, std::abs(plain.w - element(weight)));
  }
  BOOST_TEST(worst < 1e-6);
}

void adam(Plain& p, double g, int step) {
  p.m = 0.9 * p.m + 0.1 * g;
  p.v = 0.999 * p.v + 0.001 * g * g;
  p.w -= 0.01 * (p.m / (1 - std::pow(0.9, step))) /
         (std::sqrt(p.v / (1 - std::pow(0.999, step))) + 1e-8);
}

BOOST_AUTO_TEST_CASE(adam_adds_the_decay_to_the_gradient) {
  check({"adam", 0.3, 0}, [](Plain& p, double g, int step) { adam(p, g + 0.3 * p.w, step); });
}

BOOST_AUTO_TEST_CASE(adamw_takes_the_decay_apart) {
  check({"adamw", 0.3, 0}, [](Plain& p, double g, int step) {
    p.w -= 0.01 * 0.3 * p.w;
    adam(p, g, step);
  });
}

BOOST_AUTO_TEST_CASE(sgd_with_and_without_momentum) {
  check({"sgd", 0.3, 0.9}, [](Plain& p, double g, int) {
    p.m = 0.9 * p.m + g + 0.3 * p.w;
    p.w -= 0.01 * p.m;
  });
  check({"sgd", 0, 0}, [](Plain& p, double g, int) { p.w -= 0.01 * g; });
}

BOOST_AUTO_TEST_CASE(nesterov_looks_ahead) {
  check({"sgd", 0.3, 0.9, true}, [](Plain& p, double g, int) {
    const double decayed = g + 0.3 * p.w;
    p.m = 0.9 * p.m + decayed;
    p.w -= 0.01 * (decayed + 0.9 * p.m);
  });
}

BOOST_AUTO_TEST_CASE(biases_have_a_rate_of_their_own) {
  const at::Tensor weight = at::ones({2}).set_requires_grad(true);
  const at::Tensor bias = at::ones({2}).set_requires_grad(true);
  OptimizerOptions options{"sgd", 0.1, 0};
  options.bias_lr = 4;
  Optimizer rule(options, {{"a.weight", weight}, {"a.bias", bias}});
  for (const auto* t : {&weight, &bias}) t->mutable_grad() = at::ones({2});
  rule.step(0.1);
  BOOST_TEST(std::abs(weight[0].item<double>() - (1 - 0.1 * (1 + 0.1))) < 1e-6);
  BOOST_TEST(std::abs(bias[0].item<double>() - (1 - 0.4 * (1 + 0.1 / 4))) < 1e-6);
}

BOOST_AUTO_TEST_CASE(clipping_shortens_all_gradients_together) {
  const auto moved = [](double limit) {
    const at::Tensor a = at::zeros({1}).set_requires_grad(true);
    const at::Tensor b = at::zeros({1}).set_requires_grad(true);
    OptimizerOptions options{"sgd", 0, 0};
    options.clip_norm = limit;
    Optimizer rule(options, {{"a", a}, {"b", b}});
    a.mutable_grad() = at::full({1}, 3.0);
    b.mutable_grad() = at::full({1}, 4.0);
    rule.step(1);
    return std::pair{-a.item<double>(), -b.item<double>()};
  };
  BOOST_TEST((moved(0) == std::pair{3.0, 4.0}));
  BOOST_TEST((moved(5.1) == std::pair{3.0, 4.0}));
  BOOST_TEST(std::abs(moved(1).first - 0.6) < 1e-6);
  BOOST_TEST(std::abs(moved(1).second - 0.8) < 1e-6);
}

BOOST_AUTO_TEST_CASE(muon_orthogonalises_filters_and_leaves_the_rest_to_sgd) {
  at::manual_seed(2);
  for (const auto& [rows, columns] : {std::pair{16, 90}, {90, 16}}) {
    const at::Tensor values = at::linalg_svdvals(orthogonalised(at::randn({rows, columns})));
    BOOST_TEST(values.min().item<double>() > 0.5);
    BOOST_TEST(values.max().item<double>() < 1.3);
  }
  const at::Tensor filters =
      at::randn({8, 4, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast).set_requires_grad(true);
  const at::Tensor head = at::ones({3, 2}).set_requires_grad(true);
  OptimizerOptions options{"muon", 0, 0};
  options.muon_lr = 5;
  Optimizer rule(options, {{"conv.weight", filters}, {"head.weight", head}});
  const at::Tensor before = filters.detach().clone();
  filters.mutable_grad() = at::randn({8, 4, 3, 3}).contiguous(at::MemoryFormat::ChannelsLast);
  head.mutable_grad() = at::ones({3, 2});
  const at::Tensor gradient = filters.grad().clone();
  rule.step(0.1);
  BOOST_TEST(at::allclose(head, at::full({3, 2}, 0.9)));
  const at::Tensor scaled = before * (std::sqrt(8.0) / before.norm().item<double>());
  const at::Tensor update = orthogonalised(gradient.reshape({8, -1})).reshape({8, 4, 3, 3});
  BOOST_TEST(at::allclose(filters, scaled - update * 0.5, 1e-4, 1e-5));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
