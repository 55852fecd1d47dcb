// The grammar of an expression:
//   any   = all { "or" all }            all  = one { "and" one }
//   one   = "not" one | "(" any ")" | "is_nan" "(" FIELD ")" | FIELD operator
//   operator = (= | != | < | <= | > | >= | like | contains) VALUE | is [not] STATE | is_nan
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/diagnostics.hpp"
#include "tracking/where.hpp"
#include "tracking/where_tokens.hpp"
#include "tracking/where_types.hpp"

namespace cifarpipe {
namespace {

constexpr int kDeepest = 50;     // Of parentheses and `not`.
constexpr int kMostTerms = 200;  // SQLite's own limit of depth is beyond it.

struct Prefix {
  std::string_view text;
  RunField::Of of;
};
constexpr Prefix kPrefixes[] = {{"metrics.", RunField::Of::metric},
                                {"params.", RunField::Of::param},
                                {"tags.", RunField::Of::tag},
                                {"facts.", RunField::Of::fact}};

struct PartName {
  std::string_view text;
  RunField::Part part;
};
constexpr PartName kParts[] = {{".last", RunField::Part::last},     {".min", RunField::Part::min},
                               {".max", RunField::Part::max},       {".step", RunField::Part::step},
                               {".points", RunField::Part::points}, {".any", RunField::Part::any}};

bool unquoted(const WhereToken& token, std::size_t begin, std::size_t size) {
  return token.quoted.substr(begin, size).find('1') == std::string::npos;
}

/// Takes ".max" and its like off the end of a metric's key.
void take_part(RunField& field, const WhereToken& token) {
  for (const PartName& part : kParts) {
    const std::size_t begin = token.text.size() - std::min(token.text.size(), part.text.size());
    if (!field.key.ends_with(part.text) || field.key.size() == part.text.size()) continue;
    if (!unquoted(token, begin, part.text.size())) continue;
    field.part = part.part;
    field.key.resize(field.key.size() - part.text.size());
    return;
  }
}

std::string quoted_text(const WhereToken& token) {
  return token.kind == WhereToken::Kind::end ? "the end" : fmt::format("'{}'", token.text);
}

class Parser {
 public:
  Parser(std::string_view source, std::string_view option)
      : source_(source), option_(option), tokens_(where_tokens(source, option)) {}

  WhereCondition whole() {
    WhereCondition condition = any();
    const WhereToken& rest = peek();
    if (rest.is("&&") || rest.is("||")) {
      fail(rest, fmt::format("'{}' is not known here; write '{}'", rest.text,
                             rest.is("&&") ? "and" : "or"));
    }
    if (rest.is(")")) fail(rest, "this ')' closes nothing");
    if (rest.kind != WhereToken::Kind::end) {
      fail(rest, fmt::format("expected 'and' or 'or' before {}", quoted_text(rest)));
    }
    return condition;
  }

  RunField field_alone() {
    const WhereToken& token = take();
    RunField field = field_of(token);
    if (peek().kind != WhereToken::Kind::end) {
      fail(peek(), fmt::format("one key was expected; {} is too much", quoted_text(peek())));
    }
    return field;
  }

 private:
  [[noreturn]] void fail(const WhereToken& token, std::string message) const {
    where_error(source_, option_, token.span, std::move(message));
  }
  const WhereToken& peek() const { return tokens_[at_]; }
  const WhereToken& take() {
    const WhereToken& token = tokens_[at_];
    if (token.kind != WhereToken::Kind::end) ++at_;
    return token;
  }

  /// `one { word one }`
  template <class Inner>
  WhereCondition chain(WhereCondition::Kind kind, std::string_view word, const Inner& inner) {
    WhereCondition out;
    out.kind = kind;
    out.parts.push_back(inner());
    while (peek().is_word(word)) {
      take();
      out.parts.push_back(inner());
    }
    if (out.parts.size() > 1) return out;
    WhereCondition only = std::move(out.parts.front());
    return only;
  }
  WhereCondition any() {
    return chain(WhereCondition::Kind::any, "or", [this] { return all(); });
  }
  WhereCondition all() {
    return chain(WhereCondition::Kind::all, "and", [this] { return one(); });
  }

  WhereCondition one() {
    const WhereToken& first = peek();
    if (!first.is_word("not") && !first.is("(")) return comparison();
    if (++depth_ > kDeepest) fail(first, "nested too deep");
    take();
    WhereCondition out;
    if (first.is("(")) {
      out = any();
      if (!peek().is(")")) {
        const WhereToken& next = peek();
        if (next.kind != WhereToken::Kind::end) {
          fail(next, fmt::format("expected 'and', 'or' or ')' before {}", quoted_text(next)));
        }
        fail(first, "this '(' is not closed");
      }
      take();
    } else {
      out = negation(one());
    }
    --depth_;
    return out;
  }

  static WhereCondition negation(WhereCondition inner) {
    WhereCondition out;
    out.kind = WhereCondition::Kind::negation;
    out.parts.push_back(std::move(inner));
    return out;
  }

