// Fused and unfused computation give the same; gradients are checked against differences.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include <cmath>
#include <map>

#include "stages/learn/compute_scope.hpp"
#include "stages/learn/fused_norm.hpp"
#include "stages/learn/model.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(fusion)

struct Norm {
  explicit Norm(std::int64_t channels) {
    tensors.weight = at::rand({channels}) + 0.5;
    tensors.weight[0].neg_();  // The largest of four is then the smallest of x.
    tensors.bias = at::randn({channels}) * 0.3;
    tensors.conv_bias = at::randn({channels});
    for (auto* t : {&tensors.weight, &tensors.bias, &tensors.conv_bias}) t->set_requires_grad(true);
    tensors.running_mean = at::randn({channels});
    tensors.running_var = at::rand({channels}) + 0.5;
  }
  NormTensors tensors;
};

/// The same by libtorch's own operations.
at::Tensor unfused(const at::Tensor& x, const at::Tensor& residual, const NormTensors& norm,
                   const NormSettings& s) {
  at::Tensor y = x + norm.conv_bias.view({1, -1, 1, 1});
  y = at::batch_norm(y, norm.weight, norm.bias, norm.running_mean, norm.running_var,
                     s.batch_statistics, s.momentum, s.epsilon, false);
  if (residual.defined()) y = y + residual;
  if (s.activation == Activation::relu) y = at::relu(y);
  if (s.activation == Activation::gelu) y = at::gelu(y);
  if (s.pool) y = at::max_pool2d(y, {2, 2});
  return y;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

void compare(const NormSettings& settings, bool with_residual, std::int64_t side) {
  at::manual_seed(1);
  const auto make = [&] {
    return (at::randn({3, 20, side, side + 1}) * 2 + 5)
        .contiguous(at::MemoryFormat::ChannelsLast)
        .set_requires_grad(true);
  };
  const at::Tensor x = make();
  const at::Tensor residual = with_residual ? make() : at::Tensor();
  Norm a(20);
  NormTensors b;
  for (const auto& [to, from] : {std::pair{&b.weight, a.tensors.weight},
                                 {&b.bias, a.tensors.bias},
                                 {&b.conv_bias, a.tensors.conv_bias}}) {
    *to = from.detach().clone().set_requires_grad(true);
  }
  b.running_mean = a.tensors.running_mean.clone();
  b.running_var = a.tensors.running_var.clone();

  const at::Tensor fused = fused_norm(x, residual, a.tensors, settings);
  const at::Tensor weights = at::randn(fused.sizes());
  (fused * weights).sum().backward();
  const at::Tensor x_gradient = x.grad().clone();
  const at::Tensor residual_gradient = with_residual ? residual.grad().clone() : at::Tensor();
  x.mutable_grad() = at::Tensor();
  if (with_residual) residual.mutable_grad() = at::Tensor();
  const at::Tensor plain = unfused(x, residual, b, settings);
  (plain * weights).sum().backward();

  BOOST_TEST((fused.sizes() == plain.sizes()));
  BOOST_TEST(difference(fused, plain) < 2e-5);
  BOOST_TEST(difference(x_gradient, x.grad()) < 2e-5);
  if (with_residual) BOOST_TEST(difference(residual_gradient, residual.grad()) < 2e-5);
  BOOST_TEST(difference(a.tensors.weight.grad(), b.weight.grad()) < 2e-3);
  BOOST_TEST(difference(a.tensors.bias.grad(), b.bias.grad()) < 2e-3);
  BOOST_TEST(difference(a.tensors.conv_bias.grad(), b.conv_bias.grad()) < 2e-3);
  BOOST_TEST(difference(a.tensors.running_mean, b.running_mean) < 1e-5);
  BOOST_TEST(difference(a.tensors.running_var, b.running_var) < 1e-5);
}

BOOST_AUTO_TEST_CASE(norm_and_its_surroundings_equal_single_operations) {
  for (const bool batch : {true, false}) {
    for (const auto activation : {Activation::none, Activation::relu, Activation::gelu}) {
      NormSettings settings;
      settings.batch_statistics = batch;
      settings.activation = activation;
      compare(settings, false, 6);
      compare(settings, true, 5);
      settings.pool = activation != Activation::gelu;
      if (settings.pool) compare(settings, false, 6);  // 7 columns: the last is in no window
      if (settings.pool) compare(settings, false, 5);
    }
  }
}

BOOST_AUTO_TEST_CASE(gelu_is_the_exact_one) {
  NormSettings settings;
  settings.batch_statistics = false;
  settings.epsilon = 0;
  settings.activation = Activation::gelu;
  NormTensors norm{at::ones({1}), at::zeros({1}), at::zeros({1}), at::ones({1}), {}};
  for (auto* t : {&norm.weight, &norm.bias}) t->set_requires_grad(true);
  const at::Tensor x = at::linspace(-12, 12, 4801).view({1, 1, 1, -1}).set_requires_grad(true);
  const at::Tensor y = fused_norm(x, {}, norm, settings);
  y.sum().backward();
  const at::Tensor gradient = x.grad().clone();
  x.mutable_grad() = at::Tensor();
  const at::Tensor exact = at::gelu(x);
  exact.sum().backward();
  BOOST_TEST(difference(y, exact) < 2e-6);
  BOOST_TEST(difference(gradient, x.grad()) < 2e-6);
}

BOOST_AUTO_TEST_CASE(max_pool_equals_libtorchs) {
  for (const std::int64_t kernel : {2, 3, 4}) {
    const at::Tensor x = at::randint(0, 5, {2, 300, 13, 9})
                             .to(at::kFloat)  // many equal ones: the first must win
                             .contiguous(at::MemoryFormat::ChannelsLast)
                             .set_requires_grad(true);
    const at::Tensor y = fused_max_pool(x, kernel);
    const at::Tensor weights = at::randn(y.sizes());
    (y * weights).sum().backward();
    const at::Tensor gradient = x.grad().clone();
    x.mutable_grad() = at::Tensor();
    const at::Tensor plain = at::max_pool2d(x, {kernel, kernel});
    (plain * weights).sum().backward();
    BOOST_TEST(y.equal(plain));
    BOOST_TEST(gradient.equal(x.grad()));
  }
}

BOOST_AUTO_TEST_CASE(a_nan_is_not_lost) {
  Norm norm(4);
  NormSettings settings;
  settings.batch_statistics = false;
  settings.activation = Activation::relu;
  settings.pool = true;
  at::Tensor x = at::zeros({1, 4, 4, 4});
  x[0][1][1][1].fill_(std::nan(""));
  x[0][2][2][3].fill_(std::nan(""));
  const at::Tensor y = fused_norm(x, {}, norm.tensors, settings);
  BOOST_TEST(y.isnan().sum().item<int>() == 2);
  BOOST_TEST(fused_max_pool(x, 2).isnan().sum().item<int>() == 2);
}

BOOST_AUTO_TEST_CASE(instruction_sets_give_the_same_bits) {
  const FusedKernels* sets[] = {&baseline::kernels(true), &fused_kernels(true)};
  at::manual_seed(3);
  const at::Tensor x = at::randn({2, 6, 8, 37}).to(at::kBFloat16);  // NHWC
  const at::Tensor g = at::randn({2, 3, 4, 37}).to(at::kBFloat16);
  const at::Tensor scale = at::randn({37});
  const at::Tensor shift = at::randn({37});
  const at::Tensor ones = at::ones({37});
  std::vector<at::Tensor> results[2];
  for (int i = 0; i < 2; ++i) {
    NormPass pass;
    const at::Tensor y = at::zeros_like(g);
    const at::Tensor dx = at::zeros_like(x);
    const at::Tensor sums = at::zeros({74});
    pass.x = x.const_data_ptr();
    pass.gradient = g.const_data_ptr();
    pass.y = y.mutable_data_ptr();
    pass.x_gradient = dx.mutable_data_ptr();
    pass.scale = scale.const_data_ptr<float>();
    pass.shift = pass.pivot = shift.const_data_ptr<float>();
    pass.channels = 37;
    pass.height = 6;
    pass.width = 8;
    pass.pool = true;
    pass.activation = Activation::relu;
    pass.dropout_key = 99;
    pass.dropout_threshold = 20000;
    const float* one = ones.const_data_ptr<float>();
    sets[i]->statistics(pass, 0, 12, sums.mutable_data_ptr<float>());
    sets[i]->forward(pass, 0, 6);
    sets[i]->reduce(pass, 0, 6, sums.mutable_data_ptr<float>());
    sets[i]->backward(pass, {one, one, one}, 0, 6);
    results[i] = {y, dx, sums};
  }
  for (std::size_t k = 0; k < 3; ++k) BOOST_TEST(results[0][k].equal(results[1][k]));
}

/// Loss and gradients of one batch, with and without fusion.
void compare_models(const std::string& architecture, bool bf16, double tolerance) {
  at::manual_seed(5);
  const at::Tensor images = at::randn({8, 3, 32, 32}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor labels = at::randint(0, 10, {8}, at::kLong);
  std::vector<NamedTensor> gradients[2];
  double losses[2];
  for (const bool fused : {false, true}) {
    const auto model = make_model(architecture, {32, 32, 3, 10});
    model->initialise(7);
    model->set_fusion(fused);
    ForwardPass pass{true, 11, 3};
    at::Tensor logits;
    {
      const AutocastScope autocast(bf16 ? Precision::bf16 : Precision::fp32);
      logits = model->forward(images, pass).to(at::kFloat);
    }
    const at::Tensor loss = at::cross_entropy_loss(logits, labels);
    loss.backward();
    losses[fused] = loss.item<double>();
    for (const auto& [name, tensor] : model->parameters()) {
      gradients[fused].push_back({name, tensor.grad()});
    }
    for (const auto& buffer : model->buffers()) gradients[fused].push_back(buffer);
  }
  BOOST_TEST(std::abs(losses[0] - losses[1]) < tolerance * std::abs(losses[0]),
             architecture << ": " << losses[0] << " and " << losses[1]);
  for (std::size_t i = 0; i < gradients[0].size(); ++i) {
    const at::Tensor a = gradients[0][i].tensor.to(at::kDouble);
    const at::Tensor b = gradients[1][i].tensor.to(at::kDouble);
    // A batch norm cancels the bias before it: fused it has no gradient, unfused mere rounding.
    if (b.abs().max().item<double>() == 0) continue;
    const double relative = ((a - b).norm() / a.norm()).item<double>();
    BOOST_TEST(relative < 50 * tolerance,
               architecture << ' ' << gradients[0][i].name << ": " << relative);
  }
}

BOOST_AUTO_TEST_CASE(whole_networks_learn_the_same_with_and_without_fusion) {
  for (const auto& name : architectures()) compare_models(name, false, 1e-4);
  compare_models("cifar10net", true, 2e-2);
}

BOOST_AUTO_TEST_CASE(one_value_a_channel_leaves_numbers_too) {
  // One image of 4x4: from its third group on, resnet18's batch norms see one value a channel,
  // whose unbiased variance would be 0 / 0. What comes after the first of them is rounding alone.
  at::manual_seed(6);
  const at::Tensor image = at::randn({1, 3, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  std::map<std::string, at::Tensor> left[2];
  for (const bool fused : {false, true}) {
    const auto model = make_model("resnet18", {4, 4, 3, 10});
    model->initialise(7);
    model->set_fusion(fused);
    const at::Tensor logits = model->forward(image, {true, 11, 3});
    at::cross_entropy_loss(logits, at::full({1}, 3, at::kLong)).backward();
    for (const auto& [name, tensor] : model->parameters()) left[fused][name] = tensor.grad();
    for (const auto& [name, tensor] : model->buffers()) left[fused][name] = tensor;
    for (const auto& [name, tensor] : left[fused]) {
      BOOST_TEST(tensor.isfinite().all().item<bool>(), name);
    }
  }
  for (const char* first : {"layer3.0.bn1.", "layer3.0.downsample.1."}) {
    for (const char* statistic : {"running_mean", "running_var"}) {
      const std::string name = std::string(first) + statistic;
      BOOST_TEST(difference(left[0].at(name), left[1].at(name)) < 1e-5, name);
    }
  }
}

BOOST_AUTO_TEST_CASE(gradients_agree_with_differences) {
  at::manual_seed(9);
  Norm norm(6);
  NormSettings settings;
  settings.activation = Activation::gelu;
  const at::Tensor x = at::randn({2, 6, 4, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  const at::Tensor weights = at::randn({2, 6, 4, 4});
  const auto loss = [&](const at::Tensor& at) {
    return (fused_norm(at, {}, norm.tensors, settings) * weights).to(at::kDouble).sum();
  };
  at::Tensor moved = x.clone().set_requires_grad(true);
  loss(moved).backward();
  const at::Tensor direction = at::randn({2, 6, 4, 4});
  const double step = 1e-2;
  const double numeric =
      (loss(x + direction * step) - loss(x - direction * step)).item<double>() / (2 * step);
  const double analytic = (moved.grad() * direction).sum().item<double>();
  BOOST_TEST(std::abs(numeric - analytic) < 2e-3 * std::abs(analytic) + 1e-3);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
