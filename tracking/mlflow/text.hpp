// UTF-8 and percent-encoding for MLflow's rules, which count code points. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cifarpipe::mlflow {

/// `text` with U+FFFD for everything that is not UTF-8.
std::string valid_utf8(std::string_view text);

// Of valid UTF-8:
std::size_t code_points(std::string_view text);
std::string_view first_code_points(std::string_view text, std::size_t count);
/// The code point at `at`, which moves behind it.
char32_t next_code_point(std::string_view text, std::size_t& at);

/// A letter, digit or '_' for Python's \w. Scripts that are not known here count as no letters: a
/// server takes what this takes, but not the other way round.
bool is_word(char32_t c);

/// All but [A-Za-z0-9._~-] as %XX: one part of a path, or a value of a query.
std::string percent_encoded(std::string_view text);
/// What is not %XX stays.
std::string percent_decoded(std::string_view text);

/// One line of at most `limit` code points, without control characters: for messages.
std::string one_line(std::string_view text, std::size_t limit);

}  // namespace cifarpipe::mlflow
