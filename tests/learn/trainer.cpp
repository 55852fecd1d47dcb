#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(trainer)

TrainOptions small_options() {
  TrainOptions options;
  options.epochs = 3;
  options.batch_size = 16;
  options.augmentation.padding = 1;
  options.schedule.step_size = 2;
  options.seed = 42;
  return options;
}

/// All weights of both artifacts as one text of bytes.
std::string weights(const Trainer& trainer, const TempFolder& temp, const std::string& name) {
  trainer.write_best(temp.make(name + "/best"));
  trainer.write_last(temp.make(name + "/last"));
  std::string all;
  for (const auto* part : {"best", "last"}) {
    all += read_text(weights_file(temp.path() / name / part));
    all += read_text(temp.path() / name / part / "model.json");
  }
  return all;
}

FakeHost::Points without_speed(FakeHost::Points points) {
  std::erase_if(points, [](const auto& point) {
    return point.first.first == TrainMetric::images_per_second;
  });
  return points;
}

at::Tensor flat_weights(const TrainOptions& options, const DatasetReader& data) {
  TempFolder temp;
  FakeHost host(temp.make("c"));
  Trainer trainer(options, training_data(data), host);
  trainer.run();
  std::vector<at::Tensor> parts;
  for (const auto& [name, tensor] : trainer.model().parameters()) {
    parts.push_back(tensor.detach().flatten());
  }
  return at::cat(parts);
}

BOOST_AUTO_TEST_CASE(learns_and_reports) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 200));
  FakeHost host(temp.make("c"));
  TrainOptions options = small_options();
  options.epochs = 8;
  options.schedule.step_size = 0;
  Trainer trainer(options, training_data(data), host);
  trainer.run();
  const auto at = [&](TrainMetric metric, int epoch) { return host.points.at({metric, epoch}); };
  BOOST_TEST(at(TrainMetric::accuracy, 8) > 0.7);
  BOOST_TEST(at(TrainMetric::loss, 8) < at(TrainMetric::loss, 1));
  BOOST_TEST(at(TrainMetric::lr, 8) == 1e-3);
  BOOST_TEST(at(TrainMetric::images_per_second, 8) > 0);
  BOOST_TEST(host.points.size() == 8U * 4);  // no validation, no step series
  BOOST_TEST(host.saved == 8);
  const std::string both = weights(trainer, temp, "out");
  BOOST_TEST(both.substr(0, both.size() / 2) == both.substr(both.size() / 2));  // best = last
}

BOOST_AUTO_TEST_CASE(the_loss_is_the_true_mean) {
  // With a learning rate that moves nothing and nothing random, the epoch's loss is the loss of
  // the first weights over all images, whatever the batches are (the last one is smaller).
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 50));
  TrainOptions options = small_options();
  options.architecture = "linear";
  options.epochs = 1;
  options.schedule.lr = 1e-30;
  options.augmentation.padding = 0;
  options.augmentation.flip = 0;
  options.step_metrics = true;
  std::vector<double> losses;
  for (const int batch : {50, 16}) {
    FakeHost host(temp.make("c"));
    options.batch_size = batch;
    options.accumulate = batch == 16 ? 3 : 1;
    Trainer trainer(options, training_data(data), host);
    trainer.run();
    losses.push_back(host.points.at({TrainMetric::loss, 1}));
    if (batch == 50) {
      BOOST_TEST(host.points.at({TrainMetric::step_loss, 1}) == losses[0]);
    } else {
      const double mean = (48 * host.points.at({TrainMetric::step_loss, 1}) +
                           2 * host.points.at({TrainMetric::step_loss, 2})) /
                          50;
      BOOST_TEST(std::abs(mean - losses[1]) < 1e-12);
    }
  }
  BOOST_TEST(std::abs(losses[0] - losses[1]) < 1e-6);
}

BOOST_AUTO_TEST_CASE(accumulation_equals_the_big_batch) {
  // 100 images: groups of 64 and 36 = 16 + 16 + 4. No batch norm, so only rounding differs.
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 100));
  TrainOptions options = small_options();
  options.architecture = "linear";
  options.optimizer.rule = "sgd";
  options.schedule.lr = 0.1;
  options.batch_size = 64;
  const at::Tensor big = flat_weights(options, data);
  options.batch_size = 16;
  options.accumulate = 4;
  const at::Tensor accumulated = flat_weights(options, data);
  options.accumulate = 1;
  const at::Tensor small = flat_weights(options, data);
  BOOST_TEST((big - accumulated).abs().max().item<float>() < 1e-5);
  BOOST_TEST((big - small).abs().max().item<float>() > 1e-3);
}

