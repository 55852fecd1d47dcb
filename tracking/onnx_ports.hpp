// The inputs and outputs of an ONNX file: names, types, shapes, nothing of the graph between them.
// Reads no more of the file than it must. Stateless: any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace cifarpipe {

struct OnnxPort {
  std::string name;
  std::string dtype;                ///< As numpy calls it: "float32".
  std::vector<std::int64_t> shape;  ///< -1: any.
};

struct OnnxPorts {
  std::vector<OnnxPort> inputs;  ///< Without those that have an initial value.
  std::vector<OnnxPort> outputs;
};

/// Nothing if the file is no ONNX model that can be described so.
std::optional<OnnxPorts> read_onnx_ports(const std::filesystem::path& file);

}  // namespace cifarpipe
