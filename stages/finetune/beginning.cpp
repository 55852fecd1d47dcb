#include "stages/finetune/beginning.hpp"

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <set>

namespace cifarpipe {
namespace {

std::string layer_of(const std::string& tensor) {
  return tensor.substr(0, tensor.rfind('.'));
}

at::ScalarType scalar_type(learn::TensorType type) {
  switch (type) {
    case learn::TensorType::f32:
      return at::kFloat;
    case learn::TensorType::f64:
      return at::kDouble;
    case learn::TensorType::bf16:
      return at::kBFloat16;
    case learn::TensorType::f16:
      return at::kHalf;
    case learn::TensorType::i64:
      return at::kLong;
    case learn::TensorType::i32:
      return at::kInt;
    case learn::TensorType::u8:
      return at::kByte;
  }
  return at::kFloat;
}

at::Tensor to_tensor(const learn::TensorBytes& from) {
  at::Tensor made = at::empty(from.shape, at::TensorOptions(scalar_type(from.type)));
  // Copied: nothing says that its bytes are aligned.
  std::copy(from.bytes.begin(), from.bytes.end(),
            static_cast<std::uint8_t*>(made.mutable_data_ptr()));
  return made;
}

}  // namespace

std::vector<std::string> head_layers(const learn::Network& network) {
  std::vector<std::string> head;
  for (auto node = network.nodes.rbegin(); node != network.nodes.rend(); ++node) {
    if (node->name.empty()) continue;
    if (node->op != learn::Op::linear) break;
    head.insert(head.begin(), node->name);
  }
  return head;
}

std::vector<std::string> body_layers(const learn::Network& network) {
  const auto head = head_layers(network);
  std::vector<std::string> body;
  for (const learn::TensorSpec& spec : network.tensors()) {
    if (!spec.learned || spec.counts) continue;
    const std::string layer = layer_of(spec.name);
    if (std::find(head.begin(), head.end(), layer) != head.end()) continue;
    if (body.empty() || body.back() != layer) body.push_back(layer);
  }
  return body;
}

std::vector<std::string> resolved(const std::vector<std::string>& prefixes,
                                  const std::vector<std::string>& automatic) {
  return prefixes == std::vector<std::string>{"auto"} ? automatic : prefixes;
}

learn::Start take_over(const TensorMap& tensors, const learn::Network& network,
                       const std::vector<std::string>& reset, const std::string& source) {
  const auto specs = network.tensors();
  for (const std::string& prefix : reset) {
    const bool fits = std::any_of(specs.begin(), specs.end(), [&](const learn::TensorSpec& spec) {
      return learn::has_prefix(spec.name, prefix);
    });
    if (!fits) {
      throw Error("there is nothing to reset: no layer's name begins with '" + prefix + "'",
                  ErrorKind::usage);
    }
  }
  std::set<std::string> known;
  learn::Start start;
  for (const learn::TensorSpec& spec : specs) {
    known.insert(spec.name);
    const bool fresh = std::any_of(reset.begin(), reset.end(), [&](const std::string& prefix) {
      return learn::has_prefix(spec.name, prefix);
    });
    if (fresh) continue;
    const auto found = tensors.find(spec.name);
    if (found == tensors.end()) {
      if (spec.counts) continue;  // Older versions of torch did not count batches.
      throw Error(source + " has no tensor '" + spec.name + "'", ErrorKind::usage);
    }
    if (found->second.shape != spec.shape && !spec.counts) {
      throw Error(source + " has another shape of '" + spec.name +
                      "' than these images and classes need; 'reset' can name the layer",
                  ErrorKind::usage);
    }
    at::Tensor tensor = to_tensor(found->second);
    if (spec.counts && tensor.numel() == 1) tensor = tensor.reshape({});  // Some write it as [1].
    if (!spec.counts && !tensor.is_floating_point()) {
      throw Error(source + " has whole numbers in '" + spec.name + "', which are no weights");
    }
    if (!spec.counts && !at::isfinite(tensor.to(at::kFloat)).all().item<bool>()) {
      throw Error(source + " holds values that are not finite in '" + spec.name +
                  "': nothing can be learned from there; begin from other weights, or let 'reset' "
                  "name the layer");
    }
    start.weights.push_back({spec.name, tensor});
  }
  for (const auto& [name, bytes] : tensors) {
    if (!known.contains(name)) {
      throw Error(source + " has a tensor '" + name + "' that the network lacks", ErrorKind::usage);
    }
  }
  return start;
}

}  // namespace cifarpipe
