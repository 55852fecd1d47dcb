#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>

#include "stages/learn/dropout.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(dropout_layer)

const CounterRandom kRandom(42, Purpose::dropout, 5, 1);

BOOST_AUTO_TEST_CASE(keeps_the_expectation) {
  const at::Tensor x = at::ones({100, 1001});
  for (const double p : {0.25, 0.5, 0.1}) {
    const at::Tensor y = dropout(x, p, kRandom.key());
    const double zeros = (y == 0).to(at::kDouble).mean().item<double>();
    BOOST_TEST(std::abs(zeros - p) < 0.006);
    BOOST_TEST(std::abs(y.mean().item<float>() - 1) < 0.015);
    BOOST_TEST(std::abs(y.max().item<float>() - 1 / (1 - p)) < 1e-4);
  }
  BOOST_TEST(dropout(x, 0, kRandom.key()).equal(x));
}

BOOST_AUTO_TEST_CASE(neighbours_are_independent) {
  const at::Tensor kept =
      (dropout(at::ones({100000}), 0.5, kRandom.key()) != 0).to(at::kFloat) - 0.5;
  for (const int lag : {1, 2, 3, 4, 1024}) {
    const auto n = kept.size(0) - lag;
    const at::Tensor product = kept.narrow(0, 0, n) * kept.narrow(0, lag, n);
    BOOST_TEST(std::abs(product.mean().item<float>()) < 0.25 * 4 / std::sqrt(100000.0));
  }
}

BOOST_AUTO_TEST_CASE(the_backward_pass_has_the_same_mask) {
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x =
        at::rand({4, 32, 9, 9}).to(type).add(1).contiguous(at::MemoryFormat::ChannelsLast);
    x.set_requires_grad(true);
    const at::Tensor y = dropout(x, 0.25, kRandom.key());
    BOOST_TEST(y.is_contiguous(at::MemoryFormat::ChannelsLast));
    // A gradient that lies otherwise in memory, as flatten's does.
    y.backward(at::ones(y.sizes(), type));
    const at::Tensor kept = y.detach() != 0;
    BOOST_TEST((x.grad() != 0).equal(kept));
    BOOST_TEST((y.detach() / x.detach())
                   .to(at::kFloat)
                   .sub(x.grad().to(at::kFloat))
                   .mul(kept.to(at::kFloat))
                   .abs()
                   .max()
                   .item<float>() < 0.02);
  }
}

BOOST_AUTO_TEST_CASE(the_mask_depends_on_key_and_place_only) {
  const at::Tensor x = at::ones({300, 1000});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = dropout(x, 0.5, kRandom.key());
  at::set_num_threads(2);
  at::manual_seed(99);
  BOOST_TEST(dropout(x, 0.5, kRandom.key()).equal(one));
  at::set_num_threads(threads);
  // A smaller tensor has the larger one's beginning.
  BOOST_TEST(dropout(at::ones({777}), 0.5, kRandom.key()).equal(one.flatten().narrow(0, 0, 777)));
  BOOST_TEST(!dropout(x, 0.5, CounterRandom(42, Purpose::dropout, 5, 2).key()).equal(one));
  BOOST_TEST(!dropout(x, 0.5, CounterRandom(42, Purpose::dropout, 6, 1).key()).equal(one));
  BOOST_TEST(!dropout(x, 0.5, CounterRandom(43, Purpose::dropout, 5, 1).key()).equal(one));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
