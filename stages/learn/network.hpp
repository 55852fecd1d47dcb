// A network as data: nodes in the order in which they are computed, each with its operation, its
// inputs, the shape of its output and the names of its tensors. One description serves training
// (model.hpp, which also finds what can be fused), counting, and every export format.
// No libtorch here. Values only: any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace cifarpipe::learn {

/// What a network is made for.
struct ModelShape {
  std::int64_t height = 0;
  std::int64_t width = 0;
  std::int64_t channels = 0;
  std::int64_t classes = 0;
  bool channels_last = true;  ///< The memory order of images in training; no network depends on it.
};

enum class Op {
  input,       ///< The images, normalised.
  conv2d,      ///< NAME.weight [out,in,k,k], NAME.bias [out] if `bias`
  batch_norm,  ///< NAME.{weight,bias,running_mean,running_var,num_batches_tracked}
  relu,
  gelu,          ///< x Phi(x), the exact one (by erf)
  max_pool,      ///< kernel x kernel, stride = kernel, no padding, what is left over is cut off
  average_pool,  ///< Of each channel's whole plane, to [N,C]
  dropout,       ///< Only in training; `value` is the probability.
  flatten,       ///< [N,C,H,W] to [N,C*H*W], channel-major
  linear,        ///< NAME.weight [out,in], NAME.bias [out] if `bias`
  add,           ///< The sum of its two inputs, of equal shape.
  scale,         ///< Times the constant `value`.
};

/// The operation's name as messages and files say it: "conv2d", …
std::string_view op_name(Op op);

/// Where a tensor's first values come from.
enum class Init {
  uniform,    ///< PyTorch's default: U(-b, b) with b = 1/sqrt(fan in), for biases too.
  dirac,      ///< The same, and then the first filters pass their channel through unchanged.
  whitening,  ///< From patches of training images (whitening.hpp); not moved by the optimiser.
  zero,
  one,
};

/// One operation. Attributes that an operation does not have keep their defaults.
struct Node {
  Op op = Op::input;
  std::string name;         ///< Of its tensors; empty when it has none.
  std::vector<int> inputs;  ///< Earlier nodes.
  // The output's shape for one image; after flatten, average_pool and linear only channels count.
  std::int64_t channels = 0;
  std::int64_t height = 1;
  std::int64_t width = 1;

  std::int64_t in = 0;      ///< conv2d, linear: channels or features of the input.
  std::int64_t kernel = 0;  ///< conv2d, max_pool
  std::int64_t stride = 1;  ///< conv2d
  std::int64_t padding = 0;
  bool bias = true;
  bool scale_learned = true;  ///< batch_norm: else its weight stays 1.
  double value = 0;           ///< dropout, scale; epsilon of batch_norm
  double momentum = 0.1;      ///< batch_norm: the weight of the newest batch in running statistics.
  Init init = Init::uniform;
  Init bias_init = Init::uniform;
};

/// One tensor of a network.
struct TensorSpec {
  std::string name;
  std::vector<std::int64_t> shape;
  int node = 0;
  Init init = Init::uniform;
  /// Moved by the optimiser; else a buffer: running statistics, whitening filters, fixed scales.
  bool learned = true;
  bool counts = false;  ///< An int64 scalar: num_batches_tracked.
};

struct Network {
  std::vector<Node> nodes;  ///< The first is the input, the last gives the logits.
  std::int64_t input_channels = 0;
  std::int64_t input_height = 0;
  std::int64_t input_width = 0;

  std::int64_t classes() const { return nodes.back().channels; }
  /// All tensors in the order of the nodes.
  std::vector<TensorSpec> tensors() const;
  /// Numbers that the optimiser moves.
  std::int64_t parameter_count() const;
  /// Multiply-adds of the convolutions and linear layers, forward, one image. FLOPs are twice that.
  std::int64_t multiply_adds() const;
  /// How many nodes read the output of `node`.
  int readers(int node) const;
};

/// Whether a tensor's or layer's name begins with `prefix`, though never in the middle of a number:
/// "conv" fits conv1 and conv10, "conv1" does not fit conv10. An empty prefix fits nothing.
bool has_prefix(std::string_view name, std::string_view prefix);

/// What can be chosen for a convolution.
struct ConvOptions {
  std::int64_t kernel = 3;
  std::int64_t stride = 1;
  std::int64_t padding = 1;
  bool bias = true;
  Init init = Init::uniform;
  Init bias_init = Init::uniform;
};

/// What can be chosen for a batch norm. The defaults are PyTorch's.
struct NormOptions {
  double epsilon = 1e-5;
  double momentum = 0.1;
  bool scale_learned = true;
};

/// Adds node after node; each function returns the new node's number. Throws an Error with a
/// sentence when an image is too small for what comes.
class NetworkBuilder {
 public:
  /// `architecture` is only told in messages.
  NetworkBuilder(std::string architecture, const ModelShape& shape);

  int input() const { return 0; }
  int conv(int from, std::string name, std::int64_t out, const ConvOptions& options = {});
  int batch_norm(int from, std::string name, const NormOptions& options = {});
  int relu(int from);
  int gelu(int from);
  int max_pool(int from, std::int64_t kernel);
  int average_pool(int from);
  int dropout(int from, double probability);
  int flatten(int from);
  int linear(int from, std::string name, std::int64_t out, bool bias = true);
  int add(int a, int b);
  int scale(int from, double factor);

  const Node& node(int number) const { return network_.nodes[static_cast<std::size_t>(number)]; }
  /// The network, whose last node gives the logits.
  Network finish() &&;

 private:
  int push(Node node);
  Node after(Op op, int from) const;

  std::string architecture_;
  Network network_;
};

}  // namespace cifarpipe::learn
