#include "tracking/onnx_ports.hpp"

#include <algorithm>
#include <fstream>
#include <set>
#include <stdexcept>

namespace cifarpipe {
namespace {

// Numbers of fields in onnx.proto.
constexpr std::uint64_t kModelGraph = 7;
constexpr std::uint64_t kGraphInitializer = 5;
constexpr std::uint64_t kGraphInput = 11;
constexpr std::uint64_t kGraphOutput = 12;
constexpr std::uint64_t kTensorName = 8;
constexpr std::uint64_t kPortName = 1;
constexpr std::uint64_t kPortType = 2;
constexpr std::uint64_t kTypeTensor = 1;
constexpr std::uint64_t kTensorElement = 1;
constexpr std::uint64_t kTensorShape = 2;
constexpr std::uint64_t kShapeDim = 1;
constexpr std::uint64_t kDimValue = 1;

constexpr std::uint64_t kLongestName = 4096;

struct Damaged : std::runtime_error {
  Damaged() : std::runtime_error("no protobuf message") {}
};

/// A message of protobuf within a file: its fields one after the other, skipping what is not read.
class Message {
 public:
  Message(std::istream& in, std::uint64_t begin, std::uint64_t end)
      : in_(in), at_(begin), end_(end) {}

  /// To the next field; false at the end.
  bool next() {
    if (at_ >= end_) return false;
    in_.seekg(static_cast<std::streamoff>(at_));
    const std::uint64_t tag = varint();
    field_ = tag >> 3;
    switch (tag & 7) {
      case 0:
        value_ = varint();
        break;
      case 1:
        skip(8);
        break;
      case 2:
        value_ = varint();
        begin_ = at_;
        skip(value_);
        break;
      case 5:
        skip(4);
        break;
      default:
        throw Damaged();
    }
    return true;
  }
  std::uint64_t field() const { return field_; }
  /// Of a number; else the length.
  std::uint64_t value() const { return value_; }
  Message message() const { return {in_, begin_, at_}; }
  std::string text() {
    if (value_ > kLongestName) throw Damaged();
    std::string out(value_, '\0');
    in_.seekg(static_cast<std::streamoff>(begin_));
    if (!in_.read(out.data(), static_cast<std::streamsize>(out.size()))) throw Damaged();
    return out;
  }

 private:
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const int byte = at_ < end_ ? in_.get() : -1;
      if (byte < 0) throw Damaged();
      ++at_;
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    throw Damaged();
  }
  void skip(std::uint64_t bytes) {
    if (bytes > end_ - at_) throw Damaged();
    at_ += bytes;
  }

  std::istream& in_;
  std::uint64_t at_;
  std::uint64_t end_;
  std::uint64_t field_ = 0;
  std::uint64_t value_ = 0;
  std::uint64_t begin_ = 0;
};

std::string dtype_of(std::uint64_t element) {
  switch (element) {
    case 1:
      return "float32";
    case 2:
      return "uint8";
    case 3:
      return "int8";
    case 6:
      return "int32";
    case 7:
      return "int64";
    case 10:
      return "float16";
    case 11:
      return "float64";
    default:
      throw Damaged();
  }
}

std::vector<std::int64_t> read_shape(Message shape) {
  std::vector<std::int64_t> sizes;
  while (shape.next()) {
    if (shape.field() != kShapeDim) continue;
    std::int64_t size = -1;  // A name stands for any.
    for (Message dim = shape.message(); dim.next();) {
      if (dim.field() == kDimValue) size = static_cast<std::int64_t>(dim.value());
    }
    sizes.push_back(size);
  }
  return sizes;
}

void read_type(Message type, OnnxPort& port) {
  while (type.next()) {
    if (type.field() != kTypeTensor) continue;
    for (Message tensor = type.message(); tensor.next();) {
      if (tensor.field() == kTensorElement) port.dtype = dtype_of(tensor.value());
      if (tensor.field() == kTensorShape) port.shape = read_shape(tensor.message());
    }
  }
}

OnnxPort read_port(Message message) {
  OnnxPort port;
  while (message.next()) {
    if (message.field() == kPortName) port.name = message.text();
    if (message.field() == kPortType) read_type(message.message(), port);
  }
  if (port.name.empty() || port.dtype.empty()) throw Damaged();
  return port;
}

void read_graph(Message graph, OnnxPorts& ports) {
  std::set<std::string> initial;
  while (graph.next()) {
    if (graph.field() == kGraphInput) ports.inputs.push_back(read_port(graph.message()));
    if (graph.field() == kGraphOutput) ports.outputs.push_back(read_port(graph.message()));
    if (graph.field() != kGraphInitializer) continue;
    for (Message tensor = graph.message(); tensor.next();) {
      if (tensor.field() == kTensorName) initial.insert(tensor.text());
    }
  }
  std::erase_if(ports.inputs, [&](const OnnxPort& port) { return initial.contains(port.name); });
}

}  // namespace

std::optional<OnnxPorts> read_onnx_ports(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  std::ifstream in(file, std::ios::binary);
  if (error || !in) return std::nullopt;
  OnnxPorts ports;
  try {
    for (Message model(in, 0, size); model.next();) {
      if (model.field() == kModelGraph) read_graph(model.message(), ports);
    }
  } catch (const Damaged&) {
    return std::nullopt;
  }
  if (ports.inputs.empty() || ports.outputs.empty()) return std::nullopt;
  return ports;
}

}  // namespace cifarpipe
