#include <ATen/core/grad_mode.h>
#include <ATen/ops/full_like.h>

#include <cmath>
#include <cstring>

#include "stages/finetune/beginning.hpp"
#include "stages/finetune/groups.hpp"
#include "stages/learn/tensor_file.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(finetune)

using Names = std::vector<std::string>;

BOOST_AUTO_TEST_CASE(groups_hold_each_class_once) {
  const Names classes = {"plane", "bird", "ship"};
  const auto mapped =
      map_to_groups({{"b", {"bird"}}, {"v", {"ship", "plane"}}, {"o", {}}}, classes);
  BOOST_TEST((mapped == std::vector<std::int32_t>{1, 0, 1}));
  const auto error = [&](const Groups& groups, const std::string& part) {
    expect_error([&] { map_to_groups(groups, classes); }, part);
  };
  error({{"b", {"bird"}}}, "in no group: 'plane', 'ship'");
  error({{"b", {"brid"}}}, "'brid', which is not a class of the dataset; did you mean 'bird'?");
  error({{"b", {"bird"}}, {"c", {"bird"}}}, "'bird' is in two groups, 'b' and 'c'");
  error({{"b", {"bird", "bird"}}}, "'bird' twice");
  error({{"", {"bird"}}, {"c", {"plane", "ship"}}}, "a group needs a name");
}

BOOST_AUTO_TEST_CASE(long_names_of_cifar10_mean_its_classes) {
  const auto named = [](const Names& classes) {
    return with_dataset_names({{"v", {"airplane", "automobile", "ship"}}}, classes)[0].second;
  };
  BOOST_TEST((named({"plane", "car", "ship"}) == Names{"plane", "car", "ship"}));
  BOOST_TEST((named({"airplane", "plane", "ship"}) == Names{"airplane", "automobile", "ship"}));
}

BOOST_AUTO_TEST_CASE(the_head_is_the_last_linear_layers) {
  const Network reference = make_network("cifar10net", {32, 32, 3, 10});
  BOOST_TEST((head_layers(reference) == Names{"fc1", "fc2"}));
  const Names body = body_layers(reference);
  BOOST_TEST(body.size() == 12u);
  BOOST_TEST(body.front() == "conv1");
  for (const std::string& name : architectures()) {
    const Network network = make_network(name, {32, 32, 3, 10});
    BOOST_TEST(!head_layers(network).empty(), name);
    const auto model = make_model(name, {32, 32, 3, 10});
    model->freeze(body_layers(network));
    for (const auto& [tensor, value] : model->trained()) {
      bool of_head = false;
      for (const auto& layer : head_layers(network)) of_head |= tensor.starts_with(layer + ".");
      BOOST_TEST(of_head, name << " trains " << tensor);
    }
  }
  BOOST_TEST((resolved({"auto"}, {"a"}) == Names{"a"}));
  BOOST_TEST((resolved({}, {"a"}) == Names{}));
}

BOOST_AUTO_TEST_CASE(weights_are_taken_over_but_for_the_reset_ones) {
  TempFolder temp;
  const auto model = make_model("cifar10net", {32, 32, 3, 10});
  model->initialise(3);
  save_weights(temp.path() / "w", all_tensors(*model));
  const SafetensorsReader file(temp.path() / "w");
  const Network three = make_network("cifar10net", {32, 32, 3, 3});
  const Start start = take_over(file.tensors(), three, {"fc1", "fc2"}, "the model");
  BOOST_TEST(start.weights.size() == all_tensors(*model).size() - 4);
  for (const auto& [name, tensor] : start.weights) BOOST_TEST(!name.starts_with("fc"));
  BOOST_TEST(start.weights[0].tensor.equal(model->parameters()[0].tensor.contiguous()));

  const auto error = [&](const TensorMap& tensors, const Names& reset, const std::string& part) {
    expect_error([&] { take_over(tensors, three, reset, "w.pth"); }, part);
  };
  error(file.tensors(), {"fc1"}, "w.pth has another shape of 'fc2.weight'");
  error(file.tensors(), {"head"}, "nothing to reset: no layer's name begins with 'head'");
  TensorMap tensors = file.tensors();
  tensors.erase("bn3.num_batches_tracked");  // Older files do not have it.
  take_over(tensors, three, {"fc1", "fc2"}, "w.pth");
  tensors.erase("bn3.running_mean");
  error(tensors, {"fc1", "fc2"}, "w.pth has no tensor 'bn3.running_mean'");
  tensors = file.tensors();
  tensors["extra"] = {};
  error(tensors, {"fc1", "fc2"}, "'extra' that the network lacks");
}

BOOST_AUTO_TEST_CASE(weights_that_are_not_finite_are_no_beginning) {
  TempFolder temp;
  const auto model = make_model("cifar10net", {32, 32, 3, 10});
  model->initialise(3);
  const auto start_with = [&](const std::string& broken, float value,
                              const std::vector<std::string>& reset) {
    auto tensors = all_tensors(*model);
    for (auto& [name, tensor] : tensors) {
      if (name == broken) tensor = at::full_like(tensor.detach(), value);
    }
    save_weights(temp.path() / "w", tensors);
    const SafetensorsReader file(temp.path() / "w");
    return take_over(file.tensors(), model->network(), reset, "w.pth").weights.size();
  };
  for (const float value : {NAN, INFINITY}) {
    expect_error(
        [&] {
          start_with("bn2.running_var", value, {"fc1", "fc2"});
        },
        "w.pth holds values that are not finite in 'bn2.running_var'");
    BOOST_TEST(start_with("fc1.bias", value, {"fc1", "fc2"}) > 0);  // It begins anew.
  }
}

BOOST_AUTO_TEST_CASE(frozen_layers_do_not_move_at_all) {
  TempFolder temp;
  DatasetInfo info = small_info();
  info.height = info.width = 32;
  const auto dir = temp.make("data");
  DatasetWriter writer(dir, info);
  for (int i = 0; i < 16; ++i) {
    writer.add("train", std::vector<std::uint8_t>(32 * 32 * 3, static_cast<std::uint8_t>(i * 9)),
               i % 4, i);
  }
  writer.finish();
  const auto before = make_model("cifar10net", {32, 32, 3, 4});
  before->initialise(3);
  const DatasetReader data(dir);
  TrainOptions options;
  options.epochs = 1;
  options.batch_size = 8;
  options.freeze = body_layers(before->network());
  Start start;
  for (const auto& named : all_tensors(*before)) {
    if (!named.name.starts_with("fc")) start.weights.push_back(named);
  }
  FakeHost host(temp.make("checkpoints"));
  Trainer trainer(options, training_data(data), host, start);
  trainer.run();
  const auto after = all_tensors(trainer.model());
  const auto all = all_tensors(*before);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool same = all[i].tensor.equal(after[i].tensor);
    BOOST_TEST(same == !all[i].name.starts_with("fc"), all[i].name);
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
