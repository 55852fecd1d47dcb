#include "stages/learn/network.hpp"

#include <algorithm>

#include "stages/learn/files.hpp"

namespace cifarpipe::learn {
namespace {

std::int64_t product(const std::vector<std::int64_t>& shape) {
  std::int64_t result = 1;
  for (const auto size : shape) result *= size;
  return result;
}

void add_norm(std::vector<TensorSpec>& all, const Node& node, int number) {
  const std::vector<std::int64_t> shape = {node.channels};
  all.push_back({node.name + ".weight", shape, number, Init::one, node.scale_learned});
  all.push_back({node.name + ".bias", shape, number, Init::zero});
  all.push_back({node.name + ".running_mean", shape, number, Init::zero, false});
  all.push_back({node.name + ".running_var", shape, number, Init::one, false});
  all.push_back({node.name + ".num_batches_tracked", {}, number, Init::zero, false, true});
}

}  // namespace

bool has_prefix(std::string_view name, std::string_view prefix) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (prefix.empty() || !name.starts_with(prefix)) return false;
  return name.size() == prefix.size() || !is_digit(prefix.back()) || !is_digit(name[prefix.size()]);
}

std::string_view op_name(Op op) {
  switch (op) {
    case Op::input:
      return "input";
    case Op::conv2d:
      return "conv2d";
    case Op::batch_norm:
      return "batch_norm";
    case Op::relu:
      return "relu";
    case Op::gelu:
      return "gelu";
    case Op::max_pool:
      return "max_pool";
    case Op::average_pool:
      return "average_pool";
    case Op::dropout:
      return "dropout";
    case Op::flatten:
      return "flatten";
    case Op::linear:
      return "linear";
    case Op::add:
      return "add";
    case Op::scale:
      return "scale";
  }
  return "";
}

std::vector<TensorSpec> Network::tensors() const {
  std::vector<TensorSpec> all;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    const int number = static_cast<int>(i);
    if (node.op == Op::batch_norm) add_norm(all, node, number);
    if (node.op != Op::conv2d && node.op != Op::linear) continue;
    std::vector<std::int64_t> shape = {node.channels, node.in};
    if (node.op == Op::conv2d) shape.insert(shape.end(), 2, node.kernel);
    all.push_back({node.name + ".weight", shape, number, node.init, node.init != Init::whitening});
    if (node.bias) all.push_back({node.name + ".bias", {node.channels}, number, node.bias_init});
  }
  return all;
}

std::int64_t Network::parameter_count() const {
  std::int64_t count = 0;
  for (const auto& tensor : tensors()) count += tensor.learned ? product(tensor.shape) : 0;
  return count;
}

std::int64_t Network::multiply_adds() const {
  std::int64_t count = 0;
  for (const Node& node : nodes) {
    if (node.op == Op::linear) count += node.in * node.channels;
    if (node.op == Op::conv2d) {
      count += node.in * node.kernel * node.kernel * node.channels * node.height * node.width;
    }
  }
  return count;
}

int Network::readers(int node) const {
  int count = 0;
  for (const Node& other : nodes) {
    count += static_cast<int>(std::count(other.inputs.begin(), other.inputs.end(), node));
  }
  return count;
}

NetworkBuilder::NetworkBuilder(std::string architecture, const ModelShape& shape)
    : architecture_(std::move(architecture)) {
  network_.input_channels = shape.channels;
  network_.input_height = shape.height;
  network_.input_width = shape.width;
  Node node;
  node.channels = shape.channels;
  node.height = shape.height;
  node.width = shape.width;
  network_.nodes.push_back(std::move(node));
}

int NetworkBuilder::push(Node node) {
  if (node.channels < 1 || node.height < 1 || node.width < 1) {
    throw Error("images of " + std::to_string(network_.input_height) + "x" +
                    std::to_string(network_.input_width) + " (height x width) are too small for " +
                    architecture_ + ": nothing of them is left at its " +
                    std::string(op_name(node.op)) +
                    (node.name.empty() ? "" : " '" + node.name + "'"),
                ErrorKind::usage);
  }
  network_.nodes.push_back(std::move(node));
  return static_cast<int>(network_.nodes.size()) - 1;
}

Node NetworkBuilder::after(Op op, int from) const {
  const Node& before = node(from);
  Node made;
  made.op = op;
  made.inputs = {from};
  made.channels = before.channels;
  made.height = before.height;
  made.width = before.width;
  return made;
}

int NetworkBuilder::conv(int from, std::string name, std::int64_t out, const ConvOptions& options) {
  Node made = after(Op::conv2d, from);
  made.name = std::move(name);
  made.in = made.channels;
  made.channels = out;
  made.kernel = options.kernel;
  made.stride = options.stride;
  made.padding = options.padding;
  made.bias = options.bias;
  made.init = options.init;
  made.bias_init = options.bias_init;
  const auto size = [&](std::int64_t side) {
    const std::int64_t room = side + 2 * options.padding - options.kernel;
    return room < 0 ? 0 : room / options.stride + 1;
  };
  made.height = size(made.height);
  made.width = size(made.width);
  return push(std::move(made));
}

int NetworkBuilder::batch_norm(int from, std::string name, const NormOptions& options) {
  Node made = after(Op::batch_norm, from);
  made.name = std::move(name);
  made.value = options.epsilon;
  made.momentum = options.momentum;
  made.scale_learned = options.scale_learned;
  return push(std::move(made));
}

int NetworkBuilder::relu(int from) {
  return push(after(Op::relu, from));
}

int NetworkBuilder::gelu(int from) {
  return push(after(Op::gelu, from));
}

int NetworkBuilder::max_pool(int from, std::int64_t kernel) {
  Node made = after(Op::max_pool, from);
  made.kernel = kernel;
  made.height /= kernel;
  made.width /= kernel;
  return push(std::move(made));
}

int NetworkBuilder::average_pool(int from) {
  Node made = after(Op::average_pool, from);
  made.height = made.width = 1;
  return push(std::move(made));
}

int NetworkBuilder::dropout(int from, double probability) {
  Node made = after(Op::dropout, from);
  made.value = probability;
  return push(std::move(made));
}

int NetworkBuilder::flatten(int from) {
  Node made = after(Op::flatten, from);
  made.channels *= made.height * made.width;
  made.height = made.width = 1;
  return push(std::move(made));
}

int NetworkBuilder::linear(int from, std::string name, std::int64_t out, bool bias) {
  Node made = after(Op::linear, from);
  made.name = std::move(name);
  made.in = made.channels;
  made.channels = out;
  made.bias = bias;
  return push(std::move(made));
}

int NetworkBuilder::add(int a, int b) {
  Node made = after(Op::add, a);
  made.inputs.push_back(b);
  return push(std::move(made));
}

int NetworkBuilder::scale(int from, double factor) {
  Node made = after(Op::scale, from);
  made.value = factor;
  return push(std::move(made));
}

Network NetworkBuilder::finish() && {
  return std::move(network_);
}

}  // namespace cifarpipe::learn
