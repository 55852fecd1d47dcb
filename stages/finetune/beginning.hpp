// Where a fine-tuning begins: which layers are the head, which stay frozen, which weights are taken
// over. Stage's thread.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "stages/learn/model.hpp"
#include "stages/learn/safetensors.hpp"
#include "stages/learn/trainer.hpp"

namespace cifarpipe {

/// The linear layers after the last layer of another kind: "fc1", "fc2".
std::vector<std::string> head_layers(const learn::Network& network);
/// All layers that learn but those of the head.
std::vector<std::string> body_layers(const learn::Network& network);
/// `prefixes`, or what `["auto"]` stands for.
std::vector<std::string> resolved(const std::vector<std::string>& prefixes,
                                  const std::vector<std::string>& automatic);

/// By name, as files of weights are read.
using TensorMap = std::map<std::string, learn::TensorBytes, std::less<>>;

/// All tensors of `network` but those that `reset` names. Throws an Error that names `source` when
/// one is missing, when there is one that the network lacks, or when a prefix fits nothing.
learn::Start take_over(const TensorMap& tensors, const learn::Network& network,
                       const std::vector<std::string>& reset, const std::string& source);

}  // namespace cifarpipe
