// Every network computes what PyTorch computes with the same weights: logits, loss, the gradient of
// every tensor, running statistics, and the loss after a step. Every optimiser moves every tensor
// as PyTorch moves it. The expected numbers come from tests/parity/make_models.py.
#include <ATen/Functions.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "stages/learn/optimizer.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {

/// Networks this small are quicker without a second thread, and PyTorch had one too.
struct OneThread {
  OneThread() { at::set_num_threads(1); }
  OneThread(const OneThread&) = delete;
  ~OneThread() { at::set_num_threads(before); }
  int before = at::get_num_threads();
};

BOOST_AUTO_TEST_SUITE(parity, *boost::unit_test::fixture<OneThread>())

/// What make_models.py calls the figures of a tensor.
struct Figures {
  double length = 0;
  double projection = 0;
};

struct NamedFigures {
  const char* tensor;
  Figures figures;
};

struct ExpectedNetwork {
  const char* architecture;
  std::vector<double> numbers;
  std::vector<NamedFigures> tensors;
};

struct ExpectedChange {
  const char* architecture;
  const char* rule;
  std::vector<NamedFigures> tensors;
};

const std::vector<ExpectedNetwork>& expected_networks() {
  static const std::vector<ExpectedNetwork> all = {
#include "tests/parity/models.inc"
  };
  return all;
}

