// The scale of the loss in fp16 follows torch.amp.GradScaler's rule: steps with gradients that are
// not finite are left out and halve it, two thousand good ones double it.
#include "stages/learn/loss_scale.hpp"

#include <ATen/Functions.h>

#include <limits>

#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(loss_scale)

std::vector<NamedTensor> with_gradient(float value) {
  at::Tensor weight = at::zeros({3});
  weight.set_requires_grad(true);
  weight.mutable_grad() = at::full({3}, value);
  return {{"w", weight}};
}

BOOST_AUTO_TEST_CASE(gradients_are_divided_by_the_scale) {
  LossScale scale;
  const auto trained = with_gradient(65536 * 3);
  BOOST_TEST(scale.unscale(trained));
  BOOST_TEST(trained[0].tensor.grad()[1].item<float>() == 3);
  BOOST_TEST(scale.factor == 65536);
  BOOST_TEST(scale.good_steps == 1);
}

BOOST_AUTO_TEST_CASE(a_step_that_is_not_finite_is_left_out_and_halves_it) {
  LossScale scale;
  scale.good_steps = 7;
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    const double before = scale.factor;
    BOOST_TEST(!scale.unscale(with_gradient(bad)));
    BOOST_TEST(scale.factor == before / 2);
    BOOST_TEST(scale.good_steps == 0);
  }
}

BOOST_AUTO_TEST_CASE(many_good_steps_double_it) {
  LossScale scale;
  for (std::int64_t i = 1; i < LossScale::kGrowthSteps; ++i) scale.unscale(with_gradient(1));
  BOOST_TEST(scale.factor == 65536);
  scale.unscale(with_gradient(1));
  BOOST_TEST(scale.factor == 131072);
  BOOST_TEST(scale.good_steps == 0);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
