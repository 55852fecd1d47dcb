// Amounts as sentences have them. Pure function: any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cifarpipe::learn {

/// "1 image", "2 images"; "1 class", "2 classes".
inline std::string counted(std::int64_t count, std::string_view what) {
  const std::string_view ending = count == 1 ? "" : what.ends_with('s') ? "es" : "s";
  return std::to_string(count) + ' ' + std::string(what) + std::string(ending);
}

}  // namespace cifarpipe::learn
