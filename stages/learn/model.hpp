// A model: its tensors by name, and how images become logits. Models are made by name, so that a
// file can say which one it wants. Stage's thread only.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stages/learn/layers.hpp"
#include "stages/learn/model_file.hpp"

namespace cifarpipe::learn {

/// The tensor is a handle to the model's own storage.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// What a model is made for.
struct ModelShape {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::int64_t classes = 0;
  bool channels_last = true;
};

class Model {
 public:
  virtual ~Model() = default;

  /// N x C x H x W images to N x classes logits.
  virtual at::Tensor forward(const at::Tensor& images, ForwardPass& pass) = 0;

  /// What the optimiser moves, in a fixed order.
  const std::vector<NamedTensor>& parameters() const { return parameters_; }
  /// What else belongs to the weights: running statistics.
  const std::vector<NamedTensor>& buffers() const { return buffers_; }
  std::int64_t parameter_count() const;
  /// PyTorch's default initialisation; a function of the seed alone.
  void initialise(std::uint64_t seed);
  /// Drops all gradients, so that the next backward pass hands over its own.
  void forget_gradients();

 protected:
  void add(const std::string& name, const Conv2d& layer);
  void add(const std::string& name, const BatchNorm2d& layer);
  void add(const std::string& name, const Linear& layer);

 private:
  std::vector<NamedTensor> parameters_;
  std::vector<NamedTensor> buffers_;
};

/// The architectures that `make_model` knows.
const std::vector<std::string>& architectures();
/// A model with its tensors not yet set. Throws a sentence when the shape does not suit it.
std::unique_ptr<Model> make_model(std::string_view architecture, const ModelShape& shape);

/// The weights of `tensors` to and from model.safetensors, row-major whatever their memory order.
void save_weights(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors);
/// Every tensor must be there with its shape; nothing may be left over.
void load_weights(const std::filesystem::path& file, const Model& model);
/// All tensors of a model, parameters first.
std::vector<NamedTensor> all_tensors(const Model& model);

}  // namespace cifarpipe::learn
