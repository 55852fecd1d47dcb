// The parameters of a stage as data. `ParamSchema` is what the program works with (checks, help,
// keys, JSON Schema); `Schema<P>` is how a stage writes it, beside the struct that it fills, so
// that each default stands once: in the struct's member initialiser.
//
//   struct TrainParams {
//     int epochs = 20;
//     double lr = 1e-3;
//     static Schema<TrainParams> schema() {
//       return Schema<TrainParams>{}
//           .field("epochs", &TrainParams::epochs, "Passes over the training split.").range(1, 1e4)
//           .field("lr", &TrainParams::lr, "Peak learning rate.").range(1e-8, 100);
//     }
//   };
//
// Values only: any thread.
#pragma once

#include <filesystem>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "pipeline/value.hpp"

namespace cifarpipe {

/// One parameter.
struct FieldInfo {
  std::string name;
  Type type = Type::string;
  std::string help;     ///< One sentence.
  Value default_value;  ///< Meaningless when `required`.
  bool required = false;
  std::optional<double> minimum;  ///< Inclusive; also holds for each element of an array.
  std::optional<double> maximum;
  /// For strings (and elements of string arrays); empty = any. One that ends in ":N" stands for
  /// every whole number of up to four digits in N's place.
  std::vector<std::string> choices;
  std::string unit;        ///< "epochs", "bytes", …; empty if it has none.
  std::string deprecated;  ///< What to use instead; empty if it is not deprecated.
  bool no_effect = false;  ///< Does not change results, so it is not in the key.
  bool secret = false;     ///< Never shown or stored; implies no_effect; may come from `{ env = }`.
  /// For paths: the digest of the *content* of what it names is in the key. A value that equals a
  /// keyword is a keyword, else one with "://" is a URL, else it is a path.
  bool input_path = false;
  std::vector<std::string> keywords;

  /// Whether the choices, if there are any, have this text.
  bool allows(std::string_view text) const;
};

/// A comparison of one field with a constant or with another field.
struct Condition {
  enum class Op { equal, not_equal, less, less_equal, greater, greater_equal };
  /// What of the left side is compared. A length is an integer, the three others are booleans.
  enum class Of {
    value,
    length,     ///< Of an array or of groups.
    ascending,  ///< Whether no number of an array is less than the one before it.
    distinct,   ///< Whether no element of an array is there twice.
    wired,      ///< Whether the *input* of this name comes from anywhere.
  };
  std::string field;
  Op op = Op::equal;
  Value constant;
  std::string other_field;  ///< Not empty: compare with this field and not with `constant`.
  Of of = Of::value;

  /// Whether it holds for `values`. Numbers compare as doubles, everything else only for equality.
  /// `inputs`: the names of those that are wired.
  bool holds(const ParamValues& values, const std::vector<std::string>& inputs = {}) const;
};

/// "When all of `when` hold, all of `require` must": bad combinations as data, so that `check` can
/// apply them to every cell without loading the plugin.
struct Rule {
  std::vector<Condition> when;  ///< Empty: always.
  std::vector<Condition> require;
  std::string message;  ///< The whole sentence that a user reads; `{name}` is that field's value.
};

struct ParamSchema {
  std::vector<FieldInfo> fields;
  std::vector<Rule> rules;

