#include "pipeline/secret_spans.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace cifarpipe::secret_spans {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

bool alphanumeric(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}
bool digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}
bool is_quote(char c) {
  return c == '"' || c == '\'';
}
bool name_char(char c) {
  return alphanumeric(c) || c == '_' || c == '-' || c == '.';
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

bool has_digit(std::string_view text) {
  return std::any_of(text.begin(), text.end(), digit);
}

/// Long, of letters and digits, without what code is made of.
bool looks_like_credential(std::string_view value) {
  const bool plain = std::all_of(value.begin(), value.end(), [](char c) {
    return alphanumeric(c) || std::string_view("_-+/=.~:!@#%^*").find(c) != kNone;
  });
  return value.size() >= 8 && plain && has_digit(value) && value.find("::") == kNone;
}

/// What data has where a secret would be written otherwise.
bool is_number_or_path(std::string_view value) {
  for (const std::string_view start : {"/", "./", "../", "~/"}) {
    if (value.starts_with(start)) return true;
  }
  return value.find_first_not_of("0123456789+-._eE") == kNone;
}

/// The end of a string literal in code that says it in so many words.
bool is_plain_literal(std::string_view value, char next) {
  return is_quote(next) && value.size() >= 4 && value.find_first_of("(){}[]%\\$") == kNone;
}

/// Names where the secret is, or says that there is none.
bool is_reference(std::string_view value) {
  static constexpr std::array<std::string_view, 8> kWords = {"true", "false", "none", "null",
                                                             "nil",  "yes",   "no",   "undefined"};
  if (value.empty() || value.front() == '{' || value.front() == '<') return true;
  if (value.starts_with("${") || value.starts_with("$(") || value.starts_with("%s")) return true;
  if (value.front() == '$' && std::all_of(value.begin() + 1, value.end(), [](char c) {
        return c == '_' || digit(c) || (c >= 'A' && c <= 'Z');
      })) {
    return true;
  }
  if (value.find_first_not_of('*') == kNone) return true;
  const std::string word = lower(value);
  return std::find(kWords.begin(), kWords.end(), word) != kWords.end();
}

class Finder {
 public:
  Finder(std::string_view text, TextKind kind) : text_(text), kind_(kind) {}

  void userinfo();
  void assignments();
  void bearers();
  void known_forms();
  void private_keys();
  std::vector<Span> spans() &&;

 private:
  char at(std::size_t i) const { return i < text_.size() ? text_[i] : '\0'; }
  void add(std::size_t begin, std::size_t end) {
    if (begin < end) spans_.push_back({begin, end});
  }
  std::string_view name_before(std::size_t sign) const;
  std::size_t value_after(std::size_t sign, std::string_view name);
  std::size_t quoted(std::size_t quote, bool escaped);
  std::size_t bare(std::size_t begin, std::size_t sign, std::string_view name);

  std::string_view text_;
  TextKind kind_;
  std::vector<Span> spans_;
};

void Finder::userinfo() {
  for (std::size_t begin = 0; (begin = text_.find("://", begin)) != kNone;) {
    begin += 3;
    const std::size_t end =
        std::min(text_.find_first_of("/?# \t\r\n\"'<>`\\", begin), text_.size());
    const std::string_view authority = text_.substr(begin, end - begin);
    std::size_t sign = authority.rfind('@');
    const std::size_t colon = authority.rfind(':');
    if (sign == kNone && colon != kNone && at(begin) != '[' && colon + 1 < authority.size() &&
        !std::all_of(authority.begin() + static_cast<std::ptrdiff_t>(colon) + 1, authority.end(),
                     digit)) {
      // No port: a password with a '/' in it, that nobody encoded.
      const std::size_t stop = std::min(text_.find_first_of(" \t\r\n\"'<>`", end), text_.size());
      sign = text_.substr(begin, stop - begin).find('@');
    }
    if (sign != kNone) add(begin, begin + sign);
  }
}

/// The name that `NAME =` or `"NAME":` gives a value to; "" if there is none.
std::string_view Finder::name_before(std::size_t sign) const {
  std::size_t end = sign;
  while (end > 0 && sign - end < 8 && (text_[end - 1] == ' ' || text_[end - 1] == '\t')) --end;
  if (end > 0 && text_[end - 1] == ']') --end;
  if (end > 0 && is_quote(text_[end - 1])) --end;
  if (end > 0 && text_[end - 1] == '\\') --end;
  std::size_t begin = end;
  while (begin > 0 && end - begin < 100 && name_char(text_[begin - 1])) --begin;
  return text_.substr(begin, end - begin);
}

/// Whether a header's whole value is a secret.
bool is_secret_header(std::string_view name) {
  const std::string word = lower(name);
  return word == "authorization" || word == "proxy-authorization" || word == "cookie" ||
         word == "set-cookie";
}

void Finder::assignments() {
  for (std::size_t i = 0; (i = text_.find_first_of("=:", i)) != kNone;) {
    const char before = i > 0 ? text_[i - 1] : '\0';
    const char next = at(i + 1);
    const bool comparison = next == '=' && text_[i] == '=';
    const bool scope = text_[i] == ':' && (next == ':' || before == ':' || next == '/');
    const bool other = text_[i] == '=' && std::string_view("=!<>:").find(before) != kNone;
    if (comparison || scope || (other && before != '\0')) {
      i += comparison || (scope && next == ':') ? 2 : 1;
      continue;
    }
    const std::string_view name = name_before(i);
    const bool header = is_secret_header(name) && kind_ == TextKind::prose;
    i = header || names_a_secret(name) ? value_after(i, name) : i + 1;
  }
}

/// Marks the value behind the sign; where to look on.
std::size_t Finder::value_after(std::size_t sign, std::string_view name) {
  std::size_t begin = sign + 1;
  if (at(begin) == '=' || at(begin) == '>') ++begin;  // := and =>
  while (at(begin) == ' ' || at(begin) == '\t') ++begin;
  const bool escaped = at(begin) == '\\' && is_quote(at(begin + 1));
  if (escaped) ++begin;
  if (is_quote(at(begin))) return quoted(begin, escaped);
  if (at(begin) == '[') {
    std::size_t i = begin + 1;
    while (i < text_.size() && text_[i] != ']' && text_[i] != '\n') {
      i = is_quote(text_[i]) ? quoted(i, false) + 1 : i + 1;
    }
    return i;
  }
  return bare(begin, sign, name);
}

std::size_t Finder::quoted(std::size_t quote, bool escaped) {
  const char mark = text_[quote];
  const std::string three(3, mark);
  if (text_.substr(quote, 3) == three) {
    const std::size_t end = std::min(text_.find(three, quote + 3), text_.size());
    add(quote + 3, end);
    return end;
  }
  std::size_t end = quote + 1;
  while (end < text_.size() && text_[end] != '\n') {
    const bool slash = text_[end] == '\\';
    if (slash && escaped && at(end + 1) == mark) break;
    if (text_[end] == mark && !escaped) break;
    end += slash && mark == '"' && end + 1 < text_.size() && at(end + 1) != '\n' ? 2 : 1;
  }
  end = std::min(end, text_.size());
  const std::string_view value = text_.substr(quote + 1, end - quote - 1);
  const bool passed_over = is_reference(value) || (kind_ == TextKind::code && value.size() < 4) ||
                           (kind_ == TextKind::data && is_number_or_path(value));
  if (!passed_over) add(quote + 1, end);
  return end;
}

std::size_t Finder::bare(std::size_t begin, std::size_t sign, std::string_view name) {
  if (is_secret_header(name)) {
    const std::size_t end = std::min(text_.find_first_of("\r\n\"'", begin), text_.size());
    add(begin, end);
    return end;
  }
  std::size_t end = std::min(text_.find_first_of(" \t\r\n&\"'<>`", begin), text_.size());
  const std::size_t next = end;
  while (end > begin && std::string_view(",;)}]").find(text_[end - 1]) != kNone) --end;
  const std::string_view value = text_.substr(begin, end - begin);
  if (is_reference(value)) return sign + 1;
  if (kind_ == TextKind::code && !looks_like_credential(value) &&
      !is_plain_literal(value, at(next))) {
    return sign + 1;
  }
  if (kind_ == TextKind::data && is_number_or_path(value)) return sign + 1;
  // "unexpected token: foo" gives nothing away.
  if (text_[sign] == ':' && lower(name) == "token" && !has_digit(value)) return sign + 1;
  add(begin, end);
  return next;
}

void Finder::bearers() {
  for (const std::string_view word : {"Bearer ", "bearer "}) {
    for (std::size_t i = 0; (i = text_.find(word, i)) != kNone;) {
      i += word.size();
      std::size_t end = i;
      while (end < text_.size() && (name_char(text_[end]) || text_[end] == '+' ||
                                    text_[end] == '/' || text_[end] == '=')) {
        ++end;
      }
      if (end - i >= 8 && has_digit(text_.substr(i, end - i))) add(i, end);
      i = end;
    }
  }
}

void Finder::known_forms() {
  struct Form {
    std::string_view prefix;
    std::size_t least;  // Characters that follow.
  };
  static constexpr std::array<Form, 15> kForms = {{{"ghp_", 30},
                                                   {"gho_", 30},
                                                   {"ghu_", 30},
                                                   {"ghs_", 30},
                                                   {"ghr_", 30},
                                                   {"github_pat_", 20},
                                                   {"glpat-", 16},
                                                   {"hf_", 30},
                                                   {"xoxb-", 10},
                                                   {"xoxp-", 10},
                                                   {"AKIA", 16},
                                                   {"ASIA", 16},
                                                   {"dapi", 32},
                                                   {"sk-", 32},
                                                   {"eyJ", 40}}};
  for (const Form& form : kForms) {
    for (std::size_t i = 0; (i = text_.find(form.prefix, i)) != kNone;) {
      const std::size_t begin = i;
      i += form.prefix.size();
      if (begin > 0 && (alphanumeric(text_[begin - 1]) || text_[begin - 1] == '_')) continue;
      std::size_t end = i;
      while (end < text_.size() && name_char(text_[end])) ++end;
      if (end - i >= form.least && has_digit(text_.substr(i, end - i))) add(begin, end);
      i = end;
    }
  }
}

void Finder::private_keys() {
  constexpr std::string_view kEnd = "PRIVATE KEY-----";
  for (std::size_t i = 0; (i = text_.find("-----BEGIN ", i)) != kNone;) {
    i += 11;
    const std::size_t head = text_.find(kEnd, i);
    if (head == kNone || head - i > 40) continue;
    const std::size_t end = std::min(text_.find("-----END ", head), text_.size());
    add(head + kEnd.size(), end);
    i = end;
  }
}

std::vector<Span> Finder::spans() && {
  std::sort(spans_.begin(), spans_.end(),
            [](const Span& a, const Span& b) { return a.begin < b.begin; });
  std::vector<Span> out;
  for (const Span& span : spans_) {
    if (!out.empty() && span.begin <= out.back().end) {
      out.back().end = std::max(out.back().end, span.end);
    } else {
      out.push_back(span);
    }
  }
  return out;
}

}  // namespace

std::vector<Span> of_userinfo(std::string_view text) {
  Finder finder(text, TextKind::prose);
  finder.userinfo();
  return std::move(finder).spans();
}

std::vector<Span> all(std::string_view text, TextKind kind) {
  Finder finder(text, kind);
  finder.userinfo();
  finder.assignments();
  finder.bearers();
  finder.known_forms();
  finder.private_keys();
  return std::move(finder).spans();
}

std::string replaced(std::string_view text, const std::vector<Span>& spans) {
  std::string out;
  std::size_t done = 0;
  for (const Span& span : spans) {
    out += text.substr(done, span.begin - done);
    out += "***";
    done = span.end;
  }
  out += text.substr(done);
  return out;
}

std::string starred(std::string_view text, const std::vector<Span>& spans) {
  std::string out;
  std::size_t done = 0;
  for (const Span& span : spans) {
    out += text.substr(done, span.begin - done);
    for (const char c : text.substr(span.begin, span.end - span.begin)) {
      if (c == '\n' || c == '\r') {
        out += c;
      } else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80) {
        out += '*';
      }
    }
    done = span.end;
  }
  out += text.substr(done);
  return out;
}

}  // namespace cifarpipe::secret_spans
