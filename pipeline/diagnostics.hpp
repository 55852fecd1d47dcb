// Configuration errors, collected so that all of them print at once, each with its line and a
// caret. One thread.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/error.hpp"

namespace cifarpipe {

enum class Severity { warning, error };

struct Diagnostic {
  Severity severity = Severity::error;
  Place place;
  int length = 1;  ///< Code points to underline: `^~~~`.
  std::string message;
};

class Diagnostics {
 public:
  void error(Place place, std::string message, int length = 1);
  void warning(Place place, std::string message, int length = 1);
  /// The text behind a file name in a Place, for quoting lines; `--set` arguments too (one a line).
  void add_source(std::string file, std::string text);

  bool has_errors() const;
  const std::vector<Diagnostic>& all() const { return list_; }
  /// Sorted by place, equal ones once, with source line and caret. `color`: ANSI colours.
  std::string render(bool color = false) const;

 private:
  std::vector<Diagnostic> list_;
  std::map<std::string, std::vector<std::string>, std::less<>> sources_;  // File → lines.
};

/// The nearest of `candidates` to a mistyped `word` (Damerau-Levenshtein, near enough to be meant),
/// or "" if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace cifarpipe