  const FieldInfo* find(std::string_view name) const;
};

/// For rules: `Param("optimizer") == "sgd"`, `Param("warmup") <= Param("epochs")`.
struct Param {
  std::string name;
  Condition::Of of = Condition::Of::value;
  explicit Param(std::string field, Condition::Of what = Condition::Of::value)
      : name(std::move(field)), of(what) {}
};

// For the left side of a comparison: `length_of("formats") > 0`, `is_wired("model") == true`.
inline Param length_of(std::string field) {
  return Param(std::move(field), Condition::Of::length);
}
inline Param is_ascending(std::string field) {
  return Param(std::move(field), Condition::Of::ascending);
}
inline Param is_distinct(std::string field) {
  return Param(std::move(field), Condition::Of::distinct);
}
inline Param is_wired(std::string input) {
  return Param(std::move(input), Condition::Of::wired);
}

namespace detail {

template <class T>
struct TypeOf;  // A member of another type than those below cannot be a parameter.
template <>
struct TypeOf<bool> {
  static constexpr Type value = Type::boolean;
};
template <>
struct TypeOf<int> {
  static constexpr Type value = Type::integer;
};
template <>
struct TypeOf<std::int64_t> {
  static constexpr Type value = Type::integer;
};
template <>
struct TypeOf<double> {
  static constexpr Type value = Type::number;
};
template <>
struct TypeOf<std::string> {
  static constexpr Type value = Type::string;
};
template <>
struct TypeOf<std::filesystem::path> {
  static constexpr Type value = Type::path;
};
template <>
struct TypeOf<std::vector<bool>> {
  static constexpr Type value = Type::boolean_array;
};
template <>
struct TypeOf<std::vector<std::int64_t>> {
  static constexpr Type value = Type::integer_array;
};
template <>
struct TypeOf<std::vector<double>> {
  static constexpr Type value = Type::number_array;
};
template <>
struct TypeOf<std::vector<std::string>> {
  static constexpr Type value = Type::string_array;
};
template <>
struct TypeOf<std::vector<std::filesystem::path>> {
  static constexpr Type value = Type::path_array;
};
template <>
struct TypeOf<Groups> {
  static constexpr Type value = Type::groups;
};

template <class T>
Value to_value(const T& v) {
  if constexpr (std::is_same_v<T, int>) {
    return static_cast<std::int64_t>(v);
  } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
    return v.string();
  } else if constexpr (std::is_same_v<T, std::vector<std::filesystem::path>>) {
    std::vector<std::string> texts;
    for (const auto& p : v) texts.push_back(p.string());
    return texts;
  } else {
    return v;
  }
}

template <class T>
void from_value(T& out, const Value& v) {
  if constexpr (std::is_same_v<T, int>) {
    out = static_cast<int>(std::get<std::int64_t>(v));
  } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
    out = std::get<std::string>(v);
  } else if constexpr (std::is_same_v<T, std::vector<std::filesystem::path>>) {
    const auto& texts = std::get<std::vector<std::string>>(v);
    out.assign(texts.begin(), texts.end());
  } else {
    out = std::get<T>(v);
  }
}

inline Value rule_value(const char* v) {
  return std::string(v);
}
inline Value rule_value(std::string v) {
  return v;
}
inline Value rule_value(bool v) {
  return v;
}
inline Value rule_value(int v) {
  return static_cast<std::int64_t>(v);
}
inline Value rule_value(std::int64_t v) {
  return v;
}
inline Value rule_value(double v) {
  return v;
}

template <class T>
Condition compare(const Param& p, Condition::Op op, const T& v) {
  if constexpr (std::is_same_v<T, Param>) {
    if (v.of != Condition::Of::value) {
      throw std::invalid_argument("a rule measures its right side, '" + v.name + "'");
    }
    return {p.name, op, {}, v.name, p.of};
  } else {
    return {p.name, op, rule_value(v), {}, p.of};
  }
}

}  // namespace detail

// Templates, so that a string literal does not decay into bool.
#define CIFARPIPE_PARAM_OP(symbol, name)                            \
  template <class T>                                                \
  Condition operator symbol(const Param& p, const T& v) {           \
    return detail::compare(p, Condition::Op::name, v);              \
  }                                                                 \
  template <std::size_t N>                                          \
  Condition operator symbol(const Param& p, const char(&v)[N]) {    \
    return detail::compare(p, Condition::Op::name, std::string(v)); \
  }
