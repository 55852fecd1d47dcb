// A model: a network (network.hpp) with tensors, and how images become logits. Batch norms are
// computed together with what surrounds them (fused_norm.hpp) where the network allows it; that
// can be switched off, and gives the same to rounding. Stage's thread only.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stages/learn/architectures/architectures.hpp"
#include "stages/learn/fused_norm.hpp"
#include "stages/learn/model_file.hpp"
#include "stages/learn/network.hpp"

namespace cifarpipe::learn {

/// The tensor is a handle to the model's own storage.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

/// One pass of one batch through a model.
struct ForwardPass {
  bool training = false;
  std::uint64_t seed = 0;
  std::uint64_t step = 0;  ///< Number of the batch since the beginning of training.
};

class Model {
 public:
  /// The tensors are not yet set.
  Model(Network network, bool channels_last);

  const Network& network() const { return network_; }
  /// Where the weights are and the computing is done.
  c10::Device device() const { return device_; }
  /// Moves the weights, in their places: handles to them stay valid. Batch norms are computed
  /// together with what surrounds them on processors only. Counts of batches stay where they are.
  void move_to(c10::Device device);
  /// N x C x H x W images, normalised, to N x classes logits.
  at::Tensor forward(const at::Tensor& images, const ForwardPass& pass) const;

  /// What the optimiser may move, in a fixed order: the frozen ones too.
  const std::vector<NamedTensor>& parameters() const { return parameters_; }
  /// What else belongs to the weights: running statistics, fixed filters and scales.
  const std::vector<NamedTensor>& buffers() const { return buffers_; }
  /// The parameters that are not frozen.
  std::vector<NamedTensor> trained() const;
  std::int64_t parameter_count() const { return network_.parameter_count(); }

  /// PyTorch's default initialisation, where a network asks for no other; a function of the seed
  /// alone.
  void initialise(std::uint64_t seed);
  /// Takes every parameter whose name has one of the prefixes (has_prefix) out of training;
  /// batch norms so named use their running statistics and do not move them. Throws an Error for
  /// a prefix that fits nothing.
  void freeze(std::span<const std::string> prefixes);
  /// Drops all gradients, so that the next backward pass hands over its own.
  void forget_gradients();
  /// From now on for images of another size: `network` is the same but for the shapes of what is
  /// between its layers.
  void change_size(Network network);
  void set_fusion(bool on);

 private:
  /// How one batch norm and its surroundings are computed.
  struct Group {
    int norm = 0;
    int residual = -1;  ///< The node that is added.
    int last = 0;       ///< The node whose output this is.
    Activation activation = Activation::none;
    bool pool = false;
    int dropout = -1;        ///< The node, if there is one.
    bool conv_bias = false;  ///< The convolution before leaves its bias to this.
  };
  /// The tensors of a node.
  struct Tensors {
    at::Tensor weight, bias, running_mean, running_var, batches;
    bool frozen = false;
  };

  void make_tensors();
  void plan_groups();
  Group plan_group(int norm, const std::vector<int>& group_of) const;
  int only_reader(int node) const;
  at::Tensor compute(int number, const std::vector<at::Tensor>& values,
                     const ForwardPass& pass) const;
  at::Tensor compute_group(const Group& group, const std::vector<at::Tensor>& values,
                           const ForwardPass& pass) const;
  at::Tensor batch_norm(int number, const at::Tensor& x, const ForwardPass& pass) const;
  at::Tensor norm_of_one(int number, const at::Tensor& x) const;
  std::uint64_t dropout_key(int number, const ForwardPass& pass) const;
  const Node& node(int number) const { return network_.nodes[static_cast<std::size_t>(number)]; }

  Network network_;
  at::MemoryFormat format_;
  c10::Device device_ = c10::kCPU;
  bool wants_fusion_ = true;
  bool fusion_ = false;
  std::vector<Tensors> tensors_;  ///< A node.
  std::vector<NamedTensor> parameters_;
  std::vector<NamedTensor> buffers_;
  std::vector<bool> frozen_;  ///< A parameter.
  std::vector<Group> groups_;
  std::vector<int> group_of_;  ///< A node; -1 = none.
};

/// A model with its tensors not yet set. Throws a sentence when the shape does not suit it.
std::unique_ptr<Model> make_model(std::string_view architecture, const ModelShape& shape);

/// The weights of `tensors` to and from model.safetensors, row-major whatever their memory order.
void save_weights(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors);
/// Every tensor must be there with its shape; nothing may be left over.
void load_weights(const std::filesystem::path& file, const Model& model);
/// All tensors of a model, parameters first.
std::vector<NamedTensor> all_tensors(const Model& model);
/// The name of the first of them that holds a NaN or an infinity; empty if none does.
std::string first_not_finite(const std::vector<NamedTensor>& tensors);
/// Throws one sentence that names the tensor if the model's weights are not finite.
void require_finite_weights(const Model& model);

}  // namespace cifarpipe::learn
