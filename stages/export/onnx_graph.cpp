#include "stages/export/onnx_graph.hpp"

#include <onnx/checker.h>
#include <onnx/onnx_pb.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

using learn::Node;
using learn::Op;

/// The version of the file format that came with an opset.
int ir_version(int opset) {
  return opset < 15 ? 7 : 8;
}

const double kHalfRoot = std::sqrt(0.5);

class GraphWriter {
 public:
  GraphWriter(const learn::Network& network, const TensorMap& tensors, const Quantised* quantised)
      : network_(network), tensors_(tensors), quantised_(quantised) {}

  onnx::ModelProto write(const learn::ModelInfo& info, const OnnxOptions& options) {
    onnx::ModelProto model;
    model.set_ir_version(ir_version(options.opset));
    model.set_producer_name("cifarpipe");
    model.add_opset_import()->set_version(options.opset);
    graph_ = model.mutable_graph();
    graph_->set_name(info.architecture);
    add_port(graph_->add_input(), kInputName,
             {network_.input_channels, network_.input_height, network_.input_width});
    values_.resize(network_.nodes.size());
    values_[0] = options.normalise ? add_normalisation(info) : kInputName;
    round_output(0);
    for (std::size_t i = 1; i < values_.size(); ++i) {
      values_[i] = add_node(static_cast<int>(i));
      round_output(static_cast<int>(i));
    }
    name_output();
    add_port(graph_->add_output(), kOutputName, {network_.classes()});
    add_metadata(model, info, options);
    return model;
  }

 private:
  static void add_port(onnx::ValueInfoProto* port, const std::string& name,
                       const std::vector<std::int64_t>& sizes) {
    port->set_name(name);
    auto* tensor = port->mutable_type()->mutable_tensor_type();
    tensor->set_elem_type(onnx::TensorProto::FLOAT);
    tensor->mutable_shape()->add_dim()->set_dim_param("batch");
    for (const auto size : sizes) tensor->mutable_shape()->add_dim()->set_dim_value(size);
  }

  std::string add_normalisation(const learn::ModelInfo& info) {
    // Not [1,C,1,1]: with that, OpenCV 4.6 takes one image at a time only.
    const std::vector<std::int64_t> shape = {info.channels, 1, 1};
    const std::vector<float> mean(info.mean.begin(), info.mean.end());
    const std::vector<float> std(info.std.begin(), info.std.end());
    const std::string centred =
        add_op("Sub", "image.centred", {kInputName, add_floats("image.mean", shape, mean)});
    return add_op("Div", "image.normalised", {centred, add_floats("image.std", shape, std)});
  }

  /// Adds an operation with one output, whose name this returns.
  std::string add_op(const char* type, const std::string& output,
                     const std::vector<std::string>& inputs) {
    onnx::NodeProto* made = graph_->add_node();
    made->set_op_type(type);
    made->set_name(output);
    for (const std::string& input : inputs) made->add_input(input);
    made->add_output(output);
    return output;
  }

  onnx::AttributeProto* attribute(const char* name, onnx::AttributeProto::AttributeType type) {
    onnx::AttributeProto* made = graph_->mutable_node(graph_->node_size() - 1)->add_attribute();
    made->set_name(name);
    made->set_type(type);
    return made;
  }
  void set_int(const char* name, std::int64_t value) {
    attribute(name, onnx::AttributeProto::INT)->set_i(value);
  }
  void set_ints(const char* name, std::int64_t value, int count) {
    onnx::AttributeProto* made = attribute(name, onnx::AttributeProto::INTS);
    for (int i = 0; i < count; ++i) made->add_ints(value);
  }

