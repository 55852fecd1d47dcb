#include "stages/learn/tensor_file.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cstring>

namespace cifarpipe::learn {
namespace {

TensorType type_of(const at::Tensor& tensor, const std::string& name) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return TensorType::f32;
    case at::kDouble:
      return TensorType::f64;
    case at::kBFloat16:
      return TensorType::bf16;
    case at::kLong:
      return TensorType::i64;
    default:
      throw Error("tensor '" + name + "' has a type that cannot be written");
  }
}

std::string shape_text(at::IntArrayRef shape) {
  std::string text;
  for (const auto side : shape) text += (text.empty() ? "" : "x") + std::to_string(side);
  return text.empty() ? "scalar" : text;
}

}  // namespace

void write_tensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors,
                   const std::map<std::string, std::string>& metadata) {
  std::vector<at::Tensor> alive;  // the copies in row-major order
  std::vector<std::pair<std::string, TensorBytes>> entries;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor& plain = alive.emplace_back(tensor.detach().cpu().contiguous());
    TensorBytes bytes;
    bytes.type = type_of(plain, name);
    bytes.shape = plain.sizes().vec();
    bytes.bytes = {static_cast<const std::uint8_t*>(plain.const_data_ptr()), plain.nbytes()};
    entries.emplace_back(name, std::move(bytes));
  }
  write_safetensors(file, entries, metadata);
}

void read_tensor(const SafetensorsReader& reader, const std::string& name, const at::Tensor& to) {
  const TensorBytes& found = reader.at(name);
  if (found.shape != to.sizes().vec() || found.type != type_of(to, name)) {
    throw Error(reader.file().string() + ": tensor '" + name + "' is " +
                std::string(tensor_type_name(found.type)) + " " + shape_text(found.shape) +
                " instead of " + std::string(tensor_type_name(type_of(to, name))) + " " +
                shape_text(to.sizes()));
  }
  const at::NoGradGuard no_grad;
  at::Tensor values = at::empty(to.sizes(), to.scalar_type());
  std::memcpy(values.mutable_data_ptr(), found.bytes.data(), found.bytes.size());
  to.copy_(values);
}

}  // namespace cifarpipe::learn