BOOST_AUTO_TEST_CASE(the_same_options_give_the_same_bits) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 60, 20));
  std::string first;
  for (const int round : {1, 2}) {
    FakeHost host(temp.make("c" + std::to_string(round)));
    Trainer trainer(small_options(), training_data(data), host);
    trainer.run();
    const std::string all = weights(trainer, temp, "out" + std::to_string(round));
    if (round == 1) first = all;
    BOOST_TEST((all == first));
    at::manual_seed(12345);  // what an earlier job may leave behind
    at::rand({10});
  }
  TrainOptions other = small_options();
  other.seed = 43;
  FakeHost host(temp.make("c3"));
  Trainer trainer(other, training_data(data), host);
  trainer.run();
  BOOST_TEST((weights(trainer, temp, "out3") != first));
}

/// Stops at every question in turn, goes on, and compares all with the undisturbed run.
void check_resume(const TrainOptions& options, int step) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 70, 40));
  FakeHost undisturbed(temp.make("c"));
  Trainer trainer(options, training_data(data), undisturbed);
  trainer.run();
  const std::string expected = weights(trainer, temp, "out");

  for (int stop_at = 0; stop_at < undisturbed.questions; stop_at += step) {
    const std::string name = std::to_string(stop_at);
    FakeHost host(temp.make("c" + name));
    host.stop_at = stop_at;
    BOOST_CHECK_THROW(Trainer(options, training_data(data), host).run(), Interrupted);
    host.lose_what_is_not_saved();
    host.questions = -1000;
    Trainer resumed(options, training_data(data), host);
    resumed.run();
    BOOST_TEST((weights(resumed, temp, "out" + name) == expected), "stopped at " << stop_at);
    BOOST_TEST((without_speed(host.points) == without_speed(undisturbed.points)),
               "stopped at " << stop_at);
  }
}

BOOST_AUTO_TEST_CASE(a_resumed_run_gives_the_same_bits) {
  check_resume(small_options(), 1);
}

BOOST_AUTO_TEST_CASE(also_inside_an_open_accumulation) {
  TrainOptions options = small_options();
  options.epochs = 2;
  options.accumulate = 2;  // 70 images: 16+16, 16+16, 6
  options.step_metrics = true;
  check_resume(options, 1);
}

BOOST_AUTO_TEST_CASE(also_with_other_rules_and_precision) {
  TrainOptions options = small_options();
  options.optimizer.rule = "sgd";
  options.precision = Precision::bf16;
  options.channels_last = false;
  check_resume(options, 3);
  options.optimizer.rule = "adamw";
  options.accumulate = 3;
  check_resume(options, 4);
}

BOOST_AUTO_TEST_CASE(also_among_epochs_of_smaller_images) {
  TrainOptions options = small_options();
  options.architecture = "wide_resnet16_4";
  options.image_sizes = {4, 6};
  options.loss.cutmix = 1;
  check_resume(options, 4);
}

BOOST_AUTO_TEST_CASE(also_while_averages_are_validated) {
  TrainOptions options = small_options();
  options.epochs = 2;
  options.averaging.decay = 0.8;
  for (const char* rule : {"ema", "lookahead"}) {
    options.averaging.rule = rule;
    options.averaging.every = 2;
    check_resume(options, 1);
  }
}

BOOST_AUTO_TEST_CASE(also_after_a_kill_without_warning) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 70, 40));
  TrainOptions options = small_options();
  FakeHost undisturbed(temp.make("c"));
  Trainer trainer(options, training_data(data), undisturbed);
  trainer.run();
  struct Killed {};
  class KilledHost : public FakeHost {
   public:
    using FakeHost::FakeHost;
    bool stop_requested() override {
      if (questions++ == 7) throw Killed{};  // In the second epoch: five batches make one.
      return false;
    }
  };
  KilledHost host(temp.make("k"));
  BOOST_CHECK_THROW(Trainer(options, training_data(data), host).run(), Killed);
  BOOST_TEST(host.saved == 1);
  host.lose_what_is_not_saved();
  Trainer resumed(options, training_data(data), host);
  resumed.run();
  BOOST_TEST((weights(resumed, temp, "b") == weights(trainer, temp, "a")));
  BOOST_TEST((without_speed(host.points) == without_speed(undisturbed.points)));
}

BOOST_AUTO_TEST_CASE(the_best_is_by_validation_accuracy) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 60, 40));
  FakeHost host(temp.make("c"));
  TrainOptions options = small_options();
  options.epochs = 6;
  options.schedule.lr = 0.02;  // rough enough that the last epoch need not be the best
  Trainer trainer(options, training_data(data), host);
  trainer.run();
  int best = 1;
  for (int epoch = 2; epoch <= 6; ++epoch) {
    const auto at = [&](int e) { return host.points.at({TrainMetric::val_accuracy, e}); };
    if (at(epoch) > at(best)) best = epoch;
  }
  weights(trainer, temp, "out");
  BOOST_TEST(read_model_info(temp.path() / "out/best").epoch == best);
  BOOST_TEST(read_model_info(temp.path() / "out/last").epoch == 6);

  // The best weights give the accuracy that was reported for them.
  const auto model = make_model("cifar10net", {8, 8, 3, 4});
  load_weights(weights_file(temp.path() / "out/best"), *model);
  const DatasetInfo info = data.info();
  const BatchMaker maker({8, 8, 3, info.mean, info.std});
  const Evaluation again =
      evaluate(*model, maker, data.split("validation"), {7}, nullptr, [](std::int64_t) {});
  BOOST_TEST(again.accuracy == host.points.at({TrainMetric::val_accuracy, best}));
}

