#include "stages/export/quantise.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/aminmax.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/div.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/round.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace cifarpipe {
namespace {

using learn::Node;
using learn::Op;

constexpr float kLargestByte = 255;
constexpr float kLargestWeight = 127;
constexpr float kLargestBias = 1 << 30;
constexpr float kSmallestScale = 1e-20F;

bool is_layer(const Node& node) {
  return node.op == Op::conv2d || node.op == Op::linear;
}

ByteRange byte_range(std::pair<float, float> range) {
  ByteRange made;
  made.scale = std::max((range.second - range.first) / kLargestByte, kSmallestScale);
  const float zero = std::nearbyint(-range.first / made.scale);
  made.zero = static_cast<std::uint8_t>(std::clamp(zero, 0.0F, kLargestByte));
  return made;
}

/// As QuantizeLinear and DequantizeLinear: halves to even, what is out of range to its end.
at::Tensor round_to(const ByteRange& range, const at::Tensor& value) {
  at::Tensor steps = at::div(value, range.scale).round_();
  steps.clamp_(-static_cast<int>(range.zero), 255 - static_cast<int>(range.zero));
  return steps.mul_(range.scale);
}

}  // namespace

Quantiser::Quantiser(const learn::Model& model)
    : network_(model.network()), tensors_(network_.nodes.size()) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> by_name;
  for (const auto& [name, tensor] : learn::all_tensors(model)) by_name[name] = tensor.detach();
  const auto take = [&](const Node& node, const char* role) {
    return by_name.at(node.name + role).contiguous().clone();
  };
  result_.folded.assign(network_.nodes.size(), false);
  for (std::size_t i = 0; i < network_.nodes.size(); ++i) {
    const Node& node = network_.nodes[i];
    Tensors& of = tensors_[i];
    if (is_layer(node) || node.op == Op::batch_norm) of.weight = take(node, ".weight");
    if (node.op == Op::batch_norm) {
      of.mean = take(node, ".running_mean");
      of.variance = take(node, ".running_var");
      of.bias = take(node, ".bias");
      fold(i);
    }
    if (!is_layer(node)) continue;
    of.bias = node.bias ? take(node, ".bias") : at::zeros({node.channels}, at::kFloat);
  }
  for (std::size_t i = 0; i < network_.nodes.size(); ++i) rounded_.push_back(is_rounded(i));
  ranges_.assign(network_.nodes.size(), {0.0F, 0.0F});
}

const Node* Quantiser::only_reader(std::size_t number) const {
  const int wanted = static_cast<int>(number);
  if (network_.readers(wanted) != 1) return nullptr;
  for (const Node& node : network_.nodes) {
    if (std::find(node.inputs.begin(), node.inputs.end(), wanted) != node.inputs.end()) {
      return &node;
    }
  }
  return nullptr;
}

/// Puts a batch norm into the layer before it, where nobody else reads that.
void Quantiser::fold(std::size_t norm) {
  const auto before = static_cast<std::size_t>(network_.nodes[norm].inputs[0]);
  if (!is_layer(network_.nodes[before]) || !only_reader(before)) return;
  const Tensors& of = tensors_[norm];
  Tensors& layer = tensors_[before];
  const at::Tensor deviation = of.variance.to(at::kDouble).add(network_.nodes[norm].value).sqrt();
  const at::Tensor factor = of.weight.to(at::kDouble).div(deviation);
  std::vector<std::int64_t> shape(static_cast<std::size_t>(layer.weight.dim()), 1);
  shape[0] = -1;
  layer.weight = layer.weight.to(at::kDouble).mul(factor.view(shape)).to(at::kFloat);
  layer.bias = layer.bias.to(at::kDouble).sub(of.mean).mul(factor).add(of.bias).to(at::kFloat);
  result_.folded[norm] = true;
}

/// Whatever a layer or a sum reads must have been rounded; what leads to nothing else than an
/// activation is left to that. Pooling and flattening keep rounded values as they are, and what
/// comes after the last layer stays as it is.
bool Quantiser::is_rounded(std::size_t number) const {
  const Node& node = network_.nodes[number];
  bool more = false;
  for (std::size_t i = number + 1; i < network_.nodes.size(); ++i) {
    more = more || is_layer(network_.nodes[i]);
  }
  if (!more || node.op == Op::max_pool || node.op == Op::flatten || node.op == Op::dropout) {
    return false;
  }
  const Node* reader = only_reader(number);
  if (!reader) return true;
  if (reader->op == Op::relu) return false;
  const auto place = static_cast<std::size_t>(reader - network_.nodes.data());
  if (reader->op == Op::batch_norm && result_.folded[place]) return false;
  return node.op != Op::batch_norm || result_.folded[number] || reader->op != Op::gelu;
}

