#include "pipeline/secrets.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "pipeline/schema.hpp"
#include "pipeline/secret_spans.hpp"

extern char** environ;

namespace cifarpipe {
namespace {

using Words = std::vector<std::string>;

bool alphanumeric(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}
bool upper(char c) {
  return std::isupper(static_cast<unsigned char>(c)) != 0;
}
bool digit(char c) {
  return std::isdigit(static_cast<unsigned char>(c)) != 0;
}

/// "hf_token", "hfToken", "HF-TOKEN2" → hf, token.
Words words_of(std::string_view name) {
  Words words;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (!alphanumeric(name[i]) || digit(name[i])) continue;
    const bool after_letter = i > 0 && alphanumeric(name[i - 1]) && !digit(name[i - 1]);
    const bool hump = after_letter && upper(name[i]) &&
                      (!upper(name[i - 1]) || (i + 1 < name.size() && alphanumeric(name[i + 1]) &&
                                               !digit(name[i + 1]) && !upper(name[i + 1])));
    if (!after_letter || hump) words.emplace_back();
    words.back() += static_cast<char>(std::tolower(static_cast<unsigned char>(name[i])));
  }
  return words;
}

template <std::size_t N>
bool is_one_of(std::string_view word, const std::array<std::string_view, N>& list) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

constexpr std::array<std::string_view, 18> kSecretWords = {
    "password",   "passwd",      "passphrase", "passcode",  "secret",    "secrets",
    "credential", "credentials", "apikey",     "apitoken",  "authtoken", "accesstoken",
    "accesskey",  "secretkey",   "privatekey", "passwords", "userpass",  "htpasswd"};
/// What comes before "key" to make it one that opens something.
constexpr std::array<std::string_view, 12> kOpeningKeys = {
    "api",  "access",  "private", "secret",  "signing", "encryption",
    "auth", "account", "master",  "session", "service", "deploy"};
/// What comes before "token" where texts are cut into tokens.
constexpr std::array<std::string_view, 13> kTextTokens = {
    "pad",     "mask",  "cls",   "eos", "bos",  "unk",   "sep",
    "special", "class", "start", "end", "stop", "prompt"};
/// A name that ends so speaks about a secret, but its value is none.
constexpr std::array<std::string_view, 21> kAboutOne = {
    "dir",   "path",  "file",   "folder", "url",    "uri",       "name",
    "size",  "count", "length", "len",    "limit",  "ttl",       "type",
    "label", "field", "prompt", "policy", "expiry", "generator", "description"};

}  // namespace

bool names_a_secret(std::string_view name) {
  const Words words = words_of(name);
  if (words.empty() || is_one_of(words.back(), kAboutOne)) return false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string_view before = i > 0 ? std::string_view(words[i - 1]) : "";
    if (is_one_of(words[i], kSecretWords)) return true;
    if (words[i] == "token" && !is_one_of(before, kTextTokens)) return true;
    if (words[i] == "key" && is_one_of(before, kOpeningKeys)) return true;
    if (words[i] == "pwd" && words.size() > 1) return true;  // Alone it is the working directory.
    if (words[i] == "signature" && before == "amz") return true;  // Of a URL that needs no login.
  }
  return false;
}

bool is_secret_by_name(const FieldInfo& field) {
  return field.type == Type::string && !field.input_path && names_a_secret(field.name);
}

std::string without_userinfo(std::string_view text) {
  return secret_spans::replaced(text, secret_spans::of_userinfo(text));
}

std::string without_secrets(std::string_view text, TextKind kind) {
  return secret_spans::replaced(text, secret_spans::all(text, kind));
}

std::string with_stars(std::string_view text) {
  return secret_spans::starred(text, secret_spans::all(text, TextKind::prose));
}

// Known values.

