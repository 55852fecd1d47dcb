#include "stages/learn/torch_pickle.hpp"

#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>

namespace cifarpipe::learn {
namespace {

using Kind = PickleValue::Kind;

struct StorageName {
  std::string_view name;
  TensorType type;
};
constexpr std::array<StorageName, 7> kStorages = {{{"FloatStorage", TensorType::f32},
                                                   {"DoubleStorage", TensorType::f64},
                                                   {"BFloat16Storage", TensorType::bf16},
                                                   {"HalfStorage", TensorType::f16},
                                                   {"LongStorage", TensorType::i64},
                                                   {"IntStorage", TensorType::i32},
                                                   {"ByteStorage", TensorType::u8}}};

/// "torch.FloatStorage" and the like.
std::optional<TensorType> storage_type(std::string_view global) {
  for (const std::string_view module : {"torch.storage.", "torch.cuda.", "torch."}) {
    if (!global.starts_with(module)) continue;
    for (const auto& [name, type] : kStorages) {
      if (global.substr(module.size()) == name) return type;
    }
  }
  return std::nullopt;
}

bool is_allowed(std::string_view global) {
  for (const std::string_view known : {"collections.OrderedDict", "torch._utils._rebuild_tensor_v2",
                                       "torch._utils._rebuild_parameter"}) {
    if (global == known) return true;
  }
  return storage_type(global).has_value();
}

}  // namespace

Unpickler::Unpickler(std::span<const std::uint8_t> bytes, std::string name)
    : bytes_(bytes), name_(std::move(name)) {}

void Unpickler::fail(const std::string& what) const {
  throw Error(name_ + ": " + what);
}

std::uint8_t Unpickler::byte() {
  if (at_ >= bytes_.size()) fail("is cut off");
  return bytes_[at_++];
}

std::uint64_t Unpickler::number(int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= std::uint64_t{byte()} << (8 * i);
  return value;
}

std::string_view Unpickler::take(std::uint64_t count) {
  if (count > bytes_.size() - at_) fail("is cut off");
  const std::string_view taken(reinterpret_cast<const char*>(bytes_.data()) + at_, count);
  at_ += count;
  return taken;
}

std::string Unpickler::line() {
  std::string out;
  for (std::uint8_t c = byte(); c != '\n'; c = byte()) out += static_cast<char>(c);
  return out;
}

PicklePtr Unpickler::make(Kind kind) {
  if (made_.size() >= 1'000'000) fail("holds too many values for a state dict");
  made_.emplace_back();
  made_.back().kind = kind;
  return &made_.back();
}

/// Lists that were recalled and are copied cost a file nothing: it must not ask for all memory.
void Unpickler::count_copies(std::size_t count) {
  copies_ += count;
  if (copies_ > 1'000'000) fail("holds too many values for a state dict");
}

PicklePtr Unpickler::pop() {
  if (stack_.empty() || (!marks_.empty() && stack_.size() <= marks_.back())) fail("is damaged");
  PickleValue* const top = stack_.back();
  stack_.pop_back();
  return top;
}

std::vector<PicklePtr> Unpickler::pop_mark() {
  if (marks_.empty() || marks_.back() > stack_.size()) fail("is damaged");
  const auto from = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PicklePtr> values(from, stack_.end());
  stack_.erase(from, stack_.end());
  marks_.pop_back();
  return values;
}

void Unpickler::push_integer(std::int64_t value) {
  PicklePtr made = make(Kind::integer);
  made->integer = value;
  push(made);
}

void Unpickler::push_text(std::string_view text, Kind kind) {
  PicklePtr made = make(kind);
  made->text = text;
  push(made);
}

/// Little-endian two's complement. What does not fit (the old format's magic number) becomes bytes.
void Unpickler::push_long(std::uint64_t count) {
  const std::string_view digits = take(count);
  if (count > 8) return push_text(digits, Kind::bytes);
  std::uint64_t value = !digits.empty() && (digits.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    value &= ~(std::uint64_t{0xff} << (8 * i));
    value |= std::uint64_t{static_cast<std::uint8_t>(digits[i])} << (8 * i);
  }
  push_integer(static_cast<std::int64_t>(value));
}

void Unpickler::push_tuple(std::size_t count) {
  PicklePtr tuple = make(Kind::tuple);
  tuple->items.resize(count);
  for (std::size_t i = count; i > 0; --i) tuple->items[i - 1] = pop();
  push(tuple);
}

void Unpickler::append(const std::vector<PicklePtr>& values) {
  if (stack_.empty() || stack_.back()->kind != Kind::list) fail("is damaged");
  auto& items = stack_.back()->items;
  items.insert(items.end(), values.begin(), values.end());
}

void Unpickler::set_items(const std::vector<PicklePtr>& values) {
  if (stack_.empty() || stack_.back()->kind != Kind::dict || values.size() % 2 != 0) {
    fail("is damaged");
  }
  for (std::size_t i = 0; i < values.size(); i += 2) {
    stack_.back()->pairs.emplace_back(values[i], values[i + 1]);
  }
}

void Unpickler::push_global(const std::string& module, const std::string& name) {
  const std::string global = module + "." + name;
  if (!is_allowed(global)) {
    std::string shown;
    for (const char c : global.substr(0, 80)) shown += c >= 0x20 && c < 0x7f ? c : '?';
    fail("asks for '" + shown + "', which a state dict does not need: refused, nothing was run");
  }
  push_text(global, Kind::global);
}

void Unpickler::reduce() {
  PickleValue* const arguments = pop();
  PickleValue* const callee = pop();
  if (callee->kind != Kind::global || arguments->kind != Kind::tuple) fail("is damaged");
  if (callee->text == "collections.OrderedDict") {
    PicklePtr dict = make(Kind::dict);
    if (!arguments->items.empty()) {
      const PickleValue* list = arguments->items[0];
      if (list->kind != Kind::list) fail("is damaged");
      count_copies(list->items.size());
      for (const PickleValue* pair : list->items) {
        if (pair->items.size() != 2) fail("is damaged");
        dict->pairs.emplace_back(pair->items[0], pair->items[1]);
      }
    }
    return push(dict);
  }
  if (callee->text == "torch._utils._rebuild_tensor_v2") return push(rebuild_tensor(*arguments));
  if (callee->text == "torch._utils._rebuild_parameter" && !arguments->items.empty() &&
      arguments->items[0]->kind == Kind::tensor) {
    return push(arguments->items[0]);
  }
  fail("is damaged");
}

/// (storage, offset, shape, strides, requires_grad, hooks)
PicklePtr Unpickler::rebuild_tensor(const PickleValue& arguments) {
  const auto& a = arguments.items;
  if (a.size() < 4 || a[0]->kind != Kind::storage || a[1]->kind != Kind::integer ||
      a[2]->kind != Kind::tuple || a[3]->kind != Kind::tuple ||
      a[2]->items.size() != a[3]->items.size()) {
    fail("has a damaged tensor");
  }
  count_copies(a[2]->items.size());
  PicklePtr tensor = make(Kind::tensor);
  tensor->storage = a[0];
  tensor->type = a[0]->type;
  tensor->offset = a[1]->integer;
  for (std::size_t i = 0; i < a[2]->items.size(); ++i) {
    if (a[2]->items[i]->kind != Kind::integer || a[3]->items[i]->kind != Kind::integer) {
      fail("has a damaged tensor");
    }
    tensor->shape.push_back(a[2]->items[i]->integer);
    tensor->strides.push_back(a[3]->items[i]->integer);
  }
  return tensor;
}

/// ("storage", type, key, device, elements[, view])
PicklePtr Unpickler::persistent(const PickleValue& id) {
  const auto& a = id.items;
  if (id.kind != Kind::tuple || a.size() < 5 || a[0]->text != "storage" ||
      a[1]->kind != Kind::global || a[2]->kind != Kind::text || a[4]->kind != Kind::integer) {
    fail("has a damaged storage");
  }
  const auto type = storage_type(a[1]->text);
  if (!type) fail("has a damaged storage");
  if (a.size() > 5 && a[5]->kind != Kind::none) {
    fail("has a storage that is a view, which is not known here");
  }
  PicklePtr storage = make(Kind::storage);
  storage->text = a[2]->text;
  storage->type = *type;
  storage->integer = a[4]->integer;
  if (const auto [known, added] = types_.emplace(storage->text, *type);
      !added && known->second != *type) {
    fail("has a storage of two types");
  }
  return storage;
}

void Unpickler::memoize(std::uint64_t slot) {
  if (stack_.empty() || slot > bytes_.size()) fail("is damaged");
  if (memo_.size() <= slot) memo_.resize(slot + 1, nullptr);
  memo_[slot] = stack_.back();
}

void Unpickler::recall(std::uint64_t slot) {
  if (slot >= memo_.size() || !memo_[slot]) fail("is damaged");
  push(memo_[slot]);
}

PicklePtr Unpickler::load() {
  stack_.clear();
  marks_.clear();
  memo_.clear();
  while (true) {
    const std::uint8_t opcode = byte();
    if (opcode == '.') return pop();
    if (step(opcode) || step_number(opcode) || step_container(opcode)) continue;
    fail("is not a state dict that is known here (pickle operation " + std::to_string(opcode) +
         ")");
  }
}

bool Unpickler::step(std::uint8_t opcode) {
  switch (opcode) {
    case 0x80:  // PROTO
      if (const auto version = byte(); version > 5) fail("has a newer pickle format");
      return true;
    case 0x95:  // FRAME
      number(8);
      return true;
    case 'c': {  // GLOBAL
      const std::string module = line();
      push_global(module, line());
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      PickleValue* const name = pop();
      PickleValue* const module = pop();
      push_global(module->text, name->text);
      return true;
    }
    case 'q':  // BINPUT
      memoize(byte());
      return true;
    case 'r':  // LONG_BINPUT
      memoize(number(4));
      return true;
    case 0x94:  // MEMOIZE
      memoize(memo_.size());
      return true;
    case 'h':  // BINGET
      recall(byte());
      return true;
    case 'j':  // LONG_BINGET
      recall(number(4));
      return true;
    case 'R':  // REDUCE
      reduce();
      return true;
    case 'Q': {  // BINPERSID
      PickleValue* const id = pop();
      push(persistent(*id));
      return true;
    }
    case '0':  // POP
      pop();
      return true;
    case 'b':  // BUILD: a state dict's `_metadata`; it says nothing of the weights.
      pop();
      return true;
    default:
      return false;
  }
}

bool Unpickler::step_number(std::uint8_t opcode) {
  switch (opcode) {
    case 'N':
      push(make(Kind::none));
      return true;
    case 0x88:
    case 0x89: {
      PicklePtr made = make(Kind::boolean);
      made->integer = opcode == 0x88 ? 1 : 0;
      push(made);
      return true;
    }
    case 'K':
      push_integer(byte());
      return true;
    case 'M':
      push_integer(static_cast<std::int64_t>(number(2)));
      return true;
    case 'J':
      push_integer(static_cast<std::int32_t>(number(4)));
      return true;
    case 0x8a:  // LONG1
      push_long(byte());
      return true;
    case 'G': {  // BINFLOAT, big-endian
      PicklePtr made = make(Kind::real);
      made->real = std::bit_cast<double>(__builtin_bswap64(number(8)));
      push(made);
      return true;
    }
    case 'X':  // BINUNICODE
      push_text(take(number(4)));
      return true;
    case 0x8c:  // SHORT_BINUNICODE
      push_text(take(byte()));
      return true;
    case 'U':  // SHORT_BINSTRING
      push_text(take(byte()));
      return true;
    case 'T':  // BINSTRING
      push_text(take(number(4)));
      return true;
    case 'C':  // SHORT_BINBYTES
      push_text(take(byte()), Kind::bytes);
      return true;
    case 'B':  // BINBYTES
      push_text(take(number(4)), Kind::bytes);
      return true;
    default:
      return false;
  }
}

bool Unpickler::step_container(std::uint8_t opcode) {
  switch (opcode) {
    case '(':
      marks_.push_back(stack_.size());
      return true;
    case ')':
      push_tuple(0);
      return true;
    case 0x85:
    case 0x86:
    case 0x87:
      push_tuple(opcode - 0x84u);
      return true;
    case 't': {
      PicklePtr tuple = make(Kind::tuple);
      tuple->items = pop_mark();
      push(tuple);
      return true;
    }
    case ']':
      push(make(Kind::list));
      return true;
    case '}':
      push(make(Kind::dict));
      return true;
    case 'a':
      append({pop()});
      return true;
    case 'e':
      append(pop_mark());
      return true;
    case 's': {
      PickleValue* const value = pop();
      PickleValue* const key = pop();
      set_items({key, value});
      return true;
    }
    case 'u':
      set_items(pop_mark());
      return true;
    default:
      return false;
  }
}

}  // namespace cifarpipe::learn
