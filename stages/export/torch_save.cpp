#include "stages/export/torch_save.hpp"

#include "pipeline/error.hpp"
#include "stages/export/zip_writer.hpp"

namespace cifarpipe {
namespace {

using learn::TensorType;

std::string_view storage_type(TensorType type) {
  switch (type) {
    case TensorType::f32:
      return "FloatStorage";
    case TensorType::f64:
      return "DoubleStorage";
    case TensorType::bf16:
      return "BFloat16Storage";
    case TensorType::f16:
      return "HalfStorage";
    case TensorType::i64:
      return "LongStorage";
    case TensorType::i32:
      return "IntStorage";
    case TensorType::u8:
      return "ByteStorage";
  }
  return "";
}

/// Writes the opcodes of Python's pickle protocol 2 that a state dict needs.
class Pickler {
 public:
  Pickler() { bytes_ = "\x80\x02"; }

  void begin_ordered_dict() {
    global("collections", "OrderedDict");
    bytes_ += ")R(";  // Called without arguments; then what is put into it.
  }
  void end_ordered_dict() { bytes_ += "u."; }

  /// `key` is the storage's, which is the name of its entry in the archive.
  void tensor(const std::string& name, const learn::TensorBytes& tensor, const std::string& key) {
    const std::size_t count = tensor.bytes.size() / tensor_type_size(tensor.type);
    text(name);
    global("torch._utils", "_rebuild_tensor_v2");
    bytes_ += "((";
    text("storage");
    global("torch", storage_type(tensor.type));
    text(key);
    text("cpu");
    integer(static_cast<std::int64_t>(count));
    bytes_ += "tQ";  // The tuple names a storage.
    integer(0);
    sizes(tensor.shape);
    sizes(strides_of(tensor.shape));
    bytes_ += '\x89';  // No gradient wanted.
    global("collections", "OrderedDict");
    bytes_ += ")RtR";
  }

  const std::string& bytes() const { return bytes_; }

 private:
  void global(std::string_view module, std::string_view name) {
    bytes_ += 'c';
    bytes_.append(module).append("\n").append(name).append("\n");
  }
  void text(std::string_view text) {
    bytes_ += 'X';
    little(text.size(), 4);
    bytes_ += text;
  }
  void integer(std::int64_t value) {
    if (value >= 0 && value < 1LL << 31) {
      bytes_ += 'J';
      little(static_cast<std::uint64_t>(value), 4);
    } else {
      bytes_ += "\x8a\x08";
      little(static_cast<std::uint64_t>(value), 8);
    }
  }
  void sizes(const std::vector<std::int64_t>& values) {
    bytes_ += '(';
    for (const auto value : values) integer(value);
    bytes_ += 't';
  }
  void little(std::uint64_t value, int count) {
    for (int i = 0; i < count; ++i) bytes_ += static_cast<char>(value >> (8 * i) & 0xff);
  }
  static std::vector<std::int64_t> strides_of(const std::vector<std::int64_t>& shape) {
    std::vector<std::int64_t> strides(shape.size(), 1);
    for (std::size_t d = shape.size(); d-- > 1;) strides[d - 1] = strides[d] * shape[d];
    return strides;
  }

  std::string bytes_;
};

}  // namespace

void write_torch_file(const std::filesystem::path& file,
                      const std::vector<std::pair<std::string, learn::TensorBytes>>& tensors) {
  const std::string folder = file.stem().string() + "/";
  Pickler pickle;
  pickle.begin_ordered_dict();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    pickle.tensor(tensors[i].first, tensors[i].second, std::to_string(i));
  }
  pickle.end_ordered_dict();
  ZipWriter zip(file);
  zip.add(folder + "data.pkl", pickle.bytes());
  zip.add(folder + "byteorder", "little");
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    zip.add(folder + "data/" + std::to_string(i), tensors[i].second.bytes);
  }
  zip.add(folder + "version", "3\n");
  zip.finish();
}

}  // namespace cifarpipe