BOOST_AUTO_TEST_CASE(a_loss_that_is_not_finite_stops_or_warns) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 60));
  TrainOptions options = small_options();
  options.architecture = "linear";
  options.optimizer.rule = "sgd";
  options.schedule.lr = 1e38;
  FakeHost host(temp.make("c"));
  expect_error([&] { Trainer(options, training_data(data), host).run(); },
               "no longer finite in epoch 1");
  options.stop_on_nan = false;
  FakeHost patient(temp.make("d"));
  Trainer(options, training_data(data), patient).run();
  BOOST_TEST(patient.warnings.size() == 1U);
}

/// One epoch of one batch, whose step is as large as `lr`: no batch's loss shows what it did.
TrainOptions one_step(double lr) {
  TrainOptions options = small_options();
  options.architecture = "linear";
  options.optimizer.rule = "sgd";
  options.batch_size = 60;
  options.epochs = 1;
  options.schedule.lr = lr;
  return options;
}

BOOST_AUTO_TEST_CASE(what_the_last_step_breaks_is_found_without_a_loss) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 60));
  FakeHost host(temp.make("c"));
  expect_error([&] { Trainer(one_step(1e300), training_data(data), host).run(); },
               "weights are no longer finite after epoch 1, the first of them in 'fc.weight'");
  BOOST_TEST(host.saved == 0);  // Nothing that a later attempt would go on from.
  TempFolder other;
  const DatasetReader judged(make_small_dataset(other, 60, 20));
  FakeHost second(temp.make("d"));
  expect_error([&] { Trainer(one_step(1e38), training_data(judged), second).run(); },
               "validation split are not finite after epoch 1");
}

BOOST_AUTO_TEST_CASE(what_is_not_finite_is_never_the_best) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 60, 20));
  for (const double lr : {1e300, 1e38}) {
    TrainOptions options = one_step(lr);
    options.stop_on_nan = false;
    FakeHost host(temp.make(lr > 1e200 ? "weights" : "answers"));
    Trainer trainer(options, training_data(data), host);
    trainer.run();
    BOOST_TEST(host.warnings.size() == 1U);
    BOOST_TEST(trainer.state().best_epoch == 0);
  }
}

BOOST_AUTO_TEST_CASE(a_damaged_checkpoint_is_told) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 60));
  FakeHost host(temp.make("c"));
  host.stop_at = 2;
  BOOST_CHECK_THROW(Trainer(small_options(), training_data(data), host).run(), Interrupted);
  write_text(temp.path() / "c/1/state.json", "{");
  expect_error([&] { Trainer(small_options(), training_data(data), host).run(); }, "checkpoint");
}

BOOST_AUTO_TEST_CASE(training_starts_from_given_weights_and_leaves_frozen_ones) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 40));
  FakeHost host(temp.make("checkpoints"));
  TrainOptions options = small_options();
  options.architecture = "cifar10net";
  options.epochs = 2;
  options.freeze = {"conv1", "bn1", "conv2", "bn2", "fc1"};
  const auto from = make_model("cifar10net", {8, 8, 3, 4});
  from->initialise(99);
  Start start;
  for (const auto& given : all_tensors(*from)) {
    if (!given.name.starts_with("fc2")) start.weights.push_back(given);
  }
  Trainer trainer(options, training_data(data), host, start);
  trainer.run();
  const auto after = all_tensors(trainer.model());
  for (const auto& [name, tensor] : all_tensors(*from)) {
    const auto found = std::find_if(after.begin(), after.end(),
                                    [&](const NamedTensor& t) { return t.name == name; });
    bool frozen = false;
    for (const auto& prefix : options.freeze) frozen = frozen || name.starts_with(prefix + ".");
    // Running statistics are among them.
    BOOST_TEST(found->tensor.equal(tensor) == frozen, name);
  }
  options.freeze = {"conv", "bn", "fc"};
  expect_error([&] { Trainer(options, training_data(data), host); }, "nothing is left to learn");
  options.freeze = {"conv7"};
  expect_error([&] { Trainer(options, training_data(data), host); }, "begins with 'conv7'");
  options.freeze.clear();
  const Start unknown{{{"conv7.weight", from->parameters()[0].tensor}}};
  expect_error([&] { Trainer(options, training_data(data), host, unknown); },
               "'conv7.weight' that cifar10net lacks");
  const Start other{{{"conv2.weight", from->parameters()[0].tensor}}};
  expect_error([&] { Trainer(options, training_data(data), host, other); },
               "another shape of 'conv2.weight'");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
