#include "tracking/where_types.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>

#include "pipeline/diagnostics.hpp"

namespace cifarpipe {
namespace {

struct Attribute {
  std::string_view name;
  AttributeType type;
};
constexpr Attribute kAttributes[] = {
    {"name", AttributeType::text},       {"id", AttributeType::text},
    {"experiment", AttributeType::text}, {"status", AttributeType::status},
    {"parent", AttributeType::text},     {"cell", AttributeType::text},
    {"attempt", AttributeType::number},  {"start", AttributeType::time},
    {"end", AttributeType::time},        {"duration", AttributeType::span},
    {"age", AttributeType::span},        {"note", AttributeType::text},
    {"message", AttributeType::text},    {"command", AttributeType::text},
    {"folder", AttributeType::text}};

const std::vector<std::string> kStatuses = {"RUNNING", "FINISHED", "FAILED", "KILLED"};

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

std::optional<int> digits(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool all = !text.empty() && text.front() != '-' && error == std::errc() &&
                   end == text.data() + text.size();
  return all ? std::optional<int>(value) : std::nullopt;
}

bool is_order(WhereOperator op) {
  return op == WhereOperator::less || op == WhereOperator::at_most ||
         op == WhereOperator::greater || op == WhereOperator::at_least;
}

bool is_text(WhereOperator op) {
  return op == WhereOperator::like || op == WhereOperator::contains;
}

constexpr const char* kOperatorNames[] = {"=",  "!=",   "<",        "<=", ">",
                                          ">=", "like", "contains", "is"};
const char* name_of(WhereOperator op) {
  return kOperatorNames[static_cast<std::size_t>(op)];
}

/// One comparison with what its errors need.
class Checker {
 public:
  Checker(const WhereCondition& c, std::string_view source, std::string_view option)
      : c_(c), source_(source), option_(option), shown_(source.substr(c.span.begin, c.span.size)) {}

  void check() const {
    if (c_.op == WhereOperator::is) return state();
    if (starts_like_a_field()) {
      at_value(fmt::format("a value is expected after '{}'; two keys cannot be compared",
                           name_of(c_.op)));
    }
    switch (c_.field.of) {
      case RunField::Of::metric:
        return number();
      case RunField::Of::param:
        return param();
      case RunField::Of::attribute:
        return attribute(*attribute_type(c_.field.key));
      default:
        return text();
    }
  }

 private:
  [[noreturn]] void at_value(std::string message) const {
    where_error(source_, option_, c_.value.span, std::move(message));
  }

  bool starts_like_a_field() const {
    if (c_.value.quoted) return false;
    for (const std::string_view prefix : {"metrics.", "params.", "tags.", "facts."}) {
      if (c_.value.text.starts_with(prefix)) return true;
    }
    return false;
  }

  void state() const {
    const bool numeric = c_.field.of == RunField::Of::metric || c_.field.of == RunField::Of::param;
    if (numeric || c_.value.text == "missing") return;
    where_error(
        source_, option_, c_.span,
        fmt::format("'{}' is never {}; only metrics and parameters can be", shown_, c_.value.text));
  }

  /// nan and inf are asked for with `is`: no comparison finds them.
  void refuse_not_finite() const {
    if (c_.value.quoted) return;
    const std::string word = upper(c_.value.text);
    const bool infinite = word == "INF" || word == "-INF" || word == "+INF";
    if (!infinite && word != "NAN") return;
    at_value(fmt::format("no comparison finds what is not finite; write '{} is {}'", shown_,
                         infinite ? "inf" : "nan"));
  }

  void number() const {
    if (is_text(c_.op)) {
      at_value(fmt::format("'{}' is a number, and '{}' is for text", shown_, name_of(c_.op)));
    }
    refuse_not_finite();
    if (number_of(c_.value)) return;
    at_value(fmt::format("'{}' is a number; it cannot be compared with '{}'{}", shown_,
                         c_.value.text, c_.value.quoted ? " in quotes" : ""));
  }

  void text() const {
    if (is_order(c_.op)) {
      at_value(fmt::format("'{}' is text: it has =, !=, like and contains, but no '{}'", shown_,
                           name_of(c_.op)));
    }
  }

  void param() const {
    if (is_text(c_.op)) return;
    refuse_not_finite();
    if (is_order(c_.op) && !number_of(c_.value)) {
      at_value(
          fmt::format("'{}' compares numbers, and '{}' is none", name_of(c_.op), c_.value.text));
    }
  }

