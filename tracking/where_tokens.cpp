#include "tracking/where_tokens.hpp"

#include <algorithm>
#include <cctype>

namespace cifarpipe {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view option) : source_(source), option_(option) {}

  std::vector<WhereToken> tokens() {
    std::vector<WhereToken> out;
    do {
      out.push_back(next());
    } while (out.back().kind != WhereToken::Kind::end);
    return out;
  }

 private:
  static constexpr std::string_view kSymbols = "()=!<>&|,";

  WhereToken next() {
    while (at_ < source_.size() && is_space(source_[at_])) ++at_;
    WhereToken token;
    token.span.begin = at_;
    if (at_ == source_.size()) return token;
    const char c = source_[at_];
    if (kSymbols.find(c) != std::string_view::npos) {
      symbol(token);
    } else if (c == '\'' || c == '"') {
      token.kind = WhereToken::Kind::string;
      quoted_part(token);
    } else {
      word(token);
    }
    token.span.size = at_ - token.span.begin;
    return token;
  }

  void symbol(WhereToken& token) {
    token.kind = WhereToken::Kind::symbol;
    for (const std::string_view two : {"==", "!=", "<=", ">=", "<>", "&&", "||"}) {
      if (source_.substr(at_, 2) == two) {
        token.text = two == "==" ? "=" : two;
        at_ += 2;
        return;
      }
    }
    token.text = source_.substr(at_++, 1);
  }

  void word(WhereToken& token) {
    token.kind = WhereToken::Kind::word;
    while (at_ < source_.size()) {
      const char c = source_[at_];
      const bool after_dot = !token.text.empty() && token.text.back() == '.';
      if (c == '`' || (after_dot && (c == '"' || c == '\''))) {
        quoted_part(token);
      } else if (is_space(c) || c == '"' || c == '\'' ||
                 kSymbols.find(c) != std::string_view::npos) {
        return;
      } else {
        token.text += c;
        token.quoted += '0';
        ++at_;
      }
    }
  }

  /// From a quote to its like; twice the quote is the quote itself.
  void quoted_part(WhereToken& token) {
    const std::size_t begin = at_;
    const char quote = source_[at_++];
    for (; at_ < source_.size(); ++at_) {
      if (source_[at_] == quote) {
        ++at_;
        if (at_ == source_.size() || source_[at_] != quote) return;
      }
      token.text += source_[at_];
      token.quoted += '1';
    }
    where_error(source_, option_, {begin, source_.size() - begin}, "this quote is not closed");
  }

  std::string_view source_;
  std::string_view option_;
  std::size_t at_ = 0;
};

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

bool WhereToken::is_word(std::string_view word) const {
  return kind == Kind::word && quoted.find('1') == std::string::npos &&
         std::equal(text.begin(), text.end(), word.begin(), word.end(), [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) == b;
         });
}

std::vector<WhereToken> where_tokens(std::string_view source, std::string_view option) {
  return Lexer(source, option).tokens();
}

void where_error(std::string_view source, std::string_view option, WhereSpan span,
                 std::string message) {
  const std::string_view before = source.substr(0, span.begin);
  const auto line = std::count(before.begin(), before.end(), '\n');
  const std::size_t line_begin = before.rfind('\n') + 1;  // npos + 1 is 0.
  const std::string_view marked = source.substr(before.size(), span.size);
  throw WhereError(std::move(message),
                   {std::string(option), static_cast<int>(line) + 1,
                    static_cast<int>(code_points(before.substr(line_begin))) + 1},
                   std::max(1, static_cast<int>(code_points(marked))));
}

}  // namespace cifarpipe
