// Environment variables as switches, numbers and text. A value that cannot be is an Error (usage)
// that names the variable and what is expected. An unset variable and an empty one are the same.
// Values only: any thread, as long as nobody changes the environment.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace cifarpipe {

/// Looks up an environment variable; nothing if unset. Tests bring their own.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;
Environment process_environment();

/// Without white space at both ends.
std::string trimmed(std::string_view text);

class Variables {
 public:
  explicit Variables(Environment environment) : environment_(std::move(environment)) {}

  std::string text(const std::string& name) const { return environment_(name).value_or(""); }
  /// For what becomes a header: a line break would begin another one. The value may be a secret, so
  /// the sentence leaves it out.
  std::string header_text(const std::string& name) const;
  /// true, 1, yes, on; false, 0, no, off; in any case.
  bool flag(const std::string& name, bool otherwise) const;
  double number(const std::string& name, double otherwise, double low, double high) const;
  int whole_number(const std::string& name, int otherwise, int low, int high) const;
  std::string existing_path(const std::string& name) const;

 private:
  Environment environment_;
};

}  // namespace cifarpipe
