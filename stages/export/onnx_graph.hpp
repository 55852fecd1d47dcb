// A network with its tensors as an ONNX model: the float one, and the one in 8 bits with
// QuantizeLinear/DequantizeLinear pairs. Input `image` [batch,C,H,W], output `logits`. Nothing is
// folded in the float model. The same network, tensors and options give the same bytes.
// No libtorch, and no protobuf in this header. Pure function: any thread.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "stages/export/quantised.hpp"
#include "stages/learn/model_file.hpp"
#include "stages/learn/network.hpp"
#include "stages/learn/safetensors.hpp"

namespace cifarpipe {

using TensorMap = std::map<std::string, learn::TensorBytes, std::less<>>;

inline constexpr const char* kInputName = "image";
inline constexpr const char* kOutputName = "logits";

struct OnnxOptions {
  int opset = 13;
  /// The graph begins with (image - mean) / std, so that images are on [0, 1].
  bool normalise = true;
};

/// A serialised ModelProto. With `quantised`, what that says is in 8 bits.
std::string make_onnx(const learn::Network& network, const TensorMap& tensors,
                      const learn::ModelInfo& info, const OnnxOptions& options,
                      const Quantised* quantised = nullptr);

/// Reads the file again and asks ONNX's own checker. Throws an Error that names the file.
void require_valid_onnx(const std::filesystem::path& file);

}  // namespace cifarpipe