CIFARPIPE_PARAM_OP(==, equal)
CIFARPIPE_PARAM_OP(!=, not_equal)
CIFARPIPE_PARAM_OP(<, less)
CIFARPIPE_PARAM_OP(<=, less_equal)
CIFARPIPE_PARAM_OP(>, greater)
CIFARPIPE_PARAM_OP(>=, greater_equal)
#undef CIFARPIPE_PARAM_OP

/// Describes the parameter struct `P`, and fills one from checked values.
template <class P>
class Schema {
 public:
  /// Adds a parameter; the modifiers after it apply to it. The default is the member initialiser.
  template <class T>
  Schema& field(std::string name, T P::*member, std::string help) {
    FieldInfo info;
    info.name = std::move(name);
    info.type = detail::TypeOf<T>::value;
    info.help = std::move(help);
    info.default_value = detail::to_value(defaults_.*member);
    if constexpr (std::is_same_v<T, int>) {
      info.minimum = std::numeric_limits<int>::min();
      info.maximum = std::numeric_limits<int>::max();
    }
    info_.fields.push_back(std::move(info));
    setters_.push_back([member](P& p, const Value& v) { detail::from_value(p.*member, v); });
    getters_.push_back([member](const P& p) { return detail::to_value(p.*member); });
    return *this;
  }

  /// Adds the parameters and rules of a struct that several stages share and `P` has as a member.
  /// Their defaults are those that it has in `P`.
  template <class T>
  Schema& part(T P::*member, const Schema<T>& schema) {
    for (std::size_t i = 0; i < schema.setters_.size(); ++i) {
      info_.fields.push_back(schema.info_.fields[i]);
      last().default_value = schema.getters_[i](defaults_.*member);
      setters_.push_back(
          [member, set = schema.setters_[i]](P& p, const Value& v) { set(p.*member, v); });
      getters_.push_back([member, get = schema.getters_[i]](const P& p) { return get(p.*member); });
    }
    info_.rules.insert(info_.rules.end(), schema.info_.rules.begin(), schema.info_.rules.end());
    return *this;
  }

  Schema& range(double minimum, double maximum) {
    last().minimum = minimum;
    last().maximum = maximum;
    return *this;
  }
  Schema& at_least(double minimum) {
    last().minimum = minimum;
    return *this;
  }
  Schema& one_of(std::vector<std::string> choices) {
    last().choices = std::move(choices);
    return *this;
  }
  Schema& required() {
    last().required = true;
    return *this;
  }
  Schema& unit(std::string unit) {
    last().unit = std::move(unit);
    return *this;
  }
  Schema& deprecated(std::string instead) {
    last().deprecated = std::move(instead);
    return *this;
  }
  Schema& no_effect() {
    last().no_effect = true;
    return *this;
  }
  Schema& secret() {
    last().secret = last().no_effect = true;
    return *this;
  }
  Schema& input_path(std::vector<std::string> keywords = {}) {
    last().input_path = true;
    last().keywords = std::move(keywords);
    return *this;
  }
  /// `message` is the whole sentence; `{name}` in it becomes the value of that field.
  Schema& rule(std::vector<Condition> when, std::vector<Condition> require, std::string message) {
    info_.rules.push_back({std::move(when), std::move(require), std::move(message)});
    return *this;
  }

  const ParamSchema& info() const { return info_; }

  /// `values` must be complete and checked against `info()`, in its order.
  P make(const ParamValues& values) const {
    P p{};
    for (std::size_t i = 0; i < setters_.size(); ++i) {
      if (const Value* v = find_value(values, info_.fields[i].name)) setters_[i](p, *v);
    }
    return p;
  }

 private:
  FieldInfo& last() { return info_.fields.back(); }

  P defaults_{};
  ParamSchema info_;
  std::vector<std::function<void(P&, const Value&)>> setters_;
  std::vector<std::function<Value(const P&)>> getters_;

  template <class Other>
  friend class Schema;
};

}  // namespace cifarpipe
