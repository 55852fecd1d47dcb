#include "pipeline/diagnostics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "pipeline/secrets.hpp"

namespace cifarpipe {
namespace {

constexpr int kWidestQuote = 160;  // Longer lines are cut around the caret.

struct CodePoint {
  std::string_view bytes;
  int width = 1;  // Columns on a terminal.
};

bool is_wide(std::uint32_t c) {
  return (c >= 0x1100 && c <= 0x115f) || (c >= 0x2e80 && c <= 0xa4cf) ||
         (c >= 0xac00 && c <= 0xd7a3) || (c >= 0xf900 && c <= 0xfaff) ||
         (c >= 0xfe30 && c <= 0xfe6f) || (c >= 0xff00 && c <= 0xff60) ||
         (c >= 0x1f300 && c <= 0x1faff) || (c >= 0x20000 && c <= 0x3fffd);
}

bool is_combining(std::uint32_t c) {
  return (c >= 0x300 && c <= 0x36f) || (c >= 0x200b && c <= 0x200f) || (c >= 0xfe00 && c <= 0xfe0f);
}

// What a terminal would take as a command, or not at all, becomes '?': a quoted line is the user's
// text, but it may come from a file that somebody else wrote.
std::vector<CodePoint> code_points(std::string_view text) {
  std::vector<CodePoint> out;
  for (std::size_t i = 0; i < text.size();) {
    const auto first = static_cast<unsigned char>(text[i]);
    const std::size_t length = first < 0x80    ? 1
                               : first >= 0xf0 ? 4
                               : first >= 0xe0 ? 3
                               : first >= 0xc2 ? 2
                                               : 0;
    std::uint32_t c = length == 1 ? first : first & (0xff >> (length + 1));
    bool valid = length > 0 && i + length <= text.size() && first < 0xf5;
    for (std::size_t k = 1; valid && k < length; ++k) {
      const auto next = static_cast<unsigned char>(text[i + k]);
      valid = (next & 0xc0) == 0x80;
      c = (c << 6) | (next & 0x3f);
    }
    if (!valid) {
      out.push_back({"?", 1});
      i += 1;
    } else if (c == '\t') {
      out.push_back({" ", 1});
      i += 1;
    } else if (c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x2028 || c == 0x2029 ||
               (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069)) {
      out.push_back({"?", 1});
      i += length;
    } else {
      out.push_back({text.substr(i, length), is_combining(c) ? 0 : is_wide(c) ? 2 : 1});
      i += length;
    }
  }
  return out;
}

// The source line and, below it, `^~~~`.
std::string quote(std::string_view line, const Diagnostic& d, bool color) {
  std::vector<CodePoint> text = code_points(line);
  int column = std::clamp<int>(d.place.column, 1, static_cast<int>(text.size()) + 1);
  std::string before, after;
  if (static_cast<int>(text.size()) > kWidestQuote) {
    const int begin = std::clamp<int>(column - kWidestQuote / 2, 1,
                                      static_cast<int>(text.size()) - kWidestQuote + 1);
    if (begin > 1) before = "…";
    if (begin - 1 + kWidestQuote < static_cast<int>(text.size())) after = "…";
    text = {text.begin() + begin - 1,
            text.begin() + std::min<int>(begin - 1 + kWidestQuote, static_cast<int>(text.size()))};
    column -= begin - 1;
  }
  std::string shown = before;
  int indent = before.empty() ? 0 : 1;
  int underline = 0;
  for (int i = 0; i < static_cast<int>(text.size()); ++i) {
    shown += text[i].bytes;
    if (i + 1 < column) indent += text[i].width;
    if (i + 1 >= column && i + 1 < column + d.length) underline += text[i].width;
  }
  while (!shown.empty() && shown.back() == ' ') shown.pop_back();
  std::string marker(1, '^');
  marker.append(static_cast<std::size_t>(std::max(0, underline - 1)), '~');
  if (color) marker = fmt::format("\x1b[32;1m{}\x1b[0m", marker);
  return fmt::format("{:5} | {}{}\n      | {}{}\n", d.place.line, shown, after,
                     std::string(indent, ' '), marker);
}

// Optimal string alignment; `limit` ends hopeless comparisons early. Letter case is free, and so
// is '-' for '_'.
int distance(std::string_view a, std::string_view b, int limit) {
  const int n = static_cast<int>(a.size()), m = static_cast<int>(b.size());
  if (std::abs(n - m) > limit) return limit + 1;
  const auto same = [](char x, char y) {
    const auto fold = [](char c) {
      if (c >= 'A' && c <= 'Z') return static_cast<char>(c - 'A' + 'a');
      return c == '-' ? '_' : c;
    };
    return fold(x) == fold(y);
  };
  std::vector<int> before(m + 1), last(m + 1), row(m + 1);
  for (int j = 0; j <= m; ++j) last[j] = j;
  for (int i = 1; i <= n; ++i) {
    row[0] = i;
    int best = i;
    for (int j = 1; j <= m; ++j) {
      row[j] =
          std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same(a[i - 1], b[j - 1]) ? 0 : 1)});
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1])) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
      best = std::min(best, row[j]);
    }
    if (best > limit) return limit + 1;
    before.swap(last);
    last.swap(row);
  }
  return last[m];
}

