#include "stages/learn/model.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/add.h>
#include <ATen/ops/batch_norm.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/max_pool2d.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/relu.h>

#include <algorithm>

#include "stages/learn/dropout.hpp"
#include "stages/learn/tensor_file.hpp"

namespace cifarpipe::learn {
namespace {

at::Tensor make_tensor(const TensorSpec& spec, at::MemoryFormat format) {
  if (spec.counts) return at::empty({}, at::kLong);
  at::Tensor made = at::empty(spec.shape, at::TensorOptions(at::kFloat),
                              spec.shape.size() == 4 ? format : at::MemoryFormat::Contiguous);
  made.set_requires_grad(spec.learned);
  return made;
}

}  // namespace

Model::Model(Network network, bool channels_last)
    : network_(std::move(network)),
      format_(channels_last ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous),
      tensors_(network_.nodes.size()) {
  make_tensors();
  set_fusion(true);
}

void Model::make_tensors() {
  for (const TensorSpec& spec : network_.tensors()) {
    const at::Tensor made = make_tensor(spec, format_);
    Tensors& of = tensors_[static_cast<std::size_t>(spec.node)];
    const std::string role = spec.name.substr(spec.name.rfind('.') + 1);
    (role == "weight"         ? of.weight
     : role == "bias"         ? of.bias
     : role == "running_mean" ? of.running_mean
     : role == "running_var"  ? of.running_var
                              : of.batches) = made;
    (spec.learned && !spec.counts ? parameters_ : buffers_).push_back({spec.name, made});
  }
  frozen_.assign(parameters_.size(), false);
}

void Model::change_size(Network network) {
  network_ = std::move(network);
  plan_groups();  // Whether a max pool can be fused depends on its kernel.
}

std::vector<NamedTensor> Model::trained() const {
  std::vector<NamedTensor> all;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    if (!frozen_[i]) all.push_back(parameters_[i]);
  }
  return all;
}

void Model::freeze(std::span<const std::string> prefixes) {
  for (const std::string& prefix : prefixes) {
    bool fits = false;
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (!has_prefix(parameters_[i].name, prefix)) continue;
      parameters_[i].tensor.set_requires_grad(false);
      frozen_[i] = fits = true;
    }
    for (std::size_t n = 0; n < tensors_.size(); ++n) {
      if (network_.nodes[n].op != Op::batch_norm) continue;
      if (has_prefix(network_.nodes[n].name, prefix)) tensors_[n].frozen = fits = true;
    }
    if (!fits)
      throw Error("there is nothing to freeze: no layer's name begins with '" + prefix + "'",
                  ErrorKind::usage);
  }
}

void Model::forget_gradients() {
  for (const auto& [name, tensor] : parameters_) tensor.mutable_grad() = at::Tensor();
}

void Model::set_fusion(bool on) {
  wants_fusion_ = on;
  // What is fused has its channels innermost.
  fusion_ = on && format_ == at::MemoryFormat::ChannelsLast && device_.is_cpu();
  plan_groups();
}

void Model::move_to(c10::Device device) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : all_tensors(*this)) {
    if (tensor.is_floating_point()) tensor.set_data(tensor.detach().to(device));
  }
  device_ = device;
  set_fusion(wants_fusion_);
}

int Model::only_reader(int number) const {
  if (network_.readers(number) != 1) return -1;
  for (std::size_t i = 0; i < network_.nodes.size(); ++i) {
    const auto& inputs = network_.nodes[i].inputs;
    if (std::find(inputs.begin(), inputs.end(), number) != inputs.end()) return static_cast<int>(i);
  }
  return -1;
}

void Model::plan_groups() {
  groups_.clear();
  group_of_.assign(network_.nodes.size(), -1);
  if (!fusion_) return;
  for (std::size_t i = 0; i < network_.nodes.size(); ++i) {
    if (network_.nodes[i].op != Op::batch_norm) continue;
    const Group group = plan_group(static_cast<int>(i), group_of_);
    for (int n = group.norm; n != -1; n = n == group.last ? -1 : only_reader(n)) {
      group_of_[static_cast<std::size_t>(n)] = static_cast<int>(groups_.size());
    }
    groups_.push_back(group);
  }
}

