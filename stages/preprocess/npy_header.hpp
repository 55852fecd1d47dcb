// The Python literal at the beginning of a .npy file:
//   {'descr': '<u1', 'fortran_order': False, 'shape': (100, 32, 32, 3), }
// Pure function: any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cifarpipe::preprocess {

struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Throws an Error that begins with `name` for anything else than the three entries, once each.
NpyHeader parse_npy_header(const std::string& text, const std::string& name);

}  // namespace cifarpipe::preprocess
