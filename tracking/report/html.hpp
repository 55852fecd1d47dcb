// HTML that cannot forget to escape: text becomes Markup only through html(), which escapes every
// argument that is not Markup already. Values only: any thread.
#pragma once

#include <fmt/format.h>

#include <concepts>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace cifarpipe::report {

/// A piece of a page, ready to be written.
struct Markup {
  std::string html;
  Markup& operator+=(const Markup& more) {
    html += more.html;
    return *this;
  }
  bool empty() const { return html.empty(); }
};

/// Text as it may stand in an element or in a quoted attribute: `& < > " '` as references; what is
/// not UTF-8 and control characters but tab and newline as U+FFFD.
std::string escaped(std::string_view text);

/// RFC 4648, with padding.
std::string base64(std::string_view bytes);

inline const std::string& shown(const Markup& markup) {
  return markup.html;
}
inline std::string shown(std::string_view text) {
  return escaped(text);
}
template <class T>
requires(std::is_arithmetic_v<T> && !std::same_as<T, char>)  // A char could be a '<'.
    T shown(T number) {
  return number;
}

/// html("<td>{}</td>", name): the format is the page's own text, the arguments are escaped.
template <class... Args>
Markup html(fmt::format_string<decltype(shown(std::declval<const Args&>()))...> format,
            const Args&... args) {
  return {fmt::format(format, shown(args)...)};
}

}  // namespace cifarpipe::report
