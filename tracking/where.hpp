// The expressions of `runs list --where`, `--sort` and `--columns`: "metrics.test/accuracy > 0.8
// and params.train.lr = 0.001". Parsed, checked, and compiled to SQL whose values are bound, never
// pasted. docs/runs.md specifies the language. Pure functions: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/error.hpp"
#include "tracking/database.hpp"

namespace cifarpipe {

/// A mistake in an expression: its place() is the line and column within the option's text.
class WhereError : public Error {
 public:
  WhereError(std::string message, Place place, int length)
      : Error(std::move(message), std::move(place)), length_(length) {}
  int length() const { return length_; }  ///< Code points to underline.

 private:
  int length_;
};

/// What of a run is meant. Without a prefix a name with '/' is a metric, one with '.' a parameter.
struct RunField {
  enum class Of { attribute, metric, param, tag, fact };
  enum class Part { last, min, max, step, points, any };  ///< Of a metric.

  Of of = Of::attribute;
  std::string key;  ///< "test/accuracy", "train.lr", "status"
  Part part = Part::last;
  friend bool operator==(const RunField&, const RunField&) = default;
};

enum class WhereOperator { equal, unequal, less, at_most, greater, at_least, like, contains, is };

/// Where something stands in the expression: bytes.
struct WhereSpan {
  std::size_t begin = 0;
  std::size_t size = 0;
};

struct WhereLiteral {
  std::string text;  ///< Without quotes.
  bool quoted = false;
  WhereSpan span;
};

struct WhereCondition {
  enum class Kind { all, any, negation, comparison };
  Kind kind = Kind::comparison;
  std::vector<WhereCondition> parts;  ///< Of all, any and negation.
  RunField field;                     ///< The rest is of a comparison.
  WhereOperator op = WhereOperator::equal;
  WhereLiteral value;  ///< For `is`: "nan", "inf", "finite", "missing".
  WhereSpan span;      ///< Of the field.
};

struct Where {
  std::string source;
  std::string option;  ///< What errors say that it is in: "--where".
  WhereCondition root;
};

/// Syntax and types; throws WhereError.
Where parse_where(std::string_view source, std::string_view option = "--where");

/// One field alone, as in --columns; throws WhereError. `source` is all of the option's text, of
/// which `span` is this field.
RunField parse_field(std::string_view source, WhereSpan span, std::string_view option);

/// As it can be written again: "metrics.test/accuracy.max", "status".
std::string to_text(const RunField& field);

/// SQL about the rows of `run`, and the values of its question marks in order.
struct SqlText {
  std::string sql;
  std::vector<SqlValue> values;
};

/// True or false for each row of `run`, never NULL. `now_ms`: for ages, and durations of what runs.
SqlText to_sql(const Where& where, std::int64_t now_ms);
/// The value of a field for a row of `run`, to sort by; NULL where it has none or none that is
/// finite.
SqlText to_sql(const RunField& field, std::int64_t now_ms);
/// The same to be shown: 'nan', 'inf' and '-inf' as text, 'true' and 'false'.
SqlText to_shown_sql(const RunField& field, std::int64_t now_ms);

/// The keys that the runs of a store have.
class KnownKeys {
 public:
  virtual ~KnownKeys() = default;
  virtual bool has(RunField::Of of, const std::string& key) = 0;
  /// The one that was probably meant, or "".
  virtual std::string near(RunField::Of of, const std::string& key) = 0;
};

/// Throws WhereError for the first key that no run has, since that is a misspelt one. What is asked
/// to be missing may be.
void check_keys(const Where& where, KnownKeys& known);
void check_key(const RunField& field, std::string_view source, WhereSpan span,
               std::string_view option, KnownKeys& known);

/// "2026-11-23", "2026-11-23 14:02", "2026-11-23T14:02:33": the time from `begin_ms` to before
/// `end_ms`, UTC. Nothing if it is not a time.
struct TimeRange {
  std::int64_t begin_ms = 0;
  std::int64_t end_ms = 0;
};
std::optional<TimeRange> time_range(std::string_view text);
/// "90" (seconds), "250ms", "1.5h", "2d" in milliseconds. Nothing if it is no span of time.
std::optional<double> time_span_ms(std::string_view text);

/// What kind of value an attribute has.
enum class AttributeType { text, status, number, time, span };
std::optional<AttributeType> attribute_type(std::string_view name);
const std::vector<std::string>& attribute_names();

/// Throws a WhereError that points at `span`.
[[noreturn]] void where_error(std::string_view source, std::string_view option, WhereSpan span,
                              std::string message);

}  // namespace cifarpipe