  void attribute(AttributeType type) const {
    switch (type) {
      case AttributeType::text:
        return text();
      case AttributeType::number:
        return number();
      case AttributeType::status:
        return status();
      case AttributeType::time:
        if (is_text(c_.op) || !time_range(c_.value.text)) {
          at_value(fmt::format("'{}' is a time; write it as 2026-11-23 or '2026-11-23 14:02' (UTC)",
                               shown_));
        }
        return;
      case AttributeType::span:
        if (is_text(c_.op) || !time_span_ms(c_.value.text)) {
          at_value(
              fmt::format("'{}' is a span of time; write it as 90 (seconds), 250ms, 5min, "
                          "1.5h or 2d",
                          shown_));
        }
        return;
    }
  }

  void status() const {
    text();
    if (is_text(c_.op)) return;
    if (std::count(kStatuses.begin(), kStatuses.end(), upper(c_.value.text)) > 0) return;
    const std::string near = nearest(c_.value.text, kStatuses);
    at_value(fmt::format("'{}' is no status; {}", c_.value.text,
                         near.empty() ? "there are RUNNING, FINISHED, FAILED and KILLED"
                                      : fmt::format("did you mean '{}'?", near)));
  }

  const WhereCondition& c_;
  std::string_view source_;
  std::string_view option_;
  std::string_view shown_;
};

/// "2026-11-23" as days since 1970.
std::optional<std::chrono::sys_days> day_of(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = digits(text.substr(0, 4));
  const auto month = digits(text.substr(5, 2));
  const auto day = digits(text.substr(8, 2));
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

}  // namespace

std::optional<AttributeType> attribute_type(std::string_view name) {
  for (const Attribute& attribute : kAttributes) {
    if (attribute.name == name) return attribute.type;
  }
  return std::nullopt;
}

const std::vector<std::string>& attribute_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Attribute& attribute : kAttributes) out.emplace_back(attribute.name);
    return out;
  }();
  return names;
}

std::optional<SqlValue> number_of(const WhereLiteral& literal) {
  if (literal.quoted) return std::nullopt;
  std::string_view text = literal.text;
  if (text.starts_with('+')) text.remove_prefix(1);
  const char* end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto r = std::from_chars(text.data(), end, whole);
      r.ec == std::errc() && r.ptr == end) {
    return SqlValue(whole);
  }
  double real = 0;
  const auto r = std::from_chars(text.data(), end, real);
  if (r.ec != std::errc() || r.ptr != end || !std::isfinite(real)) return std::nullopt;
  return SqlValue(real);
}

std::optional<bool> boolean_of(const WhereLiteral& literal) {
  if (literal.quoted) return std::nullopt;
  if (literal.text == "true") return true;
  if (literal.text == "false") return false;
  return std::nullopt;
}

std::optional<TimeRange> time_range(std::string_view text) {
  constexpr std::int64_t kMinute = 60'000;
  constexpr std::int64_t kDay = 24 * 60 * kMinute;
  const auto day = day_of(text.substr(0, 10));
  if (!day) return std::nullopt;
  const std::int64_t begin = day->time_since_epoch().count() * kDay;
  if (text.size() == 10) return TimeRange{begin, begin + kDay};
  if (text.ends_with('Z')) text.remove_suffix(1);
  const std::string_view clock = text.substr(10);  // " 14:02" or "T14:02:33"
  const bool seconds = clock.size() == 9;
  if ((clock.size() != 6 && !seconds) || (clock[0] != ' ' && clock[0] != 'T') || clock[3] != ':' ||
      (seconds && clock[6] != ':')) {
    return std::nullopt;
  }
  const auto hour = digits(clock.substr(1, 2));
  const auto minute = digits(clock.substr(4, 2));
  const auto second = seconds ? digits(clock.substr(7, 2)) : std::optional<int>(0);
  if (!hour || !minute || !second || *hour > 23 || *minute > 59 || *second > 59) {
    return std::nullopt;
  }
  const std::int64_t at = begin + (*hour * 60 + *minute) * kMinute + *second * std::int64_t{1000};
  return TimeRange{at, at + (seconds ? 1000 : kMinute)};
}

std::optional<double> time_span_ms(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 7> kUnits = {{{"", 1e3},
                                                                          {"ms", 1},
                                                                          {"s", 1e3},
                                                                          {"min", 60e3},
                                                                          {"m", 60e3},
                                                                          {"h", 3600e3},
                                                                          {"d", 86400e3}}};
  double value = 0;
  const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
  if (r.ec != std::errc() || !std::isfinite(value) || value < 0) return std::nullopt;
  std::string_view unit = text.substr(static_cast<std::size_t>(r.ptr - text.data()));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  for (const auto& [name, ms] : kUnits) {
    if (unit == name) return value * ms;
  }
  return std::nullopt;
}

void check_types(const WhereCondition& comparison, std::string_view source,
                 std::string_view option) {
  Checker(comparison, source, option).check();
}

}  // namespace cifarpipe
