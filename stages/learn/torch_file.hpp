// Weights from files that PyTorch wrote: state dicts of torch.save, in its zip format and in the
// older one, and safetensors; told apart by content. A .pth is a program for Python's unpickler:
// here only what a state dict needs is understood, everything else is refused by name, and nothing
// is ever run. No libtorch. A StateDict is a value; its tensors live as long as it does.
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "stages/learn/safetensors.hpp"

namespace cifarpipe::learn {

class StateDict {
 public:
  StateDict() = default;
  StateDict(StateDict&&) = default;
  StateDict& operator=(StateDict&&) = default;

  /// Row-major, whatever their strides in the file; names without '_orig_mod.' and 'module.'.
  const std::map<std::string, TensorBytes, std::less<>>& tensors() const { return tensors_; }

  /// Copies. Throws an Error when the name is there already.
  void add(const std::string& name, TensorType type, std::vector<std::int64_t> shape,
           std::vector<std::uint8_t> bytes);

 private:
  std::map<std::string, TensorBytes, std::less<>> tensors_;
  std::deque<std::vector<std::uint8_t>> storage_;
};

/// Throws an Error with one sentence that names the file for whatever is not such a file, is cut
/// off or damaged, or asks for more than a state dict needs. A changed bit among a tensor's numbers
/// is noticed by the checksums of the zip format, which PyTorch may be told to leave out; the older
/// format and safetensors have none.
StateDict read_state_dict(const std::filesystem::path& file);
/// The same from memory; `name` is for messages. Not safetensors.
StateDict parse_torch_file(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace cifarpipe::learn
