#include "stages/learn/safetensors.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>

namespace cifarpipe::learn {
namespace {

static_assert(std::endian::native == std::endian::little, "the files are little-endian");

using Json = nlohmann::ordered_json;
constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaximumHeader = 100'000'000;  // the format's own limit
constexpr std::string_view kMetadata = "__metadata__";

struct TypeInfo {
  std::string_view name;
  std::size_t size;
};
constexpr std::array<TypeInfo, 7> kTypes = {
    {{"F32", 4}, {"F64", 8}, {"BF16", 2}, {"F16", 2}, {"I64", 8}, {"I32", 4}, {"U8", 1}}};

std::optional<TensorType> type_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].name == name) return static_cast<TensorType>(i);
  }
  return std::nullopt;
}

/// The bytes of a tensor, or nothing if a side is negative or the product does not fit.
std::optional<std::uint64_t> byte_count(TensorType type, const std::vector<std::int64_t>& shape) {
  std::uint64_t count = tensor_type_size(type);
  for (const std::int64_t side : shape) {
    if (side < 0 || __builtin_mul_overflow(count, static_cast<std::uint64_t>(side), &count)) {
      return std::nullopt;
    }
  }
  return count;
}

}  // namespace

std::string_view tensor_type_name(TensorType type) {
  return kTypes[static_cast<std::size_t>(type)].name;
}

std::size_t tensor_type_size(TensorType type) {
  return kTypes[static_cast<std::size_t>(type)].size;
}

void write_safetensors(const std::filesystem::path& file,
                       const std::vector<std::pair<std::string, TensorBytes>>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header[std::string(kMetadata)] = metadata;
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    if (byte_count(tensor.type, tensor.shape) != tensor.bytes.size()) {
      throw Error("tensor '" + name + "' has " + std::to_string(tensor.bytes.size()) +
                  " bytes, which is not its shape's");
    }
    if (header.contains(name)) throw Error("there are two tensors called '" + name + "'");
    const std::uint64_t end = at + tensor.bytes.size();
    header[name] = {{"dtype", tensor_type_name(tensor.type)},
                    {"shape", tensor.shape},
                    {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the data begins aligned
  const std::uint64_t length = text.size();

  FileWriter out(file);
  out.write(&length, kLengthBytes);
  out.write(text.data(), text.size());
  for (const auto& [name, tensor] : tensors) out.write(tensor.bytes.data(), tensor.bytes.size());
  out.close();
}

SafetensorsReader::SafetensorsReader(std::filesystem::path file)
    : file_(std::move(file)), map_(file_) {
  const auto bytes = map_.bytes();
  if (bytes.size() < kLengthBytes) {
    throw Error(file_.string() + " is not a safetensors file: it has only " +
                std::to_string(bytes.size()) + " bytes");
  }
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaximumHeader || length > bytes.size() - kLengthBytes) {
    throw Error(file_.string() + " is not a safetensors file or is cut off: its header should " +
                "have " + std::to_string(length) + " bytes");
  }
  const std::string_view header(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  parse_header(header, bytes.subspan(kLengthBytes + length));
}

void SafetensorsReader::parse_header(std::string_view header, std::span<const std::uint8_t> data) {
  const Json json = Json::parse(header, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) {
    throw Error(file_.string() + " has a damaged header: it is not a JSON object");
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
  for (const auto& [name, entry] : json.items()) {
    if (name == kMetadata) continue;
    const auto fail = [&, &name = name](const std::string& what) {
      throw Error(file_.string() + ": tensor '" + name + "' " + what);
    };
    std::string type_text;
    std::vector<std::int64_t> shape;
    std::vector<std::uint64_t> offsets;
    try {
      type_text = entry.at("dtype").get<std::string>();
      shape = entry.at("shape").get<std::vector<std::int64_t>>();
      offsets = entry.at("data_offsets").get<std::vector<std::uint64_t>>();
    } catch (const Json::exception&) {
      fail("has a damaged entry in the header: it needs a dtype, a shape and data_offsets");
    }
    const auto type = type_from_name(type_text);
    if (!type) fail("has the type " + type_text + ", which is not known here");
    TensorBytes tensor{*type, std::move(shape), {}};
    if (offsets.size() != 2 || offsets[0] > offsets[1]) fail("has a damaged place");
    if (offsets[1] > data.size()) fail("reaches beyond the end: the file is cut off");
    if (byte_count(tensor.type, tensor.shape) != offsets[1] - offsets[0]) {
      fail("has a shape that does not fit its place");
    }
    tensor.bytes = data.subspan(offsets[0], offsets[1] - offsets[0]);
    ranges.emplace_back(offsets[0], offsets[1]);
    if (!tensors_.emplace(name, std::move(tensor)).second) fail("is there twice");
  }
  std::sort(ranges.begin(), ranges.end());
  std::uint64_t at = 0;
  for (const auto& [begin, end] : ranges) {
    if (begin != at) throw Error(file_.string() + ": tensors overlap or leave a gap");
    at = end;
  }
  if (at != data.size()) {
    throw Error(file_.string() + " has " + std::to_string(data.size() - at) +
                " bytes after its last tensor");
  }
}

const TensorBytes* SafetensorsReader::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const TensorBytes& SafetensorsReader::at(std::string_view name) const {
  if (const TensorBytes* tensor = find(name)) return *tensor;
  throw Error(file_.string() + " has no tensor '" + std::string(name) + "'");
}

}  // namespace cifarpipe::learn
