// Schedules, mixes, losses, averages, whitening and early stopping. Expected numbers of schedules
// are PyTorch 2.13's, printed by tests/parity/make_schedules.py.
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "stages/learn/whitening.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(recipe)

void check_rates(const Schedule& schedule, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double rate = learning_rate(schedule, {static_cast<std::int64_t>(i), 2, 4});
    BOOST_TEST(std::abs(rate - expected[i]) < 1e-12 + 1e-9 * expected[i],
               schedule.rule << " step " << i << ": " << rate << ", expected " << expected[i]);
  }
}

BOOST_AUTO_TEST_CASE(schedules_are_pytorchs) {
  Schedule s;
  s.lr = 0.1;
  s.rule = "step";
  s.step_size = 2;
  check_rates(s, {0.1, 0.1, 0.1, 0.1, 0.010000000000000002, 0.010000000000000002,
                  0.010000000000000002, 0.010000000000000002});
  s.rule = "multi_step";
  s.milestones = {1, 3};
  check_rates(s, {0.1, 0.1, 0.010000000000000002, 0.010000000000000002, 0.010000000000000002,
                  0.010000000000000002, 0.0010000000000000002, 0.0010000000000000002});
  s.rule = "cosine";
  check_rates(s, {0.1, 0.09619397662556434, 0.08535533905932738, 0.06913417161825448, 0.05,
                  0.03086582838174552, 0.01464466094067263, 0.0038060233744356645});
  s.rule = "linear";
  s.end = 0.2;
  check_rates(s, {0.1, 0.09, 0.08, 0.07, 0.06, 0.05, 0.04, 0.03});
  s.rule = "constant";
  check_rates(s, {0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1});
}

BOOST_AUTO_TEST_CASE(warm_up_rises_and_one_cycle_is_pytorchs) {
  Schedule s;
  s.lr = 0.1;
  s.rule = "linear";
  s.warmup = 1;
  s.warmup_from = 0.2;
  check_rates(s, {0.02, 0.06, 0.1, 0.1 * 5 / 6, 0.1 * 4 / 6, 0.05, 0.1 * 2 / 6, 0.1 / 6});
  s.rule = "one_cycle";
  s.warmup = 2;
  s.warmup_from = 0.04;
  s.end = 0.04 / 1e4;
  check_rates(
      s, {0.004, 0.028, 0.076, 0.1, 0.08535539763797113, 0.0500002, 0.014645002362028864, 4e-07});
}

BOOST_AUTO_TEST_CASE(mixes_have_the_shares_they_say) {
  LossOptions options;
  options.mixup = 0.4;
  at::Tensor images = at::arange(4).to(at::kFloat).view({4, 1, 1, 1}).expand({4, 1, 8, 8}).clone();
  const at::Tensor before = images.clone();
  double sum = 0;
  for (int batch = 0; batch < 400; ++batch) {
    const Mix mix = draw_mix(options, 1, batch, 8, 8);
    BOOST_TEST(!mix.cut);
    BOOST_TEST((mix.share >= 0 && mix.share <= 1));
    BOOST_TEST(mix.share == draw_mix(options, 1, batch, 8, 8).share);
    sum += mix.share;
  }
  BOOST_TEST(std::abs(sum / 400 - 0.5) < 0.06);  // Beta(a, a) is symmetric
  Mix half;
  half.share = 0.75;
  mix_images(images, half);
  BOOST_TEST(std::abs(images[0][0][0][0].item<double>() - 0.75) < 1e-6);  // 0.75 * 0 + 0.25 * 3

  options = {};
  options.cutmix = 1;
  images = before.clone();
  for (int batch = 0; batch < 50; ++batch) {
    const Mix mix = draw_mix(options, 1, batch, 8, 8);
    BOOST_TEST(mix.cut);
    images = before.clone();
    mix_images(images, mix);
    const double own = (images[0] == 0).to(at::kDouble).mean().item<double>();
    BOOST_TEST(std::abs(own - mix.share) < 1e-9);
    BOOST_TEST((mix.share < 0.5) == mix.main_labels(at::arange(4)).equal(at::arange(4).flip({0})));
  }
}

BOOST_AUTO_TEST_CASE(beta_draws_have_their_variance) {
  for (const double a : {0.2, 1.0, 2.0, 8.0}) {
    LossOptions options;
    options.mixup = a;
    double squares = 0;
    for (int batch = 0; batch < 4000; ++batch) {
      squares += std::pow(draw_mix(options, 7, batch, 8, 8).share - 0.5, 2);
    }
    const double expected = 1 / (4 * (2 * a + 1));
    BOOST_TEST(std::abs(squares / 4000 - expected) < 0.1 * expected, a << ": " << squares / 4000);
  }
}

