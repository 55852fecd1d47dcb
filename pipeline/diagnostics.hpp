// Configuration errors, collected so that all of them print at once, each with its line and a
// caret. What looks like a secret is covered, in messages and in quoted lines. One thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "pipeline/error.hpp"

namespace cifarpipe {

enum class Severity { warning, error };

struct Diagnostic {
  Severity severity = Severity::error;
  ErrorKind kind = ErrorKind::usage;  ///< environment: the file is right, but a plugin is not.
  Place place;
  int length = 1;  ///< Code points to underline: `^~~~`.
  std::string message;
};

class Diagnostics {
 public:
  void error(Place place, std::string_view message, int length = 1);
  void warning(Place place, std::string_view message, int length = 1);
  /// An error that is not the file's fault: a plugin that cannot be used.
  void environment_error(Place place, std::string_view message, int length = 1);
  /// The text behind a file name in a Place, for quoting lines; `--set` arguments too (one a line).
  /// The order of the calls is the order in which `render` lists the files; a second call for a
  /// file replaces its text.
  void add_source(std::string file, std::string_view source_text);

  bool has_errors() const;
  /// 0 without errors; 3 if all of them are the environment's; else 2.
  int exit_code() const;
  const std::vector<Diagnostic>& all() const { return list_; }
  /// Sorted by place, equal ones once, with source line and caret. `color`: ANSI colours.
  std::string render(bool color = false) const;

 private:
  struct Source {
    std::string file;
    std::vector<std::string> lines;
  };

  int source_rank(std::string_view file) const;
  const std::string* line_of(const Place& place) const;
  std::vector<const Diagnostic*> in_order() const;

  std::vector<Diagnostic> list_;
  std::vector<Source> sources_;
};

/// Somebody's text as one line that is safe on a terminal: '?' for what a terminal would obey (line
/// breaks, escapes, changes of direction) and for what is not UTF-8.
std::string printable(std::string_view text);

/// The nearest of `candidates` to a mistyped `word` (Damerau-Levenshtein, near enough to be meant),
/// or "" if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

}  // namespace cifarpipe
