#include "pipeline/schema.hpp"

#include <algorithm>
#include <set>

namespace cifarpipe {
namespace {

std::optional<double> as_number(const Value& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return static_cast<double>(*integer);
  if (const auto* number = std::get_if<double>(&value)) return *number;
  return std::nullopt;
}

bool compare_numbers(double a, Condition::Op op, double b) {
  switch (op) {
    case Condition::Op::equal:
      return a == b;
    case Condition::Op::not_equal:
      return a != b;
    case Condition::Op::less:
      return a < b;
    case Condition::Op::less_equal:
      return a <= b;
    case Condition::Op::greater:
      return a > b;
    case Condition::Op::greater_equal:
      return a >= b;
  }
  return false;
}

/// `ask` of an array or of groups; nothing for the rest.
template <class Ask>
std::optional<Value> of_sequence(const Value& value, const Ask& ask) {
  return std::visit(
      [&](const auto& v) -> std::optional<Value> {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
          return std::nullopt;
        } else {
          return Value(ask(v));
        }
      },
      value);
}

std::optional<Value> length(const Value& value) {
  return of_sequence(value, [](const auto& v) { return static_cast<std::int64_t>(v.size()); });
}

std::optional<Value> ascending(const Value& value) {
  if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&value)) {
    return std::is_sorted(integers->begin(), integers->end());
  }
  if (const auto* numbers = std::get_if<std::vector<double>>(&value)) {
    return std::is_sorted(numbers->begin(), numbers->end());
  }
  return std::nullopt;
}

std::optional<Value> distinct(const Value& value) {
  return of_sequence(value, [](const auto& v) {
    using Item = typename std::decay_t<decltype(v)>::value_type;
    return std::set<Item>(v.begin(), v.end()).size() == v.size();
  });
}

/// The left side; nothing where there is no such thing.
std::optional<Value> left_side(const Condition& c, const ParamValues& values,
                               const std::vector<std::string>& inputs) {
  if (c.of == Condition::Of::wired) {
    return std::find(inputs.begin(), inputs.end(), c.field) != inputs.end();
  }
  const Value* value = find_value(values, c.field);
  if (value == nullptr) return std::nullopt;
  switch (c.of) {
    case Condition::Of::length:
      return length(*value);
    case Condition::Of::ascending:
      return ascending(*value);
    case Condition::Of::distinct:
      return distinct(*value);
    default:
      return *value;
  }
}

}  // namespace

bool FieldInfo::allows(std::string_view text) const {
  if (choices.empty()) return true;
  return std::any_of(choices.begin(), choices.end(), [&](std::string_view choice) {
    if (!choice.ends_with(":N")) return text == choice;
    const std::string_view front = choice.substr(0, choice.size() - 1);
    if (!text.starts_with(front)) return false;
    const std::string_view number = text.substr(front.size());
    return !number.empty() && number.size() <= 4 &&
           number.find_first_not_of("0123456789") == std::string_view::npos;
  });
}

bool Condition::holds(const ParamValues& values, const std::vector<std::string>& inputs) const {
  const std::optional<Value> left = left_side(*this, values, inputs);
  const Value* right = other_field.empty() ? &constant : find_value(values, other_field);
  if (!left || right == nullptr) return false;
  const std::optional<double> a = as_number(*left), b = as_number(*right);
  if (a && b) return compare_numbers(*a, op, *b);
  if (op == Op::equal) return *left == *right;
  if (op == Op::not_equal) return *left != *right;
  return false;
}

const FieldInfo* ParamSchema::find(std::string_view name) const {
  for (const FieldInfo& field : fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

}  // namespace cifarpipe
