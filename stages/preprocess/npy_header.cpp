#include "stages/preprocess/npy_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "pipeline/error.hpp"

namespace cifarpipe::preprocess {
namespace {

constexpr std::size_t kMostAxes = 32;  // NumPy's own limit.
constexpr std::array<std::string_view, 3> kEntries = {"descr", "fortran_order", "shape"};

class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  NpyHeader parse() {
    expect('{');
    while (!take('}')) {
      const std::string key = quoted();
      const auto entry = std::find(kEntries.begin(), kEntries.end(), key);
      if (entry == kEntries.end()) fail("has an entry that .npy files do not have");
      bool& seen = seen_[static_cast<std::size_t>(entry - kEntries.begin())];
      if (seen) fail("has an entry twice");
      seen = true;
      expect(':');
      if (key == "descr") {
        header_.descr = type();
      } else if (key == "shape") {
        shape();
      } else {
        header_.fortran_order = boolean();
      }
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    pass_spaces();
    if (at_ != text_.size()) fail("goes on after its end");
    if (!seen_[0] || !seen_[1] || !seen_[2]) fail("lacks an entry");
    return std::move(header_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(fmt::format("{} is damaged: its header {} (at its byte {})", name_, what, at_));
  }

  void pass_spaces() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }

  bool take(char c) {
    pass_spaces();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail(fmt::format("has no '{}' where there must be one", c));
  }

  std::string quoted() {
    pass_spaces();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') fail("has no text where there must be one");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("has a text without end");
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    if (inside.find('\\') != std::string_view::npos) fail("has an escaped character");
    at_ = end + 1;
    return std::string(inside);
  }

  std::string type() {
    pass_spaces();
    if (at_ < text_.size() && text_[at_] == '[') {
      throw Error(name_ + " holds structures with fields: save each field as an array of its own");
    }
    return quoted();
  }

  bool boolean() {
    pass_spaces();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return word == "True";
    }
    fail("has neither True nor False where there must be one");
  }

  void shape() {
    expect('(');
    while (!take(')')) {
      if (header_.shape.size() == kMostAxes) fail("has too many axes");
      header_.shape.push_back(whole_number());
      take('L');  // Python 2's.
      if (!take(',')) {
        expect(')');
        break;
      }
    }
  }

  std::int64_t whole_number() {
    pass_spaces();
    const std::size_t begin = at_;
    std::int64_t value = 0;
    while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
      if (at_ - begin == 15) fail("has a number that is too large");
      value = value * 10 + (text_[at_++] - '0');
    }
    if (at_ == begin) fail("has no number where there must be one");
    return value;
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
  std::array<bool, 3> seen_{};
  NpyHeader header_;
};

}  // namespace

NpyHeader parse_npy_header(const std::string& text, const std::string& name) {
  return HeaderParser(text, name).parse();
}

}  // namespace cifarpipe::preprocess