/// Follows the batch norm's only readers as far as they fit: add, activation, pool, dropout.
Model::Group Model::plan_group(int norm, const std::vector<int>& group_of) const {
  Group group;
  group.norm = group.last = norm;
  const int before = node(norm).inputs[0];
  group.conv_bias =
      node(before).op == Op::conv2d && node(before).bias && network_.readers(before) == 1;
  int next = only_reader(norm);
  const auto take = [&](Op op) {
    if (next == -1 || node(next).op != op || group_of[static_cast<std::size_t>(next)] != -1) {
      return false;
    }
    group.last = next;
    next = only_reader(next);
    return true;
  };
  if (take(Op::add)) {
    const auto& inputs = node(group.last).inputs;
    group.residual = inputs[0] == norm ? inputs[1] : inputs[0];
  }
  if (take(Op::relu)) {
    group.activation = Activation::relu;
  } else if (take(Op::gelu)) {
    group.activation = Activation::gelu;
  }
  // The largest of four stays the largest only under functions that never fall.
  group.pool = group.residual == -1 && group.activation != Activation::gelu && next != -1 &&
               node(next).kernel == 2 && take(Op::max_pool);
  if (take(Op::dropout)) group.dropout = group.last;
  return group;
}

at::Tensor Model::forward(const at::Tensor& images, const ForwardPass& pass) const {
  std::vector<at::Tensor> values(network_.nodes.size());
  values[0] = images;
  for (std::size_t i = 1; i < values.size(); ++i) {
    const int number = static_cast<int>(i);
    const int group = group_of_[i];
    if (group == -1) {
      values[i] = compute(number, values, pass);
    } else if (groups_[static_cast<std::size_t>(group)].last == number) {
      values[i] = compute_group(groups_[static_cast<std::size_t>(group)], values, pass);
    }
  }
  return values.back();
}

std::uint64_t Model::dropout_key(int number, const ForwardPass& pass) const {
  std::uint64_t layer = 0;
  for (int i = 0; i < number; ++i) layer += node(i).op == Op::dropout ? 1 : 0;
  return CounterRandom(pass.seed, Purpose::dropout, pass.step, layer).key();
}

at::Tensor Model::batch_norm(int number, const at::Tensor& x, const ForwardPass& pass) const {
  const Tensors& of = tensors_[static_cast<std::size_t>(number)];
  const bool batch = pass.training && !of.frozen;
  if (batch) ++*of.batches.mutable_data_ptr<std::int64_t>();
  if (batch && x.numel() == x.size(1)) return norm_of_one(number, x);
  return at::batch_norm(x, of.weight, of.bias, of.running_mean, of.running_var, batch,
                        node(number).momentum, node(number).value, /*cudnn_enabled=*/true);
}

/// One value a channel has no unbiased variance: libtorch divides by n - 1 = 0, and NaN would stay
/// in the running statistics for good. As in fused_norm, its variance is taken to be 0.
at::Tensor Model::norm_of_one(int number, const at::Tensor& x) const {
  const Tensors& of = tensors_[static_cast<std::size_t>(number)];
  const double momentum = node(number).momentum;
  {
    const at::NoGradGuard no_grad;
    of.running_mean.lerp_(x.detach().reshape({-1}).to(at::kFloat), momentum);
    of.running_var.mul_(1 - momentum);
  }
  return at::batch_norm(x, of.weight, of.bias, {}, {}, true, momentum, node(number).value,
                        /*cudnn_enabled=*/true);
}

at::Tensor Model::compute_group(const Group& group, const std::vector<at::Tensor>& values,
                                const ForwardPass& pass) const {
  const Tensors& of = tensors_[static_cast<std::size_t>(group.norm)];
  const int before = node(group.norm).inputs[0];
  NormTensors norm{of.weight, of.bias, of.running_mean, of.running_var, {}};
  if (group.conv_bias) norm.conv_bias = tensors_[static_cast<std::size_t>(before)].bias;
  NormSettings settings;
  settings.epsilon = node(group.norm).value;
  settings.momentum = node(group.norm).momentum;
  settings.batch_statistics = pass.training && !of.frozen;
  settings.activation = group.activation;
  settings.pool = group.pool;
  if (pass.training && group.dropout != -1) {
    settings.dropout = node(group.dropout).value;
    settings.dropout_key = dropout_key(group.dropout, pass);
  }
  if (settings.batch_statistics) ++*of.batches.mutable_data_ptr<std::int64_t>();
  at::Tensor residual;
  if (group.residual != -1) residual = values[static_cast<std::size_t>(group.residual)];
  return fused_norm(values[static_cast<std::size_t>(before)], residual, norm, settings);
}

