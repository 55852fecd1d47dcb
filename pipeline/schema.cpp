#include "pipeline/schema.hpp"

#include <algorithm>

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

bool Condition::holds(const ParamValues& values) const {
  const Value* left = find_value(values, field);
  const Value* right = other_field.empty() ? &constant : find_value(values, other_field);
  if (left == nullptr || right == nullptr) return false;
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
