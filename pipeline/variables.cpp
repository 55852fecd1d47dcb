#include "pipeline/variables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

[[noreturn]] void refuse(const std::string& message) {
  throw Error(message, ErrorKind::usage);
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
}

/// In one line of bearable length.
std::string shown(std::string value, std::size_t limit) {
  std::replace_if(value.begin(), value.end(), is_control, ' ');
  if (value.size() <= limit) return value;
  while (limit > 0 && (static_cast<unsigned char>(value[limit]) & 0xC0U) == 0x80U) --limit;
  return value.substr(0, limit) + "…";
}

}  // namespace

Environment process_environment() {
  return [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value != nullptr ? std::optional<std::string>(value) : std::nullopt;
  };
}

std::string trimmed(std::string_view text) {
  const auto from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return "";
  return std::string(text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1));
}

std::string Variables::header_text(const std::string& name) const {
  const std::string value = text(name);
  if (std::any_of(value.begin(), value.end(), is_control)) {
    refuse(name + " holds a control character, such as the end of a line");
  }
  return value;
}

bool Variables::flag(const std::string& name, bool otherwise) const {
  const std::string given = trimmed(text(name));
  if (given.empty()) return otherwise;
  std::string value = given;
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* yes : {"true", "1", "yes", "on"}) {
    if (value == yes) return true;
  }
  for (const char* no : {"false", "0", "no", "off"}) {
    if (value == no) return false;
  }
  refuse(fmt::format("{} is '{}': 'true' or 'false' is expected", name, shown(given, 60)));
}

double Variables::number(const std::string& name, double otherwise, double low, double high) const {
  const std::string value = trimmed(text(name));
  if (value.empty()) return otherwise;
  double result = 0;
  const char* end = value.data() + value.size();
  const auto read = std::from_chars(value.data(), end, result);
  if (read.ec != std::errc() || read.ptr != end || !(result >= low && result <= high)) {
    refuse(fmt::format("{} is '{}': a number from {} to {} is expected", name, shown(value, 60),
                       low, high));
  }
  return result;
}

int Variables::whole_number(const std::string& name, int otherwise, int low, int high) const {
  const double result = number(name, otherwise, low, high);
  if (result != std::floor(result)) {
    refuse(fmt::format("{} is {}: a whole number is expected", name, result));
  }
  return static_cast<int>(result);
}

std::string Variables::existing_path(const std::string& name) const {
  const std::string value = text(name);
  std::error_code ignored;
  if (!value.empty() && !std::filesystem::exists(value, ignored)) {
    refuse(fmt::format("{} names '{}', which does not exist", name, shown(value, 300)));
  }
  return value;
}

}  // namespace cifarpipe