at::Tensor Model::compute(int number, const std::vector<at::Tensor>& values,
                          const ForwardPass& pass) const {
  const Node& at = node(number);
  const Tensors& of = tensors_[static_cast<std::size_t>(number)];
  const at::Tensor& x = values[static_cast<std::size_t>(at.inputs[0])];
  switch (at.op) {
    case Op::input:
      return x;
    case Op::conv2d: {
      const int next = only_reader(number);
      const int group = next == -1 ? -1 : group_of_[static_cast<std::size_t>(next)];
      const bool left = group != -1 && groups_[static_cast<std::size_t>(group)].conv_bias &&
                        groups_[static_cast<std::size_t>(group)].norm == next;
      return at::conv2d(x, of.weight, left ? at::Tensor() : of.bias,
                        at::IntArrayRef{at.stride, at.stride},
                        at::IntArrayRef{at.padding, at.padding});
    }
    case Op::batch_norm:
      return batch_norm(number, x, pass);
    case Op::relu:
      // In place where nobody else reads it: batch norm's backward needs its input only.
      return network_.readers(at.inputs[0]) == 1 && node(at.inputs[0]).op != Op::add
                 ? at::relu_(const_cast<at::Tensor&>(x))
                 : at::relu(x);
    case Op::gelu:
      return at::gelu(x);
    case Op::max_pool:
      if (fusion_) return fused_max_pool(x, at.kernel);
      return at::max_pool2d(x, at::IntArrayRef{at.kernel, at.kernel});
    case Op::average_pool:
      return x.mean(at::IntArrayRef{2, 3});
    case Op::dropout:
      if (!pass.training) return x;
      return x.is_cpu() ? dropout(x, at.value, dropout_key(number, pass))
                        : device_dropout(x, at.value, dropout_key(number, pass));
    case Op::flatten:
      return x.flatten(1);  // Channel-major, whatever the memory order is.
    case Op::linear:
      return at::linear(x, of.weight, of.bias);
    case Op::add:
      return at::add(x, values[static_cast<std::size_t>(at.inputs[1])]);
    case Op::scale:
      return at::mul(x, at::Scalar(at.value));
  }
  return x;
}

std::unique_ptr<Model> make_model(std::string_view architecture, const ModelShape& shape) {
  return std::make_unique<Model>(make_network(architecture, shape), shape.channels_last);
}

std::vector<NamedTensor> all_tensors(const Model& model) {
  std::vector<NamedTensor> all = model.parameters();
  all.insert(all.end(), model.buffers().begin(), model.buffers().end());
  return all;
}

void save_weights(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors) {
  write_tensors(file, tensors, {{"format", "pt"}});
}

void load_weights(const std::filesystem::path& file, const Model& model) {
  const SafetensorsReader reader(file);
  const auto wanted = all_tensors(model);
  for (const auto& [name, tensor] : wanted) read_tensor(reader, name, tensor);
  if (reader.tensors().size() == wanted.size()) return;
  for (const auto& [name, bytes] : reader.tensors()) {
    bool known = false;
    for (const auto& tensor : wanted) known = known || tensor.name == name;
    if (!known) throw Error(file.string() + " has a tensor '" + name + "' that the model lacks");
  }
}

std::string first_not_finite(const std::vector<NamedTensor>& tensors) {
  const at::NoGradGuard no_grad;
  for (const auto& [name, tensor] : tensors) {
    if (!at::isfinite(tensor).all().item<bool>()) return name;
  }
  return "";
}

void require_finite_weights(const Model& model) {
  const std::string name = first_not_finite(all_tensors(model));
  if (name.empty()) return;
  throw Error(
      "the model's weights hold values that are not finite, the first of them in '" + name +
      "', so that it has no answers: train it again with on_nan = \"stop\" and a smaller lr");
}

}  // namespace cifarpipe::learn
