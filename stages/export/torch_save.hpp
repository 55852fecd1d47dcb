// Writes a state dict as torch.save does: a zip of stored entries with a pickle that Python's
// torch.load(weights_only=True) reads. The same tensors give the same bytes: no times in the zip.
// No libtorch. Pure function: any thread.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "stages/learn/safetensors.hpp"

namespace cifarpipe {

/// An OrderedDict of the tensors, in this order; each row-major, with a storage of its own.
void write_torch_file(const std::filesystem::path& file,
                      const std::vector<std::pair<std::string, learn::TensorBytes>>& tensors);

}  // namespace cifarpipe