  WhereCondition comparison() {
    if (++terms_ > kMostTerms) {
      fail(peek(), fmt::format("more than {} comparisons", kMostTerms));
    }
    WhereCondition out;
    bool negated = false;
    if (peek().is_word("is_nan") && tokens_[at_ + 1].is("(")) {
      take();
      const WhereToken open = take();
      out = of_field(take());
      if (!peek().is(")")) fail(open, "this '(' is not closed");
      take();
      set_state(out, "nan", {});
    } else {
      out = of_field(take());
      negated = operation(out);
    }
    check_types(out, source_, option_);
    if (!negated) return out;
    if (out.value.text == "missing") return negation(std::move(out));
    // What is not there is not said to be not finite.
    WhereCondition missing = out;
    missing.value.text = "missing";
    WhereCondition both;
    both.kind = WhereCondition::Kind::all;
    both.parts = {negation(std::move(out)), negation(std::move(missing))};
    return both;
  }

  WhereCondition of_field(const WhereToken& token) const {
    WhereCondition out;
    out.field = field_of(token);
    out.span = token.span;
    return out;
  }

  static void set_state(WhereCondition& out, std::string state, WhereSpan span) {
    out.op = WhereOperator::is;
    out.value = {std::move(state), false, span};
  }

  /// The operator and its value; whether it was `is not`.
  bool operation(WhereCondition& out) {
    const WhereToken& token = take();
    if (token.is_word("is_nan")) {
      set_state(out, "nan", token.span);
      return false;
    }
    if (token.is_word("is")) return state(out);
    const auto op = operator_of(token);
    if (!op) {
      if (token.is("<>")) fail(token, "'<>' is not known here; write '!='");
      fail(token,
           fmt::format("expected an operator after '{}' (=, !=, <, <=, >, >=, like, contains, "
                       "is), not {}",
                       written(out.span), quoted_text(token)));
    }
    out.op = *op;
    const WhereToken& value = take();
    if (value.kind != WhereToken::Kind::word && value.kind != WhereToken::Kind::string) {
      fail(value,
           fmt::format("expected a value after '{}', not {}", token.text, quoted_text(value)));
    }
    const bool quoted =
        value.kind == WhereToken::Kind::string || value.quoted.find('1') != std::string::npos;
    out.value = {value.text, quoted, value.span};
    return false;
  }

  bool state(WhereCondition& out) {
    const bool negated = peek().is_word("not");
    if (negated) take();
    const WhereToken& token = take();
    for (const std::string_view word : {"nan", "inf", "finite", "missing"}) {
      if (!token.is_word(word)) continue;
      set_state(out, std::string(word), token.span);
      return negated;
    }
    fail(token, fmt::format("expected nan, inf, finite or missing after 'is', not {}",
                            quoted_text(token)));
  }

  static std::optional<WhereOperator> operator_of(const WhereToken& token) {
    constexpr std::pair<std::string_view, WhereOperator> kOperators[] = {
        {"=", WhereOperator::equal},   {"!=", WhereOperator::unequal},
        {"<", WhereOperator::less},    {"<=", WhereOperator::at_most},
        {">", WhereOperator::greater}, {">=", WhereOperator::at_least}};
    for (const auto& [text, op] : kOperators) {
      if (token.is(text)) return op;
    }
    if (token.is_word("like")) return WhereOperator::like;
    if (token.is_word("contains")) return WhereOperator::contains;
    return std::nullopt;
  }

  RunField field_of(const WhereToken& token) const {
    if (token.kind != WhereToken::Kind::word) {
      fail(token, fmt::format("expected a {}, not {}",
                              option_ == "--where" ? "comparison such as test/accuracy > 0.8"
                                                   : "key such as test/accuracy or status",
                              quoted_text(token)));
    }
    RunField field;
    for (const Prefix& prefix : kPrefixes) {
      if (!token.text.starts_with(prefix.text) || !unquoted(token, 0, prefix.text.size())) continue;
      field.of = prefix.of;
      field.key = token.text.substr(prefix.text.size());
      if (field.of == RunField::Of::metric) take_part(field, token);
      if (field.key.empty()) fail(token, fmt::format("'{}' needs a key", token.text));
      return field;
    }
    field.key = token.text;
    if (attribute_type(token.text)) return field;
    if (token.text.find('/') != std::string::npos) {
      field.of = RunField::Of::metric;
      take_part(field, token);
    } else if (token.text.find('.') != std::string::npos) {
      field.of = RunField::Of::param;
    } else {
      const std::string near = nearest(token.text, attribute_names());
      fail(token, near.empty()
                      ? fmt::format("'{}' is nothing that a run has; there are metrics.KEY, "
                                    "params.KEY, tags.KEY, facts.KEY and {}",
                                    token.text, fmt::join(attribute_names(), ", "))
                      : fmt::format("'{}' is nothing that a run has; did you mean '{}'?",
                                    token.text, near));
    }
    return field;
  }

  std::string_view written(WhereSpan span) const { return source_.substr(span.begin, span.size); }

  std::string_view source_;
  std::string_view option_;
  std::vector<WhereToken> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
  int terms_ = 0;
};

}  // namespace

Where parse_where(std::string_view source, std::string_view option) {
  return {std::string(source), std::string(option), Parser(source, option).whole()};
}

RunField parse_field(std::string_view source, WhereSpan span, std::string_view option) {
  // What is around it stays, so that errors point at the right column.
  std::string alone(source.substr(0, span.begin + span.size));
  std::fill(alone.begin(), alone.begin() + static_cast<std::ptrdiff_t>(span.begin), ' ');
  RunField field;
  try {
    field = Parser(alone, option).field_alone();
  } catch (const WhereError& error) {
    where_error(source, option, span, error.what());
  }
  if (field.part != RunField::Part::any) return field;
  where_error(source, option, span, "'.any' is about many points: it is for --where alone");
}

}  // namespace cifarpipe
