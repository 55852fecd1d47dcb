// What must not be written down, and the one place that knows it: values of parameters and of
// environment variables whose names say "secret", user-info in URLs, and what looks like a secret
// wherever it stands. Every text that enters the store, a log or a terminal passes through here.
// Values only: any thread.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cifarpipe {

struct FieldInfo;

/// Whether a name has "password", "passwd", "token", "secret", "credential", "api key", "access
/// key", "private key", … in it, as whole words: "hf_token", "awsSecretAccessKey", "DB_PWD"; not
/// "tokens", "pad_token", "password_file".
bool names_a_secret(std::string_view name);

/// Whether a parameter is a secret although nobody declared it one: a string with such a name.
bool is_secret_by_name(const FieldInfo& field);

/// The user-info of URLs replaced: "https://***@host/…".
std::string without_userinfo(std::string_view text);

/// How much of a text may be taken for a secret. What is covered in code (a diff) or data (TOML,
/// JSON) is missing when it is used again: in code only what is quoted, or looks like a credential,
/// is the value of a name; in data neither numbers nor paths are.
enum class TextKind { prose, code, data };

/// `text` with "***" for what looks like a secret: user-info in URLs, NAME=VALUE and NAME: VALUE
/// where the name says so, authorization headers, private keys, tokens of well-known form.
std::string without_secrets(std::string_view text, TextKind kind = TextKind::prose);

/// The same with a star for each character, so that columns stay: for lines that an error quotes.
std::string with_stars(std::string_view text);

/// Values that are known to be secret, with the rules above.
class Secrets {
 public:
  Secrets() = default;
  /// The values of this process's environment variables whose names say that they are secret, and
  /// the passwords of URLs in any of them. Six characters at least: what is shorter is also found
  /// in texts that have nothing to do with it.
  static Secrets of_environment();
  static Secrets of_environment(const char* const* variables);

  /// From now on covered wherever it stands, also quoted for JSON or a URL; shorter than eight
  /// characters as a whole word only. Fewer than four are passed over.
  void add(std::string_view value);
  /// The same for a parameter, whose value `--set` may also bring.
  void add_parameter(const std::string& stage, const std::string& name, std::string_view value);

  std::string redacted(std::string_view text, TextKind kind = TextKind::prose) const;
  /// The value of a tag, a fact or a parameter: "***" if its name says so.
  std::string redacted_value(std::string_view name, std::string_view value) const;
  /// A command line. What `--set` gives to a secret is covered whatever it is.
  std::vector<std::string> redacted_arguments(std::vector<std::string> arguments) const;

 private:
  void add_form(std::string form);
  std::string set_argument(std::string_view argument) const;

  std::vector<std::string> values_;                // Longest first: one may be a part of another.
  std::set<std::string, std::less<>> parameters_;  // "train.pin"
};

}  // namespace cifarpipe
