#include "stages/learn/model.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "stages/learn/cifar10net.hpp"
#include "stages/learn/counter_random.hpp"
#include "stages/learn/linear.hpp"
#include "stages/learn/tensor_file.hpp"

namespace cifarpipe::learn {
namespace {

/// Uniform in [-bound, bound), in row-major order whatever the memory order is.
void fill_uniform(const at::Tensor& tensor, double bound, const CounterRandom& random) {
  at::Tensor values = at::empty(tensor.sizes(), at::kFloat);
  auto* to = values.mutable_data_ptr<float>();
  for (std::int64_t i = 0; i < values.numel(); ++i) {
    to[i] = static_cast<float>((2 * random.unit(static_cast<std::uint64_t>(i)) - 1) * bound);
  }
  tensor.copy_(values);
}

}  // namespace

std::int64_t Model::parameter_count() const {
  std::int64_t count = 0;
  for (const auto& [name, tensor] : parameters_) count += tensor.numel();
  return count;
}

void Model::initialise(std::uint64_t seed) {
  const at::NoGradGuard no_grad;
  double bound = 0;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const auto& [name, tensor] = parameters_[i];
    if (tensor.dim() > 1) {
      // Kaiming with a = sqrt(5) comes to this; the bias that follows has the same bound.
      const double fan_in =
          static_cast<double>(tensor.numel()) / static_cast<double>(tensor.size(0));
      bound = 1 / std::sqrt(fan_in);
    }
    if (name.starts_with("bn")) {
      tensor.fill_(name.ends_with(".weight") ? 1 : 0);
    } else {
      fill_uniform(tensor, bound, CounterRandom(seed, Purpose::weights, i));
    }
  }
}

void Model::forget_gradients() {
  for (const auto& [name, tensor] : parameters_) tensor.mutable_grad() = at::Tensor();
}

void Model::add(const std::string& name, const Conv2d& layer) {
  parameters_.push_back({name + ".weight", layer.weight});
  parameters_.push_back({name + ".bias", layer.bias});
}

void Model::add(const std::string& name, const BatchNorm2d& layer) {
  parameters_.push_back({name + ".weight", layer.weight});
  parameters_.push_back({name + ".bias", layer.bias});
  buffers_.push_back({name + ".running_mean", layer.running_mean});
  buffers_.push_back({name + ".running_var", layer.running_var});
  buffers_.push_back({name + ".num_batches_tracked", layer.num_batches_tracked});
}

void Model::add(const std::string& name, const Linear& layer) {
  parameters_.push_back({name + ".weight", layer.weight});
  parameters_.push_back({name + ".bias", layer.bias});
}

const std::vector<std::string>& architectures() {
  static const std::vector<std::string> names = {"cifar10net", "linear"};
  return names;
}

std::unique_ptr<Model> make_model(std::string_view architecture, const ModelShape& shape) {
  if (architecture == "cifar10net") return make_cifar10net(shape);
  if (architecture == "linear") return make_linear(shape);
  throw Error("there is no architecture '" + std::string(architecture) + "'");
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

}  // namespace cifarpipe::learn
