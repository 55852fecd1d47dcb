#include "pipeline/value.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

namespace cifarpipe {
namespace {

constexpr std::array<std::string_view, 11> kTypeNames = {
    "boolean",
    "integer",
    "number",
    "string",
    "path",
    "array of booleans",
    "array of integers",
    "array of numbers",
    "array of strings",
    "array of paths",
    "groups",
};

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          out += fmt::format("\\u{:04X}", static_cast<unsigned>(static_cast<unsigned char>(c)));
        } else {
          out += c;
        }
    }
  }
  return out + '"';
}

std::string scalar_text(bool v) {
  return v ? "true" : "false";
}
std::string scalar_text(std::int64_t v) {
  return std::to_string(v);
}
std::string scalar_text(double v) {
  return number_text(v);
}
std::string scalar_text(const std::string& v) {
  return quoted(v);
}

bool bare_key(std::string_view key) {
  if (key.empty()) return false;
  for (const char c : key) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '_' || c == '-';
    if (!ok) return false;
  }
  return true;
}

template <class T>
std::string array_text(const std::vector<T>& values) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ", ";
    out += scalar_text(values[i]);
  }
  return out + "]";
}

}  // namespace

const Value* find_value(const ParamValues& values, std::string_view name) {
  for (const auto& [key, value] : values) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::string_view type_name(Type type) {
  return kTypeNames[static_cast<std::size_t>(type)];
}

std::optional<Type> type_from_name(std::string_view name) {
  for (std::size_t i = 0; i < kTypeNames.size(); ++i) {
    if (kTypeNames[i] == name) return static_cast<Type>(i);
  }
  return std::nullopt;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::array<char, 32> buffer;
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
  std::string text(buffer.data(), end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string to_text(const Value& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, std::vector<bool>>) {
          std::string out = "[";
          for (std::size_t i = 0; i < v.size(); ++i) {
            if (i > 0) out += ", ";
            out += scalar_text(static_cast<bool>(v[i]));
          }
          return out + "]";
        } else if constexpr (std::is_same_v<T, Groups>) {
          std::string out = "{ ";
          for (std::size_t i = 0; i < v.size(); ++i) {
            if (i > 0) out += ", ";
            out += bare_key(v[i].first) ? v[i].first : quoted(v[i].first);
            out += " = " + array_text(v[i].second);
          }
          return out + " }";
        } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>> ||
                             std::is_same_v<T, std::vector<double>> ||
                             std::is_same_v<T, std::vector<std::string>>) {
          return array_text(v);
        } else {
          return scalar_text(v);
        }
      },
      value);
}

}  // namespace cifarpipe
