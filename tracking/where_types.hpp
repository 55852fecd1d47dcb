// Which comparisons make sense: between the parser of expressions and their compiler.
#pragma once

#include "tracking/where.hpp"

namespace cifarpipe {

/// An integer or a finite number without quotes; nothing for text.
std::optional<SqlValue> number_of(const WhereLiteral& literal);
/// true or false without quotes.
std::optional<bool> boolean_of(const WhereLiteral& literal);

/// Throws WhereError where a comparison cannot be meant: text with '<', a metric with text, ….
void check_types(const WhereCondition& comparison, std::string_view source,
                 std::string_view option);

}  // namespace cifarpipe
