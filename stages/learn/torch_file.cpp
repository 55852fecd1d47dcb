#include "stages/learn/torch_file.hpp"

#include <array>
#include <cstring>
#include <optional>

#include "stages/learn/torch_pickle.hpp"
#include "stages/learn/zip_file.hpp"

namespace cifarpipe::learn {
namespace {

using Kind = PickleValue::Kind;
using Bytes = std::span<const std::uint8_t>;
using Storages = std::map<std::string, Bytes, std::less<>>;
constexpr std::string_view kZipMagic = "PK\x03\x04";
/// The first pickle of the older format: 0x1950a86a20f9469cfc6c, little-endian.
constexpr std::string_view kOldMagic("\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 10);

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Without what torch.compile and DataParallel put into names.
std::string plain_name(std::string name) {
  constexpr std::string_view kCompiled = "_orig_mod.";
  constexpr std::string_view kParallel = "module.";
  for (auto at = name.find(kCompiled); at != std::string::npos; at = name.find(kCompiled)) {
    name.erase(at, kCompiled.size());
  }
  while (name.starts_with(kParallel)) name.erase(0, kParallel.size());
  return name;
}

const PickleValue* find(const PickleValue& dict, std::string_view key) {
  for (const auto& [name, value] : dict.pairs) {
    if (name->kind == Kind::text && name->text == key) return value;
  }
  return nullptr;
}

class Collector {
 public:
  Collector(const Storages& storages, std::string name, std::size_t file_bytes)
      : storages_(storages), name_(std::move(name)), room_(16 * file_bytes) {}

  StateDict collect(const PickleValue& root) {
    const PickleValue* dict = &root;
    for (const std::string_view inner : {"state_dict", "model_state_dict", "model"}) {
      const PickleValue* found = find(*dict, inner);
      if (found && found->kind == Kind::dict) dict = found;
    }
    if (dict->kind != Kind::dict || dict->pairs.empty()) {
      fail("holds no state dict: save model.state_dict(), not the model");
    }
    StateDict state;
    for (const auto& [key, value] : dict->pairs) {
      if (key->kind != Kind::text) fail("has an entry without a name");
      if (value->kind != Kind::tensor) fail("'" + key->text.substr(0, 80) + "' is not a tensor");
      add(state, key->text, *value);
    }
    return state;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw Error(name_ + ": " + what); }

  void add(StateDict& state, const std::string& key, const PickleValue& tensor) {
    const std::string shown = "tensor '" + key.substr(0, 80) + "' ";
    const auto found = storages_.find(tensor.storage->text);
    if (found == storages_.end()) fail(shown + "has no data: the file is damaged");
    const auto size = static_cast<std::int64_t>(tensor_type_size(tensor.type));
    const auto elements = static_cast<std::int64_t>(found->second.size()) / size;
    if (tensor.storage->integer > elements || tensor.storage->integer < 0) {
      fail(shown + "has less data than it should: the file is cut off");
    }
    const std::int64_t count = check_view(tensor, elements, shown);
    const std::size_t bytes = static_cast<std::size_t>(count * size);
    if (bytes > room_) fail(shown + "shares its data with too many others");
    room_ -= bytes;
    std::vector<std::uint8_t> data(bytes);
    gather(tensor, found->second.data() + tensor.offset * size, count, size, data.data());
    state.add(plain_name(key), tensor.type, tensor.shape, std::move(data));
  }

  /// That the whole view lies in `elements`; how many elements it has.
  std::int64_t check_view(const PickleValue& tensor, std::int64_t elements,
                          const std::string& shown) const {
    if (tensor.shape.size() > 16) fail(shown + "has too many dimensions");
    std::int64_t count = 1;
    std::int64_t last = tensor.offset;
    bool fits = tensor.offset >= 0 && tensor.offset <= elements;
    for (std::size_t d = 0; fits && d < tensor.shape.size(); ++d) {
      const std::int64_t side = tensor.shape[d];
      const std::int64_t stride = tensor.strides[d];
      std::int64_t reach = 0;
      fits = side >= 0 && stride >= 0 && !__builtin_mul_overflow(count, side, &count) &&
             (side == 0 || (!__builtin_mul_overflow(side - 1, stride, &reach) &&
                            !__builtin_add_overflow(last, reach, &last)));
    }
    // More elements than data (a stride of 0) is nothing that weights need.
    if (!fits || count > elements || (count > 0 && last >= elements)) {
      fail(shown + "reaches beyond its data: the file is damaged");
    }
    return count;
  }

  static void gather(const PickleValue& tensor, const std::uint8_t* from, std::int64_t count,
                     std::int64_t size, std::uint8_t* to) {
    std::vector<std::int64_t> index(tensor.shape.size(), 0);
    std::int64_t at = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      std::memcpy(to + i * size, from + at * size, static_cast<std::size_t>(size));
      for (std::size_t d = index.size(); d-- > 0;) {
        at += tensor.strides[d];
        if (++index[d] < tensor.shape[d]) break;
        at -= index[d] * tensor.strides[d];
        index[d] = 0;
      }
    }
  }

  const Storages& storages_;
  std::string name_;
  std::size_t room_;  ///< So that a small file does not ask for all memory.
};

StateDict parse_zip(Bytes bytes, const std::string& name) {
  const auto entries = read_zip(bytes, name);
  std::string folder;
  for (const auto& [path, content] : entries) {
    if (path.ends_with("/data.pkl")) folder = path.substr(0, path.size() - 8);
  }
  if (folder.empty()) throw Error(name + ": is a zip archive, but not one of torch.save");
  const auto order = entries.find(folder + "byteorder");
  if (order != entries.end() && text_of(order->second) != "little") {
    throw Error(name + ": was written on a big-endian machine");
  }
  Storages storages;
  const std::string data = folder + "data/";
  for (const auto& [path, content] : entries) {
    if (path.starts_with(data)) storages.emplace(path.substr(data.size()), content);
  }
  Unpickler pickle(entries.at(folder + "data.pkl"), name);
  return Collector(storages, name, bytes.size()).collect(*pickle.load());
}

/// Five pickles (magic number, version, machine, the object, keys of the storages) and then the
/// storages, each with its number of elements in front. How large an element is stands in the
/// object, so that it is looked up there.
StateDict parse_old(Bytes bytes, const std::string& name) {
  Unpickler pickle(bytes, name);
  if (pickle.load()->text != kOldMagic) {
    throw Error(name + ": is a pickle, but not one of torch.save");
  }
  if (pickle.load()->integer != 1001) throw Error(name + ": has an unknown version");
  const PickleValue* little = find(*pickle.load(), "little_endian");
  if (little && little->integer == 0) throw Error(name + ": was written on a big-endian machine");
  const PickleValue* root = pickle.load();
  const PickleValue* keys = pickle.load();
  Storages storages;
  std::size_t at = pickle.position();
  for (const PickleValue* key : keys->items) {
    const auto type = pickle.storage_types().find(key->text);
    if (type == pickle.storage_types().end()) throw Error(name + ": has data of an unknown type");
    std::uint64_t elements = 0;
    if (bytes.size() - at < 8) throw Error(name + ": is cut off");
    std::memcpy(&elements, bytes.data() + at, 8);
    at += 8;
    const std::size_t size = tensor_type_size(type->second);
    if (elements > (bytes.size() - at) / size) throw Error(name + ": is cut off");
    storages.emplace(key->text, bytes.subspan(at, elements * size));
    at += elements * size;
  }
  return Collector(storages, name, bytes.size()).collect(*root);
}

}  // namespace

void StateDict::add(const std::string& name, TensorType type, std::vector<std::int64_t> shape,
                    std::vector<std::uint8_t> bytes) {
  storage_.push_back(std::move(bytes));
  if (!tensors_.emplace(name, TensorBytes{type, std::move(shape), storage_.back()}).second) {
    throw Error("there are two tensors called '" + name + "'");
  }
}

StateDict parse_torch_file(std::span<const std::uint8_t> bytes, const std::string& name) {
  if (bytes.empty()) throw Error(name + ": is empty");
  if (text_of(bytes).starts_with(kZipMagic)) return parse_zip(bytes, name);
  if (bytes[0] == 0x80) return parse_old(bytes, name);
  throw Error(name + ": is neither a file of torch.save nor a safetensors file");
}

StateDict read_state_dict(const std::filesystem::path& file) {
  const MappedFile map(file);
  const auto bytes = map.bytes();
  if (bytes.size() < 9 || bytes[8] != '{') return parse_torch_file(bytes, file.string());
  const SafetensorsReader reader(file);
  StateDict state;
  for (const auto& [name, tensor] : reader.tensors()) {
    state.add(plain_name(name), tensor.type, tensor.shape,
              {tensor.bytes.begin(), tensor.bytes.end()});
  }
  return state;
}

}  // namespace cifarpipe::learn
