// Tensors of libtorch to and from safetensors files. Stage's thread only.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "stages/learn/model.hpp"
#include "stages/learn/safetensors.hpp"

namespace cifarpipe::learn {

/// Writes the tensors row-major, in this order.
void write_tensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                   const std::map<std::string, std::string>& metadata = {});

/// Copies the tensor `name` of the file into `to`, which keeps its place and order in memory.
/// Throws an Error that names the file and the tensor when it is not there or has another shape.
void read_tensor(const SafetensorsReader& reader, const std::string& name, const at::Tensor& to);

}  // namespace cifarpipe::learn
