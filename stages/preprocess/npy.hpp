// One array as NumPy saves it (.npy, formats 1 to 3), looked at where it lies. The header is a
// Python literal; a parser for just this literal reads it, and nothing is ever evaluated. Pure
// functions: any thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cifarpipe::preprocess {

/// The values belong to whoever gave the bytes.
struct NpyArray {
  char kind = 'u';       ///< NumPy's: 'u', 'i', 'f', 'b', 'U', 'S', …
  std::size_t size = 1;  ///< Bytes of a value.
  bool swapped = false;  ///< Not in this machine's byte order.
  bool fortran = false;  ///< The first axis is the one that lies together.
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> values;

  std::string type() const;         ///< "uint8", "float32", …
  std::string shown_shape() const;  ///< "(100, 32, 32, 3)"
  std::int64_t count() const;
  /// Of each axis, in values.
  std::vector<std::int64_t> strides() const;
};

/// Throws an Error that begins with `name`. Refuses arrays of Python objects and structures.
NpyArray parse_npy(std::span<const std::uint8_t> bytes, const std::string& name);

/// Whole numbers of any width and sign. Throws an Error that begins with `name`.
std::vector<std::int64_t> whole_numbers(const NpyArray& array, const std::string& name);

/// Strings of the types 'U' and 'S', as UTF-8.
std::vector<std::string> texts(const NpyArray& array, const std::string& name);

/// One number, converted: for the types 'u', 'i' and 'f'.
double number_at(const NpyArray& array, std::int64_t place);

}  // namespace cifarpipe::preprocess
