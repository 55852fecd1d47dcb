// The values that a parameter can have, as plain C++ types: what the configuration yields, what a
// stage gets, what the key holds and what the recorder stores. Values only: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace cifarpipe {

/// An ordered map from a string to strings. The order is the file's and is kept everywhere: it
/// decides, for instance, which class gets which index when classes are grouped.
using Groups = std::vector<std::pair<std::string, std::vector<std::string>>>;

/// What the schema says a parameter is. `path` and `path_array` hold their text as strings.
enum class Type {
  boolean,
  integer,
  number,
  string,
  path,
  boolean_array,
  integer_array,
  number_array,
  string_array,
  path_array,
  groups,
};

using Value =
    std::variant<bool, std::int64_t, double, std::string, std::vector<bool>,
                 std::vector<std::int64_t>, std::vector<double>, std::vector<std::string>, Groups>;

/// All parameters of one stage instance with their values, defaults included, in schema order.
using ParamValues = std::vector<std::pair<std::string, Value>>;

/// The value called `name`, or null.
const Value* find_value(const ParamValues& values, std::string_view name);

/// "bool", "integer", "number", "string", "path", "array of integers", …: as messages say it.
std::string_view type_name(Type type);
std::optional<Type> type_from_name(std::string_view name);

/// As a person writes it in TOML: `0.001`, `"adam"`, `[1, 2]`, `{ a = ["b"] }`. Doubles are the
/// shortest text that reads back to the same bits.
std::string to_text(const Value& value);

/// The shortest text that reads back to the same double (`std::to_chars`); "nan", "inf", "-inf".
/// Always with a point or an exponent, so that it reads back as a number and not as an integer.
std::string number_text(double value);

}  // namespace cifarpipe
