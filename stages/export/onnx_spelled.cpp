#include "stages/export/onnx_spelled.hpp"

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

constexpr double kLargestByte = 255;

template <class T>
std::vector<double> numbers(const std::string& raw) {
  std::vector<double> all;
  for (std::size_t at = 0; at + sizeof(T) <= raw.size(); at += sizeof(T)) {
    T value;
    std::memcpy(&value, raw.data() + at, sizeof(T));
    all.push_back(static_cast<double>(value));
  }
  return all;
}

class Speller {
 public:
  Speller(onnx::ModelProto& model, const std::string& name)
      : graph_(*model.mutable_graph()), name_(name) {
    for (const auto& tensor : graph_.initializer()) constants_[tensor.name()] = tensor;
  }

  void spell() {
    const auto nodes = graph_.node();
    graph_.clear_node();
    graph_.clear_initializer();
    for (const onnx::NodeProto& node : nodes) {
      if (node.op_type() == "QuantizeLinear") {
        round(node);
      } else if (node.op_type() == "DequantizeLinear") {
        constants_.contains(node.input(0)) ? put_back(node) : scale(node);
      } else {
        for (const auto& input : node.input()) keep(input);
        *graph_.add_node() = node;
      }
    }
  }

 private:
  const onnx::TensorProto& constant(const std::string& name) const {
    const auto found = constants_.find(name);
    if (found == constants_.end()) throw Error(name_ + " has no constant '" + name + "'");
    return found->second;
  }

  std::vector<double> values(const std::string& name) const {
    const onnx::TensorProto& tensor = constant(name);
    switch (tensor.data_type()) {
      case onnx::TensorProto::FLOAT:
        return numbers<float>(tensor.raw_data());
      case onnx::TensorProto::UINT8:
        return numbers<std::uint8_t>(tensor.raw_data());
      case onnx::TensorProto::INT8:
        return numbers<std::int8_t>(tensor.raw_data());
      case onnx::TensorProto::INT32:
        return numbers<std::int32_t>(tensor.raw_data());
      default:
        throw Error(name_ + " has a constant '" + name + "' of an unexpected type");
    }
  }

  /// A constant that stays as it is.
  void keep(const std::string& name) {
    const auto found = constants_.find(name);
    if (found != constants_.end()) *graph_.add_initializer() = found->second;
  }

  void add_floats(const std::string& name, const std::vector<float>& values,
                  const onnx::TensorProto* shape) {
    onnx::TensorProto* made = graph_.add_initializer();
    made->set_name(name);
    made->set_data_type(onnx::TensorProto::FLOAT);
    if (shape) *made->mutable_dims() = shape->dims();
    made->set_raw_data(values.data(), values.size() * sizeof(float));
  }

  onnx::NodeProto* add_op(const char* type, const std::vector<std::string>& inputs,
                          const std::string& output) {
    onnx::NodeProto* made = graph_.add_node();
    made->set_op_type(type);
    made->set_name(output);
    for (const auto& input : inputs) made->add_input(input);
    made->add_output(output);
    return made;
  }

  static void set_float(onnx::NodeProto* node, const char* name, double value) {
    onnx::AttributeProto* made = node->add_attribute();
    made->set_name(name);
    made->set_type(onnx::AttributeProto::FLOAT);
    made->set_f(static_cast<float>(value));
  }

  /// A constant of one number, as a float of its own.
  std::string add_scalar(const std::string& from, const std::string& name) {
    add_floats(name, {static_cast<float>(values(from).at(0))}, nullptr);
    return name;
  }

  void round(const onnx::NodeProto& node) {
    const std::string& to = node.output(0);
    add_op("Div", {node.input(0), add_scalar(node.input(1), to + ".scale")}, to + ".steps");
    add_op("Round", {to + ".steps"}, to + ".whole");
    add_op("Add", {to + ".whole", add_scalar(node.input(2), to + ".zero")}, to + ".moved");
    onnx::NodeProto* clip = add_op("Clip", {to + ".moved"}, to);
    set_float(clip, "min", 0);
    set_float(clip, "max", kLargestByte);
  }

  void scale(const onnx::NodeProto& node) {
    const std::string& to = node.output(0);
    add_op("Sub", {node.input(0), add_scalar(node.input(2), to + ".zero")}, to + ".steps");
    add_op("Mul", {to + ".steps", add_scalar(node.input(1), to + ".scale")}, to);
  }

  /// Weights and biases, whose scales are those of their first axis.
  void put_back(const onnx::NodeProto& node) {
    const auto steps = values(node.input(0));
    const auto scales = values(node.input(1));
    const auto zeros = values(node.input(2));
    const std::size_t each = steps.size() / scales.size();
    std::vector<float> back;
    for (std::size_t i = 0; i < steps.size(); ++i) {
      back.push_back(static_cast<float>((steps[i] - zeros.at(i / each)) * scales.at(i / each)));
    }
    add_floats(node.output(0), back, &constant(node.input(0)));
  }

  onnx::GraphProto& graph_;
  const std::string& name_;
  std::map<std::string, onnx::TensorProto> constants_;
};

}  // namespace

std::string spelled_out(const std::string& bytes, const std::string& name) {
  onnx::ModelProto model;
  if (!model.ParseFromString(bytes)) throw Error(name + " cannot be read again: it is not a model");
  Speller(model, name).spell();
  return model.SerializeAsString();
}

}  // namespace cifarpipe
