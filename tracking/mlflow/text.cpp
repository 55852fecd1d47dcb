#include "tracking/mlflow/text.hpp"

#include <algorithm>
#include <iterator>

namespace cifarpipe::mlflow {
namespace {

/// How many bytes the sequence at `at` has; 0 if it is no UTF-8.
std::size_t sequence_length(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned lead = byte(0);
  const std::size_t length = lead < 0x80                    ? 1
                             : lead >= 0xc2 && lead < 0xe0  ? 2
                             : lead >= 0xe0 && lead < 0xf0  ? 3
                             : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                            : 0;
  if (length == 0 || at + length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0u) != 0x80u) return 0;
  }
  if (length < 3) return length;
  // Overlong forms, surrogates and what lies beyond U+10FFFF.
  const bool wrong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) > 0x9f) ||
                     (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) > 0x8f);
  return wrong ? 0 : length;
}

struct Range {
  char32_t first;
  char32_t last;
};

/// Letters and digits of the scripts that people name things in, as Python's str.isalnum has them.
constexpr Range kLetters[] = {
    {0xaa, 0xaa},     {0xb2, 0xb3},     {0xb5, 0xb5},     {0xb9, 0xba},     {0xbc, 0xbe},
    {0xc0, 0xd6},     {0xd8, 0xf6},     {0xf8, 0x2c1},    {0x370, 0x374},   {0x376, 0x377},
    {0x37b, 0x37d},   {0x386, 0x386},   {0x388, 0x38a},   {0x38c, 0x38c},   {0x38e, 0x3a1},
    {0x3a3, 0x3f5},   {0x3f7, 0x481},   {0x48a, 0x52f},   {0x531, 0x556},   {0x561, 0x587},
    {0x5d0, 0x5ea},   {0x620, 0x64a},   {0x660, 0x669},   {0x671, 0x6d3},   {0x904, 0x939},
    {0x966, 0x96f},   {0xe01, 0xe30},   {0x10d0, 0x10fa}, {0x1e00, 0x1f15}, {0x2070, 0x2071},
    {0x2074, 0x2079}, {0x2080, 0x2089}, {0x3041, 0x3096}, {0x30a1, 0x30fa}, {0x30fc, 0x30ff},
    {0x3105, 0x312d}, {0x3131, 0x318e}, {0x3400, 0x4db5}, {0x4e00, 0x9fd5}, {0xac00, 0xd7a3},
    {0xf900, 0xfa6d}, {0xff10, 0xff19}, {0xff21, 0xff3a}, {0xff41, 0xff5a}, {0x20000, 0x2a6d6},
};

constexpr char kHex[] = "0123456789ABCDEF";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_ascii_word(char32_t c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = sequence_length(text, at);
    if (length == 0) {
      out += "\xef\xbf\xbd";
      ++at;
    } else {
      out += text.substr(at, length);
      at += length;
    }
  }
  return out;
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
  }));
}

std::string_view first_code_points(std::string_view text, std::size_t count) {
  std::size_t at = 0;
  for (; at < text.size() && count > 0; --count) next_code_point(text, at);
  return text.substr(0, at);
}

char32_t next_code_point(std::string_view text, std::size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at++]);
  if (lead < 0x80) return lead;
  char32_t c = lead >= 0xf0 ? lead & 0x07u : lead >= 0xe0 ? lead & 0x0fu : lead & 0x1fu;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u) {
    c = (c << 6) | (static_cast<unsigned char>(text[at++]) & 0x3fu);
  }
  return c;
}

bool is_word(char32_t c) {
  if (c < 0x80) return is_ascii_word(c);
  const auto* end = std::end(kLetters);
  const auto* range =
      std::partition_point(std::begin(kLetters), end, [c](const Range& r) { return r.last < c; });
  return range != end && c >= range->first;
}

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (is_ascii_word(byte) || c == '.' || c == '~' || c == '-') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15u];
    }
  }
  return out;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const int high = text[at] == '%' && at + 2 < text.size() ? hex_value(text[at + 1]) : -1;
    const int low = high >= 0 ? hex_value(text[at + 2]) : -1;
    if (low < 0) {
      out += text[at];
      continue;
    }
    out += static_cast<char>(high * 16 + low);
    at += 2;
  }
  return out;
}

std::string one_line(std::string_view text, std::size_t limit) {
  std::string out;
  for (const char c : valid_utf8(text)) {
    const bool space = static_cast<unsigned char>(c) <= ' ' || c == '\x7f';
    if (!space) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  if (code_points(out) <= limit) return out;
  return std::string(first_code_points(out, limit)) + "…";
}

}  // namespace cifarpipe::mlflow
