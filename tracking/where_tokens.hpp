// The words of an expression. Pure.
#pragma once

#include "tracking/where.hpp"

namespace cifarpipe {

struct WhereToken {
  enum class Kind { word, string, symbol, end };
  Kind kind = Kind::end;
  std::string text;    ///< Without quotes.
  std::string quoted;  ///< For each byte of `text` whether it stood in quotes: '1' or '0'.
  WhereSpan span;

  bool is(std::string_view symbol) const { return kind == Kind::symbol && text == symbol; }
  /// In any letter case, and not in quotes.
  bool is_word(std::string_view word) const;
};

/// Ends with a token of kind `end`. Throws WhereError for a quote that is not closed.
std::vector<WhereToken> where_tokens(std::string_view source, std::string_view option);

}  // namespace cifarpipe
