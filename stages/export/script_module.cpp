#include "stages/export/script_module.hpp"

#include <ATen/core/grad_mode.h>
#include <fmt/format.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <map>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

using learn::Node;
using learn::Op;
using torch::jit::Module;

/// Modules by their paths: "layer1.0.conv1" is a module in a module in a module.
class ModuleTree {
 public:
  void add(const std::string& name, const at::Tensor& tensor, bool learned) {
    Branch* branch = &root_;
    std::size_t at = 0;
    for (auto dot = name.find('.'); dot != std::string::npos; dot = name.find('.', at)) {
      branch = &branch->children[name.substr(at, dot - at)];
      at = dot + 1;
    }
    branch->tensors.push_back({name.substr(at), tensor, learned});
  }

  Module build(const std::shared_ptr<torch::jit::CompilationUnit>& unit) const {
    return build(root_, "__torch__.Classifier", unit);
  }

 private:
  struct Leaf {
    std::string name;
    at::Tensor tensor;
    bool learned;
  };
  struct Branch {
    std::map<std::string, Branch> children;
    std::vector<Leaf> tensors;
  };

  static Module build(const Branch& branch, const std::string& type,
                      const std::shared_ptr<torch::jit::CompilationUnit>& unit) {
    Module module{c10::QualifiedName(type), unit};
    for (const Leaf& leaf : branch.tensors) {
      if (leaf.learned) {
        module.register_parameter(leaf.name, leaf.tensor, false);
      } else {
        module.register_buffer(leaf.name, leaf.tensor);
      }
    }
    for (const auto& [name, child] : branch.children) {
      module.register_module(name, build(child, type + "_" + name, unit));
    }
    return module;
  }

  Branch root_;
};

/// The path of a tensor in TorchScript's source: an element whose name is a number has to be asked
/// for by getattr.
std::string path_of(const std::string& name) {
  std::string path = "self";
  std::size_t at = 0;
  while (at <= name.size()) {
    const std::size_t dot = std::min(name.find('.', at), name.size());
    const std::string part = name.substr(at, dot - at);
    const bool number = part.find_first_not_of("0123456789") == std::string::npos;
    path = number ? fmt::format("getattr({}, \"{}\")", path, part) : path + "." + part;
    at = dot + 1;
  }
  return path;
}

std::string line_of(const Node& node, const std::string& from, const std::string& other) {
  const auto tensor = [&](const char* role) { return path_of(node.name + "." + role); };
  const std::string bias = node.bias ? tensor("bias") : "None";
  switch (node.op) {
    case Op::input:
    case Op::dropout:
      return from;
    case Op::conv2d:
      return fmt::format("torch.conv2d({}, {}, {}, [{s}, {s}], [{p}, {p}])", from, tensor("weight"),
                         bias, fmt::arg("s", node.stride), fmt::arg("p", node.padding));
    case Op::batch_norm:
      return fmt::format("torch.batch_norm({}, {}, {}, {}, {}, False, {}, {:.17e}, True)", from,
                         tensor("weight"), tensor("bias"), tensor("running_mean"),
                         tensor("running_var"), node.momentum, node.value);
    case Op::relu:
      return fmt::format("torch.relu({})", from);
    case Op::gelu:
      return fmt::format("torch.gelu({})", from);
    case Op::max_pool:
      return fmt::format("torch.max_pool2d({}, [{k}, {k}], [{k}, {k}])", from,
                         fmt::arg("k", node.kernel));
    case Op::average_pool:
      return fmt::format("torch.mean({}, [2, 3])", from);
    case Op::flatten:
      return fmt::format("torch.flatten({}, 1)", from);
    case Op::linear:
      return fmt::format("torch.linear({}, {}, {})", from, tensor("weight"), bias);
    case Op::add:
      return fmt::format("torch.add({}, {})", from, other);
    case Op::scale:
      return fmt::format("torch.mul({}, {:.17e})", from, node.value);
  }
  return from;
}

std::string source_of(const learn::Network& network, bool normalise) {
  std::string text = "def forward(self, image):\n";
  text += normalise ? "  x0 = (image - self.image_mean) / self.image_std\n" : "  x0 = image\n";
  for (std::size_t i = 1; i < network.nodes.size(); ++i) {
    const Node& node = network.nodes[i];
    const std::string from = fmt::format("x{}", node.inputs[0]);
    const std::string other = node.inputs.size() > 1 ? fmt::format("x{}", node.inputs[1]) : "";
    text += fmt::format("  x{} = {}\n", i, line_of(node, from, other));
  }
  return text + fmt::format("  return x{}\n", network.nodes.size() - 1);
}

at::Tensor channel_constants(const std::vector<double>& values) {
  at::Tensor made = at::empty({static_cast<std::int64_t>(values.size()), 1, 1}, at::kFloat);
  std::copy(values.begin(), values.end(), made.mutable_data_ptr<float>());
  return made;
}

}  // namespace

void write_script_module(const std::filesystem::path& file, const learn::Model& model,
                         const learn::ModelInfo& info, bool normalise) {
  const at::NoGradGuard no_grad;
  ModuleTree tree;
  const auto plain = [](const at::Tensor& tensor) { return tensor.detach().contiguous().clone(); };
  for (const auto& [name, tensor] : model.parameters()) tree.add(name, plain(tensor), true);
  for (const auto& [name, tensor] : model.buffers()) tree.add(name, plain(tensor), false);
  if (normalise) {
    tree.add("image_mean", channel_constants(info.mean), false);
    tree.add("image_std", channel_constants(info.std), false);
  }
  Module module = tree.build(std::make_shared<torch::jit::CompilationUnit>());
  module.define(source_of(model.network(), normalise));
  module.eval();
  module.save(file.string());
}

struct ScriptModule::Loaded {
  Module module;
};

ScriptModule::ScriptModule(const std::filesystem::path& file)
    : loaded_(std::make_unique<Loaded>(Loaded{torch::jit::load(file.string(), at::kCPU)})) {}

ScriptModule::~ScriptModule() = default;

at::Tensor ScriptModule::forward(const at::Tensor& images) {
  const at::NoGradGuard no_grad;
  return loaded_->module.forward({images}).toTensor();
}

}  // namespace cifarpipe