int edits_allowed(std::size_t length) {
  return length <= 4 ? 1 : length <= 8 ? 2 : 3;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const CodePoint& c : code_points(text)) out += c.bytes;
  return out;
}

void Diagnostics::error(Place place, std::string_view message, int length) {
  list_.push_back({Severity::error, ErrorKind::usage, std::move(place), std::max(1, length),
                   without_secrets(message)});
}

void Diagnostics::warning(Place place, std::string_view message, int length) {
  list_.push_back({Severity::warning, ErrorKind::usage, std::move(place), std::max(1, length),
                   without_secrets(message)});
}

void Diagnostics::environment_error(Place place, std::string_view message, int length) {
  list_.push_back({Severity::error, ErrorKind::environment, std::move(place), std::max(1, length),
                   without_secrets(message)});
}

void Diagnostics::add_source(std::string file, std::string_view source_text) {
  const std::string text = with_stars(source_text);
  std::vector<std::string> lines;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = std::string_view(text).substr(begin, end - begin);
    if (begin == 0 && line.starts_with("\xef\xbb\xbf")) line.remove_prefix(3);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    begin = end + 1;
  }
  for (Source& source : sources_) {
    if (source.file == file) {
      source.lines = std::move(lines);
      return;
    }
  }
  sources_.push_back({std::move(file), std::move(lines)});
}

bool Diagnostics::has_errors() const {
  return std::any_of(list_.begin(), list_.end(),
                     [](const Diagnostic& d) { return d.severity == Severity::error; });
}

int Diagnostics::exit_code() const {
  int code = 0;
  for (const Diagnostic& d : list_) {
    if (d.severity != Severity::error) continue;
    if (d.kind == ErrorKind::usage) return static_cast<int>(ErrorKind::usage);
    code = static_cast<int>(d.kind);
  }
  return code;
}

int Diagnostics::source_rank(std::string_view file) const {
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (sources_[i].file == file) return static_cast<int>(i);
  }
  return static_cast<int>(sources_.size());
}

const std::string* Diagnostics::line_of(const Place& place) const {
  const auto rank = static_cast<std::size_t>(source_rank(place.file));
  if (rank == sources_.size() || place.line < 1) return nullptr;
  const auto& lines = sources_[rank].lines;
  const auto index = static_cast<std::size_t>(place.line - 1);
  return index < lines.size() ? &lines[index] : nullptr;
}

std::vector<const Diagnostic*> Diagnostics::in_order() const {
  std::vector<std::pair<int, const Diagnostic*>> ranked;
  for (const Diagnostic& d : list_) ranked.emplace_back(source_rank(d.place.file), &d);
  const auto key = [](const std::pair<int, const Diagnostic*>& r) {
    const Place& p = r.second->place;
    return std::make_tuple(r.first, std::string_view(p.file), p.line, p.column);
  };
  std::stable_sort(ranked.begin(), ranked.end(),
                   [&](const auto& a, const auto& b) { return key(a) < key(b); });
  std::vector<const Diagnostic*> out;
  for (const auto& [rank, d] : ranked) {
    bool repeated = false;
    for (auto o = out.rbegin(); o != out.rend() && (*o)->place == d->place && !repeated; ++o) {
      repeated = (*o)->message == d->message;
    }
    if (!repeated) out.push_back(d);
  }
  return out;
}

std::string Diagnostics::render(bool color) const {
  std::string out;
  for (const Diagnostic* d : in_order()) {
    const bool error = d->severity == Severity::error;
    const std::string place = d->place.known() ? printable(d->place.str()) + ": " : "";
    const std::string_view word = error ? "error" : "warning";
    if (color) {
      out += fmt::format("\x1b[1m{}\x1b[{};1m{}:\x1b[0m {}\n", place, error ? 31 : 35, word,
                         printable(d->message));
    } else {
      out += fmt::format("{}{}: {}\n", place, word, printable(d->message));
    }
    const std::string* line = d->place.column > 0 ? line_of(d->place) : nullptr;
    if (line != nullptr) out += quote(*line, *d, color);
  }
  return out;
}

std::string nearest(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string* best = nullptr;
  int best_distance = 0;
  for (const std::string& candidate : candidates) {
    const int limit = edits_allowed(std::max(word.size(), candidate.size()));
    const int d = distance(word, candidate, limit);
    // Every letter wrong is not a typo: "lr" is not meant by "ab".
    if (d > limit || d >= static_cast<int>(std::max(word.size(), candidate.size()))) continue;
    if (best == nullptr || d < best_distance) {
      best = &candidate;
      best_distance = d;
    }
  }
  if (best != nullptr) return *best;
  // The beginning of exactly one candidate: "optim" for "optimizer".
  for (const std::string& candidate : candidates) {
    if (word.size() < 3 || !candidate.starts_with(word)) continue;
    if (best != nullptr) return "";
    best = &candidate;
  }
  return best != nullptr ? *best : "";
}

}  // namespace cifarpipe
