#include "stages/learn/model.hpp"

#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>

#include "stages/learn/optimizer.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(model)

std::unique_ptr<Model> cifar(bool channels_last = true) {
  auto made = make_model("cifar10net", {32, 32, 3, 10, channels_last});
  made->initialise(42);
  return made;
}

const at::Tensor& named(const Model& model, const std::string& name) {
  static std::vector<NamedTensor> all;
  all = all_tensors(model);
  for (const auto& tensor : all) {
    if (tensor.name == name) return tensor.tensor;
  }
  throw std::runtime_error(name);
}

BOOST_AUTO_TEST_CASE(the_reference_network_has_its_parameters) {
  const auto net = cifar();
  BOOST_TEST(net->parameter_count() == 1'342'122);
  std::string names;
  for (const auto& [name, tensor] : all_tensors(*net)) names += name + " ";
  std::string expected;
  for (int i = 1; i <= 6; ++i) {
    const std::string n = std::to_string(i);
    expected += "conv" + n + ".weight conv" + n + ".bias bn" + n + ".weight bn" + n + ".bias ";
  }
  expected += "fc1.weight fc1.bias fc2.weight fc2.bias ";
  for (int i = 1; i <= 6; ++i) {
    const std::string bn = "bn" + std::to_string(i);
    expected += bn + ".running_mean " + bn + ".running_var " + bn + ".num_batches_tracked ";
  }
  BOOST_TEST(names == expected);
}

BOOST_AUTO_TEST_CASE(initialised_as_pytorch_does) {
  const auto net = cifar();
  const auto check = [&](const std::string& layer, double fan_in) {
    const float bound = static_cast<float>(1 / std::sqrt(fan_in));
    const at::Tensor weight = named(*net, layer + ".weight").detach();
    BOOST_TEST(weight.abs().max().item<float>() <= bound);
    BOOST_TEST(std::abs(weight.std().item<float>() - bound / std::sqrt(3.0F)) < bound * 0.05F);
    BOOST_TEST(std::abs(weight.mean().item<float>()) < bound * 0.1F);
    const at::Tensor bias = named(*net, layer + ".bias").detach();
    BOOST_TEST(bias.abs().max().item<float>() <= bound);
    BOOST_TEST(bias.abs().max().item<float>() > bound * 0.5F);
  };
  check("conv1", 27);
  check("conv4", 576);
  check("fc1", 2048);
  check("fc2", 512);
  BOOST_TEST(named(*net, "bn3.weight").detach().equal(at::ones({64})));
  BOOST_TEST(named(*net, "bn3.bias").detach().equal(at::zeros({64})));
  // Of the seed alone, whatever the memory order; another seed gives other weights.
  BOOST_TEST(named(*cifar(false), "conv4.weight").equal(named(*net, "conv4.weight")));
  const auto other = cifar();
  other->initialise(43);
  BOOST_TEST(!named(*other, "conv4.weight").equal(named(*net, "conv4.weight")));
}

BOOST_AUTO_TEST_CASE(works_for_other_sizes_and_refuses_odd_ones) {
  const auto net = make_model("cifar10net", {16, 24, 1, 3});
  net->initialise(1);
  ForwardPass pass;
  const at::Tensor logits = net->forward(at::rand({2, 1, 16, 24}), pass);
  BOOST_TEST((logits.sizes() == at::IntArrayRef{2, 3}));
  expect_error([] { make_model("cifar10net", {30, 32, 3, 10}); }, "multiples of 8, not 30x32");
  expect_error([] { make_model("resnet", {32, 32, 3, 10}); }, "no architecture 'resnet'");
}

BOOST_AUTO_TEST_CASE(memory_order_changes_nothing_but_rounding) {
  const at::Tensor images = at::rand({4, 3, 32, 32});
  ForwardPass pass;
  const at::Tensor first = cifar(false)->forward(images, pass);
  const at::Tensor last =
      cifar(true)->forward(images.contiguous(at::MemoryFormat::ChannelsLast), pass);
  BOOST_TEST((first - last).abs().max().item<float>() < 1e-4);
}

BOOST_AUTO_TEST_CASE(weights_survive_a_file) {
  TempFolder temp;
  const auto net = cifar();
  named(*net, "bn2.running_mean").fill_(0.125);
  named(*net, "bn2.num_batches_tracked").fill_(17);
  save_weights(temp.path() / "w", all_tensors(*net));
  const auto other = make_model("cifar10net", {32, 32, 3, 10});
  other->initialise(1);
  load_weights(temp.path() / "w", *other);
  const auto a = all_tensors(*net);
  const auto b = all_tensors(*other);
  for (std::size_t i = 0; i < a.size(); ++i) BOOST_TEST(a[i].tensor.equal(b[i].tensor), a[i].name);
  BOOST_TEST(named(*other, "conv2.weight").is_contiguous(at::MemoryFormat::ChannelsLast));

  const auto three = make_model("cifar10net", {32, 32, 3, 3});
  expect_error([&] { load_weights(temp.path() / "w", *three); },
               "tensor 'fc2.weight' is F32 10x512 instead of F32 3x512");
  const auto linear = make_model("linear", {32, 32, 3, 10});
  expect_error([&] { load_weights(temp.path() / "w", *linear); }, "no tensor 'fc.weight'");
  auto more = all_tensors(*net);
  more.push_back({"extra", at::ones({1})});
  save_weights(temp.path() / "more", more);
  expect_error([&] { load_weights(temp.path() / "more", *other); }, "'extra'");
}

BOOST_AUTO_TEST_CASE(model_json_and_what_fits_it) {
  TempFolder temp;
  const DatasetInfo data = small_info();
  ModelInfo info{"linear", 8, 8, 3, data.classes, data.mean, data.std, 772, 5};
  write_model_info(temp.path(), info);
  const ModelInfo read = read_model_info(temp.path());
  BOOST_TEST(read.architecture == "linear");
  BOOST_TEST(read.classes == data.classes);
  BOOST_TEST(read.mean == data.mean);
  BOOST_TEST(read.std == data.std);
  BOOST_TEST(read.parameters == 772);
  BOOST_TEST(read.epoch == 5);
  BOOST_CHECK_NO_THROW(require_fit(read, data));

  DatasetInfo larger = data;
  larger.height = 16;
  expect_error(
      [&] { require_fit(read, larger); },
      "the model takes images of 8x8x3, the dataset's are 16x8x3 (height x width x channels)");
  DatasetInfo fewer = data;
  fewer.classes.pop_back();
  expect_error([&] { require_fit(read, fewer); }, "knows 4 classes, the dataset has 3");
  DatasetInfo renamed = data;
  renamed.classes[2] = "teal";
  expect_error([&] { require_fit(read, renamed); },
               "class 2 is 'blue' for the model and 'teal' in the dataset");
  write_text(temp.path() / "model.json", "{}");
  expect_error([&] { read_model_info(temp.path()); }, "is damaged");
}

BOOST_AUTO_TEST_CASE(prefixes_end_anywhere_but_in_a_number) {
  BOOST_TEST(has_prefix("conv10.weight", "conv"));
  BOOST_TEST(has_prefix("conv10.weight", "conv10"));
  BOOST_TEST(has_prefix("conv10.weight", "conv10."));
  BOOST_TEST(!has_prefix("conv10.weight", "conv1"));
  BOOST_TEST(!has_prefix("conv10.weight", "bn"));
  BOOST_TEST(!has_prefix("conv10.weight", ""));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
