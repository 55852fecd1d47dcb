// Fields of comma-separated values, as RFC 4180 has them. Pure function: any thread.
#pragma once

#include <string>

namespace cifarpipe::preprocess {

/// In quotes where it has to be.
inline std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace cifarpipe::preprocess