  /// Adds a constant, whose name this returns.
  std::string add_tensor(const std::string& name, onnx::TensorProto::DataType type,
                         const std::vector<std::int64_t>& shape, const void* bytes,
                         std::size_t size) {
    onnx::TensorProto* made = graph_->add_initializer();
    made->set_name(name);
    made->set_data_type(type);
    for (const auto side : shape) made->add_dims(side);
    made->set_raw_data(bytes, size);
    return name;
  }
  std::string add_floats(const std::string& name, const std::vector<std::int64_t>& shape,
                         const std::vector<float>& values) {
    return add_tensor(name, onnx::TensorProto::FLOAT, shape, values.data(),
                      values.size() * sizeof(float));
  }
  std::string add_scalar(const std::string& name, double value) {
    return add_floats(name, {}, {static_cast<float>(value)});
  }
  /// A tensor of the model.
  std::string add_weight(const std::string& name) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) throw Error("the model has no tensor '" + name + "'");
    const learn::TensorBytes& tensor = found->second;
    if (tensor.type != learn::TensorType::f32) {
      throw Error("tensor '" + name + "' is not of 32-bit floats");
    }
    return add_tensor(name, onnx::TensorProto::FLOAT, tensor.shape, tensor.bytes.data(),
                      tensor.bytes.size());
  }

  const std::string& input_of(const Node& node, std::size_t number = 0) const {
    return values_[static_cast<std::size_t>(node.inputs[number])];
  }

  /// The name of a node's output: its own, or its operation and number.
  static std::string name_of(const Node& node, int number) {
    if (!node.name.empty()) return node.name;
    return std::string(op_name(node.op)) + "_" + std::to_string(number);
  }

  std::string add_node(int number) {
    const Node& node = network_.nodes[static_cast<std::size_t>(number)];
    const std::string name = name_of(node, number);
    const std::string& from = input_of(node);
    switch (node.op) {
      case Op::input:
      case Op::dropout:
        return from;
      case Op::conv2d:
      case Op::linear:
        return add_layer(node, number, name);
      case Op::batch_norm:
        return add_norm(node, number, name);
      case Op::relu:
        return add_op("Relu", name, {from});
      case Op::gelu:
        return add_gelu(name, from);
      case Op::max_pool:
        add_op("MaxPool", name, {from});
        set_ints("kernel_shape", node.kernel, 2);
        set_ints("strides", node.kernel, 2);
        return name;
      case Op::average_pool:
        add_op("GlobalAveragePool", name + ".plane", {from});
        return add_flatten(name, name + ".plane");
      case Op::flatten:
        return add_flatten(name, from);
      case Op::add:
        return add_op("Add", name, {from, input_of(node, 1)});
      case Op::scale:
        return add_op("Mul", name, {from, add_scalar(name + ".factor", node.value)});
    }
    return from;
  }

  std::string add_flatten(const std::string& name, const std::string& from) {
    add_op("Flatten", name, {from});
    set_int("axis", 1);
    return name;
  }

  /// x Phi(x), by the error function: ONNX has no exact one of its own before opset 20.
  std::string add_gelu(const std::string& name, const std::string& from) {
    const std::string scaled =
        add_op("Mul", name + ".scaled", {from, add_scalar(name + ".half_root", kHalfRoot)});
    const std::string erf = add_op("Erf", name + ".erf", {scaled});
    const std::string up = add_op("Add", name + ".up", {erf, add_scalar(name + ".one", 1)});
    const std::string weighted = add_op("Mul", name + ".weighted", {from, up});
    return add_op("Mul", name, {weighted, add_scalar(name + ".half", 0.5)});
  }

  std::string add_norm(const Node& node, int number, const std::string& name) {
    const std::string& from = input_of(node);
    if (quantised_ && quantised_->folded[static_cast<std::size_t>(number)]) return from;
    std::vector<std::string> inputs = {from};
    for (const char* role : {".weight", ".bias", ".running_mean", ".running_var"}) {
      inputs.push_back(add_weight(node.name + role));
    }
    add_op("BatchNormalization", name, inputs);
    attribute("epsilon", onnx::AttributeProto::FLOAT)->set_f(static_cast<float>(node.value));
    return name;
  }

  std::string add_layer(const Node& node, int number, const std::string& name) {
    std::vector<std::string> inputs = {input_of(node)};
    if (quantised_) {
      add_quantised_weights(node, *quantised_->layers[static_cast<std::size_t>(number)], inputs);
    } else {
      inputs.push_back(add_weight(node.name + ".weight"));
      if (node.bias) inputs.push_back(add_weight(node.name + ".bias"));
    }
    if (node.op == Op::linear) {
      add_op("Gemm", name, inputs);
      set_int("transB", 1);
      return name;
    }
    add_op("Conv", name, inputs);
    set_ints("kernel_shape", node.kernel, 2);
    set_ints("strides", node.stride, 2);
    set_ints("pads", node.padding, 4);
    return name;
  }

  void add_quantised_weights(const Node& node, const QuantisedLayer& layer,
                             std::vector<std::string>& inputs) {
    const std::string weight = node.name + ".weight";
    std::vector<std::int64_t> shape = {node.channels, node.in};
    if (node.op == Op::conv2d) shape.insert(shape.end(), 2, node.kernel);
    const std::vector<std::int8_t> zeros(layer.scales.size(), 0);
    const std::vector<std::int64_t> channels = {node.channels};
    add_op("DequantizeLinear", weight,
           {add_tensor(weight + ".int8", onnx::TensorProto::INT8, shape, layer.weight.data(),
                       layer.weight.size()),
            add_floats(weight + ".scale", channels, layer.scales),
            add_tensor(weight + ".zero", onnx::TensorProto::INT8, channels, zeros.data(),
                       zeros.size())});
    set_int("axis", 0);
    inputs.push_back(weight);

    const std::string bias = node.name + ".bias";
    std::vector<float> units = layer.scales;
    for (float& unit : units) unit *= layer.input_scale;
    const std::vector<std::int32_t> bias_zeros(layer.scales.size(), 0);
    add_op("DequantizeLinear", bias,
           {add_tensor(bias + ".int32", onnx::TensorProto::INT32, channels, layer.bias.data(),
                       layer.bias.size() * sizeof(std::int32_t)),
            add_floats(bias + ".scale", channels, units),
            add_tensor(bias + ".zero", onnx::TensorProto::INT32, channels, bias_zeros.data(),
                       bias_zeros.size() * sizeof(std::int32_t))});
    set_int("axis", 0);
    inputs.push_back(bias);
  }

  /// Where the plan says so, rounds what a node gives to 8 bits. And again after pooling and
  /// flattening, which keep rounded values: it changes nothing, but shows readers of the file that
  /// all between two roundings can be computed in 8 bits.
  void round_output(int number) {
    if (!quantised_) return;
    const auto at = static_cast<std::size_t>(number);
    const Node& node = network_.nodes[at];
    ranges_.resize(network_.nodes.size());
    const bool same = node.op == Op::dropout;
    const bool keeps = same || node.op == Op::max_pool || node.op == Op::flatten;
    ranges_[at] =
        keeps ? ranges_[static_cast<std::size_t>(node.inputs[0])] : quantised_->outputs[at];
    if (!ranges_[at] || same) return;
    const ByteRange& range = *ranges_[at];
    const std::string name = values_[at];
    const std::string scale = add_scalar(name + ".scale", range.scale);
    const std::string zero =
        add_tensor(name + ".zero", onnx::TensorProto::UINT8, {}, &range.zero, sizeof range.zero);
    const std::string bytes = add_op("QuantizeLinear", name + ".bytes", {name, scale, zero});
    values_[at] = add_op("DequantizeLinear", name + ".rounded", {bytes, scale, zero});
  }

  /// The last value is called `logits`.
  void name_output() {
    const std::string& last = values_.back();
    for (auto& node : *graph_->mutable_node()) {
      if (node.output(0) == last) node.set_output(0, kOutputName);
    }
  }

  static void add_metadata(onnx::ModelProto& model, const learn::ModelInfo& info,
                           const OnnxOptions& options) {
    const std::pair<const char*, std::string> entries[] = {
        {"architecture", info.architecture},
        {"classes", nlohmann::json(info.classes).dump()},
        {"mean", nlohmann::json(info.mean).dump()},
        {"std", nlohmann::json(info.std).dump()},
        {"normalization", options.normalise ? "inside" : "outside"}};
    for (const auto& [key, value] : entries) {
      auto* entry = model.add_metadata_props();
      entry->set_key(key);
      entry->set_value(value);
    }
  }

  const learn::Network& network_;
  const TensorMap& tensors_;
  const Quantised* quantised_;
  onnx::GraphProto* graph_ = nullptr;
  std::vector<std::string> values_;               ///< The name of each node's output.
  std::vector<std::optional<ByteRange>> ranges_;  ///< What each node's output was rounded to.
};

}  // namespace

std::string make_onnx(const learn::Network& network, const TensorMap& tensors,
                      const learn::ModelInfo& info, const OnnxOptions& options,
                      const Quantised* quantised) {
  std::string bytes;
  if (!GraphWriter(network, tensors, quantised).write(info, options).SerializeToString(&bytes)) {
    throw Error("the weights are too many for an ONNX file of 2 GiB");
  }
  return bytes;
}

void require_valid_onnx(const std::filesystem::path& file) {
  onnx::ModelProto model;
  if (!model.ParseFromString(learn::read_text(file))) {
    throw Error(file.filename().string() + " cannot be read again: it is not a model");
  }
  try {
    onnx::checker::check_model(model);
  } catch (const std::exception& e) {
    throw Error(file.filename().string() + " is not a valid model: " + e.what());
  }
}

}  // namespace cifarpipe