namespace {

constexpr std::size_t kLeast = 4;
constexpr std::size_t kLeastOfEnvironment = 6;
constexpr std::size_t kAnywhere = 8;  ///< So long that it is no word of another text.

std::string percent_encoded(std::string_view value) {
  constexpr const char* kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : value) {
    if (alphanumeric(c) || std::string_view("-._~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string escaped(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

void cover_value(std::string& text, const std::string& value) {
  constexpr std::string_view kStars = "***";
  const bool anywhere = value.size() >= kAnywhere;
  for (std::size_t at = 0; (at = text.find(value, at)) != std::string::npos;) {
    const std::size_t end = at + value.size();
    const bool inside =
        (at > 0 && alphanumeric(text[at - 1]) && alphanumeric(value.front())) ||
        (end < text.size() && alphanumeric(text[end]) && alphanumeric(value.back()));
    if (inside && !anywhere) {
      ++at;
      continue;
    }
    text.replace(at, value.size(), kStars);
    at += kStars.size();
  }
}

/// What stands between "://USER:" and "@".
std::string_view password_in(std::string_view url) {
  const auto spans = secret_spans::of_userinfo(url);
  if (spans.empty()) return {};
  const std::string_view info =
      url.substr(spans.front().begin, spans.front().end - spans.front().begin);
  const std::size_t colon = info.find(':');
  return colon == std::string_view::npos ? std::string_view() : info.substr(colon + 1);
}

bool is_word_for_nothing(std::string_view value) {
  static constexpr std::array<std::string_view, 4> kWords = {"true", "false", "none", "null"};
  return is_one_of(value, kWords);
}

}  // namespace

Secrets Secrets::of_environment() {
  return of_environment(environ);
}

Secrets Secrets::of_environment(const char* const* variables) {
  Secrets secrets;
  for (; variables != nullptr && *variables != nullptr; ++variables) {
    const std::string_view line = *variables;
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string value(line.substr(equals + 1));
    if (const std::string_view password = password_in(value);
        password.size() >= kLeastOfEnvironment) {
      secrets.add(password);
    }
    if (value.size() < kLeastOfEnvironment || !names_a_secret(line.substr(0, equals))) continue;
    // The name of a file that holds a secret is none.
    if (value.front() == '/' && access(value.c_str(), F_OK) == 0) continue;
    secrets.add(value);
  }
  return secrets;
}

void Secrets::add_form(std::string form) {
  if (form.size() < kLeast || is_word_for_nothing(form)) return;
  if (form.find_first_not_of('*') == std::string::npos) return;
  if (std::find(values_.begin(), values_.end(), form) != values_.end()) return;
  const auto shorter = std::find_if(values_.begin(), values_.end(),
                                    [&](const std::string& v) { return v.size() < form.size(); });
  values_.insert(shorter, std::move(form));
}

void Secrets::add(std::string_view value) {
  add_form(std::string(value));
  add_form(percent_encoded(value));
  add_form(escaped(value));
  // A key of many lines is printed line by line.
  for (std::size_t begin = 0; value.find('\n', begin) != std::string_view::npos;) {
    const std::size_t end = value.find('\n', begin);
    if (end - begin >= kAnywhere) add_form(std::string(value.substr(begin, end - begin)));
    begin = end + 1;
    const std::string_view rest = value.substr(begin);
    if (rest.find('\n') == std::string_view::npos && rest.size() >= kAnywhere) {
      add_form(std::string(rest));
    }
  }
}

void Secrets::add_parameter(const std::string& stage, const std::string& name,
                            std::string_view value) {
  parameters_.insert(stage + "." + name);
  add(value);
}

std::string Secrets::redacted(std::string_view text, TextKind kind) const {
  std::string out(text);
  for (const std::string& value : values_) cover_value(out, value);
  return without_secrets(out, kind);
}

std::string Secrets::redacted_value(std::string_view name, std::string_view value) const {
  if (!value.empty() && names_a_secret(name.substr(name.rfind('.') + 1))) return "***";
  return redacted(value);
}

std::string Secrets::set_argument(std::string_view argument) const {
  const std::size_t equals = argument.find('=');
  if (equals == std::string_view::npos) return redacted(argument);
  std::string path(argument.substr(0, equals));
  // stages.STAGE.params.PARAM is the long form of STAGE.PARAM.
  std::string plain = path;
  if (plain.starts_with("stages.")) {
    plain.erase(0, 7);
    if (const std::size_t params = plain.find(".params."); params != std::string::npos) {
      plain.erase(params, 7);
    }
  }
  const bool from_environment = argument.substr(equals + 1).starts_with("{");
  const bool secret = parameters_.contains(plain) ||
                      names_a_secret(std::string_view(plain).substr(plain.rfind('.') + 1));
  if (secret && !from_environment) return path + "=***";
  return redacted(argument);
}

std::vector<std::string> Secrets::redacted_arguments(std::vector<std::string> arguments) const {
  bool set_follows = false;
  bool secret_follows = false;
  for (std::string& argument : arguments) {
    const bool option = argument.starts_with("--");
    const bool whole = argument.find('=') == std::string::npos;
    if (set_follows) {
      argument = set_argument(argument);
    } else if (secret_follows && !option) {
      argument = "***";
    } else if (argument.starts_with("--set=")) {
      argument = "--set=" + set_argument(std::string_view(argument).substr(6));
    } else {
      const std::string shown = redacted(argument);
      set_follows = argument == "--set";
      secret_follows = option && whole && names_a_secret(argument);
      argument = shown;
      continue;
    }
    set_follows = secret_follows = false;
  }
  return arguments;
}

}  // namespace cifarpipe