at::Tensor Quantiser::compute(std::size_t number, const std::vector<at::Tensor>& values) const {
  const Node& node = network_.nodes[number];
  const Tensors& of = tensors_[number];
  const at::Tensor& x = values[static_cast<std::size_t>(node.inputs[0])];
  switch (node.op) {
    case Op::input:
    case Op::dropout:
      return x;
    case Op::conv2d:
      return at::conv2d(x, of.weight, of.bias, at::IntArrayRef{node.stride, node.stride},
                        at::IntArrayRef{node.padding, node.padding});
    case Op::linear:
      return at::linear(x, of.weight, of.bias);
    case Op::batch_norm:
      if (result_.folded[number]) return x;
      return at::batch_norm(x, of.weight, of.bias, of.mean, of.variance, false, node.momentum,
                            node.value, false);
    case Op::relu:
      return at::relu(x);
    case Op::gelu:
      return at::gelu(x);
    case Op::max_pool:
      return at::max_pool2d(x, at::IntArrayRef{node.kernel, node.kernel});
    case Op::average_pool:
      return x.mean(at::IntArrayRef{2, 3});
    case Op::flatten:
      return x.flatten(1);
    case Op::add:
      return at::add(x, values[static_cast<std::size_t>(node.inputs[1])]);
    case Op::scale:
      return at::mul(x, at::Scalar(node.value));
  }
  return x;
}

at::Tensor Quantiser::walk(const at::Tensor& images, const Round& round) const {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> values(network_.nodes.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = i == 0 ? images : compute(i, values);
    if (rounded_[i]) values[i] = round(i, values[i]);
  }
  return values.back();
}

void Quantiser::calibrate(const at::Tensor& images) {
  walk(images, [&](std::size_t number, const at::Tensor& value) {
    const auto [low, high] = at::aminmax(value);
    auto& range = ranges_[number];
    range.first = std::min(range.first, low.item<float>());
    range.second = std::max(range.second, high.item<float>());
    return value;
  });
}

const Quantised& Quantiser::finish() {
  const at::NoGradGuard no_grad;
  result_.outputs.resize(network_.nodes.size());
  result_.layers.resize(network_.nodes.size());
  for (std::size_t i = 0; i < network_.nodes.size(); ++i) {
    if (rounded_[i]) result_.outputs[i] = byte_range(ranges_[i]);
    if (is_layer(network_.nodes[i])) quantise_layer(i);
  }
  return result_;
}

/// Rounds the layer's weights and bias; its tensors become what the rounded ones stand for.
void Quantiser::quantise_layer(std::size_t number) {
  // The range of what it reads is that of the last rounding before it.
  auto source = static_cast<std::size_t>(network_.nodes[number].inputs[0]);
  while (!rounded_[source]) source = static_cast<std::size_t>(network_.nodes[source].inputs[0]);
  QuantisedLayer layer;
  layer.input_scale = byte_range(ranges_[source]).scale;
  Tensors& of = tensors_[number];
  of.weight = of.weight.contiguous();
  of.bias = of.bias.contiguous();
  float* weights = of.weight.mutable_data_ptr<float>();
  float* biases = of.bias.mutable_data_ptr<float>();
  const auto channels = static_cast<std::size_t>(of.weight.size(0));
  const std::size_t each = static_cast<std::size_t>(of.weight.numel()) / channels;
  for (std::size_t channel = 0; channel < channels; ++channel) {
    const std::span<float> filter(weights + channel * each, each);
    float largest = 0;
    for (const float weight : filter) largest = std::max(largest, std::abs(weight));
    // The bias must fit 32 bits too.
    const float least = std::abs(biases[channel]) / (layer.input_scale * kLargestBias);
    const float scale = std::max({largest / kLargestWeight, least, kSmallestScale});
    for (float& weight : filter) {
      const float steps =
          std::clamp(std::nearbyint(weight / scale), -kLargestWeight, kLargestWeight);
      layer.weight.push_back(static_cast<std::int8_t>(steps));
      weight = steps * scale;
    }
    const float unit = scale * layer.input_scale;
    const double steps = std::nearbyint(static_cast<double>(biases[channel]) / unit);
    layer.bias.push_back(static_cast<std::int32_t>(steps));
    layer.scales.push_back(scale);
    biases[channel] = static_cast<float>(steps * unit);
  }
  result_.layers[number] = std::move(layer);
}

at::Tensor Quantiser::forward(const at::Tensor& images) const {
  return walk(images, [&](std::size_t number, const at::Tensor& value) {
    return round_to(*result_.outputs[number], value);
  });
}

}  // namespace cifarpipe
