// Static quantisation of a network to 8 bits: batch norms folded into the layers before them,
// weights symmetric with a scale for each output channel, values asymmetric with ranges from
// calibration images. And what the quantised network answers, computed in floats with the same
// roundings as the ONNX file asks for. Stage's thread only.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <utility>
#include <vector>

#include "stages/export/quantised.hpp"
#include "stages/learn/model.hpp"

namespace cifarpipe {

class Quantiser {
 public:
  /// Takes the weights of the model as they are.
  explicit Quantiser(const learn::Model& model);

  /// Widens the ranges by what these normalised images give.
  void calibrate(const at::Tensor& images);
  /// Ends calibration.
  const Quantised& finish();
  /// The quantised network's logits for normalised images.
  at::Tensor forward(const at::Tensor& images) const;

 private:
  /// The tensors of a node, in floats.
  struct Tensors {
    at::Tensor weight, bias, mean, variance;
  };
  using Round = std::function<at::Tensor(std::size_t number, const at::Tensor& value)>;

  void fold(std::size_t norm);
  bool is_rounded(std::size_t number) const;
  void quantise_layer(std::size_t number);
  at::Tensor walk(const at::Tensor& images, const Round& round) const;
  at::Tensor compute(std::size_t number, const std::vector<at::Tensor>& values) const;
  const learn::Node* only_reader(std::size_t number) const;

  learn::Network network_;
  std::vector<Tensors> tensors_;
  std::vector<bool> rounded_;
  std::vector<std::pair<float, float>> ranges_;  ///< A node: smallest and largest value, around 0.
  Quantised result_;
};

}  // namespace cifarpipe
