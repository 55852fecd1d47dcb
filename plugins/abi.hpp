// The stamp of a plugin or of this program, field by field, and the sentence that says where two
// of them differ and how to rebuild. Values only: any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cifarpipe {

/// What plugins/stamp.hpp puts together. An empty torch: libtorch is not linked.
struct Stamp {
  int api = 0;
  std::string headers;     ///< Digest of the SDK's headers.
  std::string compiler;    ///< "gcc 12"
  std::string library;     ///< "libstdc++ 12, abi 1"
  std::string sanitizers;  ///< "none", "address", …
  std::string torch;       ///< "2.13.0+cpu"
  std::string torch_git;
  std::string torch_cuda;  ///< "13.0"; empty without CUDA.
  friend bool operator==(const Stamp&, const Stamp&) = default;
};

/// Nothing if the text is no stamp (no API number). Unknown fields are ignored.
std::optional<Stamp> parse_stamp(std::string_view text);

/// This program's own; torch is the one that its worker links.
const Stamp& host_stamp();

/// One clause a difference, such as "it was built by gcc 11 and this program by gcc 12". Empty:
/// the plugin can be loaded. A plugin without libtorch agrees with every libtorch.
std::vector<std::string> stamp_differences(const Stamp& plugin, const Stamp& host);

/// The differences as one sentence about `path`, with the way out.
std::string stamp_problem(const std::string& path, const std::vector<std::string>& differences);

}  // namespace cifarpipe
