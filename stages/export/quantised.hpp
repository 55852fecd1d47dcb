// A network's weights in 8 bits and the places where its values are rounded to 8 bits: what both
// the ONNX file and its simulation are made from. Values only: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace cifarpipe {

/// A value is scale * (byte - zero).
struct ByteRange {
  float scale = 1;
  std::uint8_t zero = 0;
};

/// A convolution or linear layer with the batch norm after it, if that is folded into it.
struct QuantisedLayer {
  std::vector<std::int8_t> weight;  ///< Of the float weight's shape, row-major.
  std::vector<float> scales;        ///< An output channel; symmetric, within [-127, 127].
  std::vector<std::int32_t> bias;   ///< In units of (the input's scale) * (the channel's scale).
  float input_scale = 1;
};

struct Quantised {
  std::vector<std::optional<ByteRange>> outputs;      ///< A node whose output is rounded.
  std::vector<std::optional<QuantisedLayer>> layers;  ///< A node: conv2d and linear.
  std::vector<bool> folded;                           ///< A node: a batch norm that is no more.
};

}  // namespace cifarpipe