BOOST_AUTO_TEST_CASE(class_weights_average_one_and_must_fit) {
  const std::vector<std::int32_t> labels = {0, 0, 0, 1};
  SplitView train;
  train.count = 4;
  train.labels = labels;
  DatasetInfo info = small_info();
  info.classes = {"a", "b"};
  LossOptions options;
  options.balance_classes = true;
  const at::Tensor logits = at::randn({4, 2});
  const at::Tensor target = at::tensor({0, 0, 0, 1}, at::kLong);
  const auto plain = at::cross_entropy_loss(logits, target, {}, at::Reduction::None);
  const double expected =
      (plain[0] + plain[1] + plain[2]).item<double>() * 2 / 3 / 4 + plain[3].item<double>() * 2 / 4;
  BOOST_TEST(std::abs(Loss(options, train, info).of(logits, target, {}).item<double>() - expected) <
             1e-6);
  options = {};
  options.class_weights = {1, 2, 3};
  expect_error([&] { Loss(options, train, info); }, "3 numbers, but there are 2 classes");
  options.class_weights = {0, 0};
  expect_error([&] { Loss(options, train, info); }, "leaves no image");
  options = {};
  options.label_smoothing = 0.2;
  BOOST_TEST(std::abs(Loss(options, train, info).of(logits, target, {}).item<double>() -
                      at::cross_entropy_loss(logits, target, {}, at::Reduction::Mean, -100, 0.2)
                          .item<double>()) < 1e-6);
}

BOOST_AUTO_TEST_CASE(averages_follow_and_are_what_is_kept) {
  const auto model = make_model("linear", {8, 8, 3, 4});
  model->initialise(1);
  Averaging ema({"ema", 0.9, 1}, *model);
  const at::Tensor weight = model->parameters()[0].tensor;
  const at::Tensor first = weight.detach().clone();
  const at::NoGradGuard no_grad;
  weight.fill_(1);
  ema.after_step(1, 10);
  BOOST_TEST(at::allclose(ema.averages()[0].tensor, first * 0.9 + 0.1));
  BOOST_TEST(weight.equal(at::ones_like(weight)));
  {
    const AveragedScope averaged(ema);
    BOOST_TEST(at::allclose(weight, first * 0.9 + 0.1));
  }
  BOOST_TEST(weight.equal(at::ones_like(weight)));
  Averaging lookahead({"lookahead", 0.5, 2}, *model);
  weight.fill_(3);
  lookahead.after_step(1, 4);  // not yet
  BOOST_TEST(weight.equal(at::full_like(weight, 3)));
  lookahead.after_step(2, 4);  // 0.5^2 * (2/4)^3 of what was: 1
  const double kept = 0.25 / 8;
  BOOST_TEST(at::allclose(weight, at::full_like(weight, kept * 1 + (1 - kept) * 3)));
}

BOOST_AUTO_TEST_CASE(whitened_patches_have_no_correlation) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 200));
  const DatasetInfo& info = data.info();
  const BatchMaker maker({info.height, info.width, info.channels, info.mean, info.std});
  const auto model = make_model("fastnet", {32, 32, 3, 4});
  model->initialise(3);
  whiten(*model, maker, data.split("train"), 200, 0);
  at::Tensor bank;
  for (const auto& [name, tensor] : all_tensors(*model)) {
    if (name == "whiten.weight") bank = tensor;
  }
  std::vector<std::int32_t> rows(200);
  for (int i = 0; i < 200; ++i) rows[static_cast<std::size_t>(i)] = i;
  const at::Tensor out = at::conv2d(maker.plain(data.split("train"), rows), bank);
  const at::Tensor flat = out.permute({1, 0, 2, 3}).reshape({24, -1}).to(at::kDouble);
  const at::Tensor covariance = flat.mm(flat.t()) / static_cast<double>(flat.size(1));
  const at::Tensor half = covariance.narrow(0, 0, 12).narrow(1, 0, 12);
  BOOST_TEST((half - at::eye(12, at::kDouble)).abs().max().item<double>() < 1e-4);
  BOOST_TEST(bank.narrow(0, 12, 12).equal(-bank.narrow(0, 0, 12)));
}

BOOST_AUTO_TEST_CASE(patience_ends_training) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 40, 40));
  FakeHost host(temp.make("checkpoints"));
  TrainOptions options;
  options.architecture = "linear";
  options.epochs = 30;
  options.batch_size = 20;
  options.schedule.lr = 1e-30;  // nothing is ever better than the first
  options.patience = 3;
  Trainer trainer(options, training_data(data), host);
  trainer.run();
  BOOST_TEST(trainer.state().epoch == 4);
  TempFolder other;
  const DatasetReader none(make_small_dataset(other, 40));
  expect_error([&] { Trainer(options, training_data(none), host); }, "needs a validation split");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
