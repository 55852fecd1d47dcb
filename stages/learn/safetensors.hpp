// The safetensors format, without libtorch: named arrays behind a JSON header, read by mmap.
// A writer belongs to one thread; what a reader hands out lives as long as the reader.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stages/learn/files.hpp"

namespace cifarpipe::learn {

enum class TensorType { f32, f64, bf16, f16, i64, i32, u8 };

std::string_view tensor_type_name(TensorType type);  ///< "F32", …, as the header says it.
std::size_t tensor_type_size(TensorType type);       ///< Bytes of one element.

/// One array, row-major; the bytes belong to someone else.
struct TensorBytes {
  TensorType type = TensorType::f32;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> bytes;
};

/// Writes the tensors in the given order: the same tensors give the same bytes. `metadata` goes
/// to `__metadata__`, sorted.
void write_safetensors(const std::filesystem::path& file,
                       const std::vector<std::pair<std::string, TensorBytes>>& tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// Opens a file and checks all of its header against the file's size before anything is used.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(std::filesystem::path file);

  const std::filesystem::path& file() const { return file_; }
  /// In the order of their names.
  const std::map<std::string, TensorBytes, std::less<>>& tensors() const { return tensors_; }
  const TensorBytes* find(std::string_view name) const;
  /// Throws an Error that names the file and the tensor if it is not there.
  const TensorBytes& at(std::string_view name) const;

 private:
  void parse_header(std::string_view header, std::span<const std::uint8_t> data);

  std::filesystem::path file_;
  MappedFile map_;
  std::map<std::string, TensorBytes, std::less<>> tensors_;
};

}  // namespace cifarpipe::learn