const std::vector<ExpectedChange>& expected_changes() {
  static const std::vector<ExpectedChange> all = {
#include "tests/parity/optimizers.inc"
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

/// The floating tensors in the order of their names: a tensor's place is its number.
std::vector<NamedTensor> numbered(const Model& model) {
  auto all = all_tensors(model);
  std::erase_if(all, [](const NamedTensor& t) { return !t.tensor.is_floating_point(); });
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

/// Without dropout, whose draws are not PyTorch's.
std::unique_ptr<Model> filled(const std::string& architecture, bool fusion) {
  Network network = make_network(architecture, {32, 32, 3, 10});
  for (Node& node : network.nodes) {
    if (node.op == Op::dropout) node.value = 0;
  }
  auto model = std::make_unique<Model>(std::move(network), true);
  model->initialise(1);
  model->set_fusion(fusion);
  const at::NoGradGuard no_grad;
  int number = 0;
  for (const auto& [name, tensor] : numbered(*model)) {
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

Figures figures(const at::Tensor& tensor, int number) {
  const at::Tensor values = tensor.contiguous().flatten().to(at::kDouble);
  const at::Tensor direction = noise(values.sizes(), 200 + number).to(at::kDouble);
  return {values.norm().item<double>(), values.dot(direction).item<double>()};
}

/// Both within a part of the length; `least` is what counts as none. A projection is allowed more:
/// the few elements that rounding brought to the other side of a ReLU weigh more there.
void check(const std::string& what, const Figures& found, const Figures& wanted, double part,
           double least) {
  const double tolerance = part * wanted.length + least;
  BOOST_TEST(std::abs(found.length - wanted.length) <= tolerance,
             what << " has the length " << found.length << ", PyTorch's " << wanted.length);
  BOOST_TEST(std::abs(found.projection - wanted.projection) <= 3 * tolerance,
             what << " has the projection " << found.projection << ", PyTorch's "
                  << wanted.projection << " at the length " << wanted.length);
}

/// By name, with the tensor's number.
std::map<std::string, std::pair<int, at::Tensor>> by_name(const Model& model) {
  std::map<std::string, std::pair<int, at::Tensor>> all;
  int number = 0;
  for (const auto& [name, tensor] : numbered(model)) all[name] = {number++, tensor};
  return all;
}

/// The gradients of all tensors and the running statistics, after one pass and its way back.
void compare_tensors(const std::string& name, const Model& model, const ExpectedNetwork& wanted) {
  const auto tensors = by_name(model);
  std::size_t gradients = 0;
  for (const auto& [tensor_name, of] : wanted.tensors) {
    const auto& [number, tensor] = tensors.at(tensor_name);
    const bool gradient = std::string(tensor_name).find("running") == std::string::npos;
    gradients += gradient ? 1 : 0;
    // The gradient of a bias before a batch norm is nothing but rounding.
    check(name + " " + tensor_name, figures(gradient ? tensor.grad() : tensor, number), of, 2e-3,
          1e-6 * wanted.numbers[21]);
  }
  BOOST_TEST(gradients == model.parameters().size());
  BOOST_TEST(wanted.tensors.size() - gradients ==
             static_cast<std::size_t>(std::count_if(
                 model.buffers().begin(), model.buffers().end(), [](const NamedTensor& t) {
                   return t.name.find("running") != std::string::npos;
                 })));
}

/// With the gradients that are there; the weights are put back.
double loss_after_step(Model& model, const OptimizerOptions& options, double lr) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> before;
  for (const auto& [name, tensor] : model.parameters()) before.push_back(tensor.clone());
  Optimizer(options, model.trained()).step(lr);
  const double loss = train_loss(model).item<double>();
  for (std::size_t i = 0; i < before.size(); ++i) model.parameters()[i].tensor.copy_(before[i]);
  return loss;
}

void compare(const ExpectedNetwork& wanted, bool fusion) {
  const std::string name = wanted.architecture + std::string(fusion ? ", fused" : "");
  const auto& numbers = wanted.numbers;
  const auto model = filled(wanted.architecture, fusion);
  {
    const at::NoGradGuard no_grad;
    const at::Tensor logits = model->forward(images(), {});
    for (std::int64_t i = 0; i < 20; ++i) {
      check(name + " logit", logits[i / 10][i % 10].item<double>(),
            numbers[static_cast<std::size_t>(i)], 2e-4);
    }
  }
  const at::Tensor loss = train_loss(*model);
  loss.backward();
  double squares = 0;
  for (const auto& [tensor_name, tensor] : model->parameters()) {
    squares += std::pow(tensor.grad().norm().item<double>(), 2);
  }
  check(name + " loss", loss.item<double>(), numbers[20], 2e-4);
  check(name + " gradient", std::sqrt(squares), numbers[21], 2e-3);
  compare_tensors(name, *model, wanted);
  check(name + " adam", loss_after_step(*model, {"adam", 0.1}, 1e-4), numbers[22], 2e-3);
  check(name + " adamw", loss_after_step(*model, {"adamw", 0.1}, 1e-4), numbers[23], 2e-3);
  check(name + " sgd", loss_after_step(*model, {"sgd", 0.1, 0.9, true}, 1e-2), numbers[24], 5e-3);
}

BOOST_AUTO_TEST_CASE(networks_compute_what_pytorch_computes) {
  std::vector<std::string> checked{"fastnet_wide", "linear"};  // fastnet's code, and one layer
  for (const auto& wanted : expected_networks()) {
    checked.emplace_back(wanted.architecture);
    compare(wanted, false);
    compare(wanted, true);
  }
  std::vector<std::string> known = architectures();
  std::sort(known.begin(), known.end());
  std::sort(checked.begin(), checked.end());
  BOOST_TEST(checked == known, boost::test_tools::per_element());
}

/// As make_models.py has them, with its rates.
const std::map<std::string, std::pair<OptimizerOptions, double>>& rules() {
  OptimizerOptions sgd{"sgd", 0.1, 0.85, true};
  sgd.bias_lr = 64;
  OptimizerOptions muon = sgd;
  muon.rule = "muon";
  muon.muon_lr = 0.24;
  muon.muon_momentum = 0.6;
  static const std::map<std::string, std::pair<OptimizerOptions, double>> all = {
      {"adam", {{"adam", 0.1}, 1e-2}},
      {"adamw", {{"adamw", 0.1}, 1e-2}},
      {"sgd", {{"sgd", 0.1, 0}, 1e-2}},
      {"sgd with momentum", {sgd, 1e-2}},
      {"muon", {muon, 1e-2}}};
  return all;
}

BOOST_AUTO_TEST_CASE(optimizers_move_every_tensor_as_pytorch_does) {
  BOOST_TEST(expected_changes().size() == 2 * rules().size());
  for (const auto& [architecture, rule, wanted] : expected_changes()) {
    const auto model = filled(architecture, true);
    const auto& [options, lr] = rules().at(rule);
    const auto tensors = by_name(*model);
    std::map<std::string, at::Tensor> before;
    for (const auto& [name, tensor] : model->trained()) before[name] = tensor.detach().clone();
    Optimizer optimizer(options, model->trained());
    for (int step = 0; step < 3; ++step) {
      for (auto& [name, tensor] : model->trained()) {
        at::Tensor gradient = at::empty_like(tensor);  // Lies as the parameter does.
        const at::NoGradGuard no_grad;
        gradient.copy_(noise(tensor.sizes(), 400 + 100 * step + tensors.at(name).first) * 0.01);
        tensor.mutable_grad() = gradient;
      }
      optimizer.step(lr * (1 + step));
    }
    BOOST_TEST(wanted.size() == before.size());
    for (const auto& [name, of] : wanted) {
      const auto& [number, tensor] = tensors.at(name);
      check(std::string(architecture) + " " + rule + " " + name,
            figures(tensor.detach() - before.at(name), number), of, 2e-4, 1e-6);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
