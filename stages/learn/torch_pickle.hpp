// The part of Python's pickle format that state dicts are written in, read without running
// anything: dictionaries, lists, numbers, texts, and tensors as a view on a storage. Private to
// torch_file.cpp. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stages/learn/safetensors.hpp"

namespace cifarpipe::learn {

struct PickleValue;
/// Belongs to its Unpickler: values may contain one another, even themselves.
using PicklePtr = PickleValue*;

/// What a pickle can hold here.
struct PickleValue {
  enum class Kind {
    none,
    boolean,
    integer,
    real,
    text,
    bytes,
    list,
    tuple,
    dict,
    global,
    storage,
    tensor
  };
  Kind kind = Kind::none;
  std::int64_t integer = 0;
  double real = 0;
  std::string text;  ///< text, bytes, or a global's name; a storage's key.
  std::vector<PicklePtr> items;
  std::vector<std::pair<PicklePtr, PicklePtr>> pairs;
  // Of a storage: the type of its elements and how many; of a tensor: a view on one.
  TensorType type = TensorType::f32;
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, strides;
  PicklePtr storage = nullptr;
};

class Unpickler {
 public:
  /// `name` is for messages.
  Unpickler(std::span<const std::uint8_t> bytes, std::string name);

  /// One pickle, from where the last one ended, whose values live as long as this. Throws Error.
  PicklePtr load();
  std::size_t position() const { return at_; }
  /// The type of each storage that was named so far, by its key.
  const std::map<std::string, TensorType, std::less<>>& storage_types() const { return types_; }

 private:
  using Kind = PickleValue::Kind;
  [[noreturn]] void fail(const std::string& what) const;
  std::uint8_t byte();
  std::uint64_t number(int bytes);
  std::string_view take(std::uint64_t count);
  std::string line();
  PicklePtr make(Kind kind);
  void count_copies(std::size_t count);
  PicklePtr pop();
  std::vector<PicklePtr> pop_mark();
  void push(PicklePtr value) { stack_.push_back(value); }
  void push_integer(std::int64_t value);
  void push_text(std::string_view text, Kind kind = Kind::text);
  void push_long(std::uint64_t count);
  void push_tuple(std::size_t count);
  void append(const std::vector<PicklePtr>& values);
  void set_items(const std::vector<PicklePtr>& values);
  void push_global(const std::string& module, const std::string& name);
  void reduce();
  PicklePtr rebuild_tensor(const PickleValue& arguments);
  PicklePtr persistent(const PickleValue& id);
  void memoize(std::uint64_t slot);
  void recall(std::uint64_t slot);
  bool step(std::uint8_t opcode);
  bool step_number(std::uint8_t opcode);
  bool step_container(std::uint8_t opcode);

  std::span<const std::uint8_t> bytes_;
  std::string name_;
  std::size_t at_ = 0;
  std::size_t copies_ = 0;
  std::vector<PicklePtr> stack_;
  std::vector<std::size_t> marks_;
  std::vector<PicklePtr> memo_;
  std::deque<PickleValue> made_;
  std::map<std::string, TensorType, std::less<>> types_;
};

}  // namespace cifarpipe::learn
