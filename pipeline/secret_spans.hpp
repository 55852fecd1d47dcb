// Where secrets stand in a text, by its form alone. Internal to secrets.cpp. Stateless.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/secrets.hpp"

namespace cifarpipe::secret_spans {

/// Bytes [begin, end) of a text.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

std::vector<Span> of_userinfo(std::string_view text);
/// Sorted; none overlap.
std::vector<Span> all(std::string_view text, TextKind kind);
/// "***" for each.
std::string replaced(std::string_view text, const std::vector<Span>& spans);
/// A star for each character; line ends stay.
std::string starred(std::string_view text, const std::vector<Span>& spans);

}  // namespace cifarpipe::secret_spans
