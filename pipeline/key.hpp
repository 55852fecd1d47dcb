// What a result depends on, as one canonical JSON text. Its SHA-256 over the content digests of
// the inputs is the job's *key*, which finds results; over the inputs' identities it is the job's
// *identity*, known before anything has run. The text is kept in `stage.json`, so that a plan can
// say what changed. Stateless: any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/config.hpp"

namespace cifarpipe {

/// Raised whenever the meaning of a stored result changes.
inline constexpr int kResultFormat = 1;

/// What of the configuration and the machine goes into a job's key, inputs left out.
struct KeyParts {
  const StageInstance* instance = nullptr;
  Numerics numerics;
  std::uint64_t seed = 0;
  /// For each `input_path` parameter that names a file or folder: the digest of its content.
  std::map<std::string, std::string> path_digests;
  /// Parameters with a secret in their value, and what may be shown of it. Their digest stands in
  /// the document: another value is another result, and the document is kept.
  std::map<std::string, std::string> covered;
  CodeIdentity code = CodeIdentity::build;
  NumericsKeying numerics_keying = NumericsKeying::strict;
  std::string salt;
};

/// The canonical JSON: keys sorted, no spaces, doubles as std::to_chars writes them, groups as a
/// list of pairs. `inputs`: port → digest (for the key) or identity (for the identity).
std::string key_document(const KeyParts& parts,
                         const std::vector<std::pair<std::string, std::string>>& inputs);

/// A stage's seed: a function of the root seed, the instance's name and the repeat number; never
/// of the cell, so that configurations stay paired and adding a stage moves nothing.
std::uint64_t stage_seed(std::uint64_t root, std::string_view instance, std::uint64_t repeat);

/// What changed from one key document to another, as a person says it: "lr 0.001 → 0.003",
/// "train was rebuilt", "input 'data' changed"; empty if nothing did.
std::vector<std::string> explain_change(const std::string& before, const std::string& after,
                                        std::string_view instance);

/// Whether two key documents differ in nothing but the code.
bool differ_only_in_code(const std::string& before, const std::string& after);

}  // namespace cifarpipe
