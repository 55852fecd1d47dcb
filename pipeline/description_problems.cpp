// What every description must keep. Run once, when a plugin is built and when it is loaded, so the
// configuration's checks can trust it.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "pipeline/description.hpp"

namespace cifarpipe {
namespace {

bool is_name(std::string_view text, std::string_view more = "") {
  if (text.empty() || text.front() < 'a' || text.front() > 'z') return false;
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           more.find(c) != std::string_view::npos;
  });
}

// The alternative of Value that holds a parameter of this type.
std::size_t value_index(Type type) {
  switch (type) {
    case Type::boolean:
      return Value(false).index();
    case Type::integer:
      return Value(std::int64_t{}).index();
    case Type::number:
      return Value(0.0).index();
    case Type::string:
    case Type::path:
      return Value(std::string()).index();
    case Type::boolean_array:
      return Value(std::vector<bool>()).index();
    case Type::integer_array:
      return Value(std::vector<std::int64_t>()).index();
    case Type::number_array:
      return Value(std::vector<double>()).index();
    case Type::string_array:
    case Type::path_array:
      return Value(std::vector<std::string>()).index();
    case Type::groups:
      return Value(Groups()).index();
  }
  return std::variant_npos;
}

std::vector<double> numbers_in(const Value& value) {
  if (const auto* i = std::get_if<std::int64_t>(&value)) return {static_cast<double>(*i)};
  if (const auto* d = std::get_if<double>(&value)) return {*d};
  if (const auto* d = std::get_if<std::vector<double>>(&value)) return *d;
  if (const auto* i = std::get_if<std::vector<std::int64_t>>(&value)) {
    return {i->begin(), i->end()};
  }
  return {};
}

std::vector<std::string> texts_in(const Value& value) {
  if (const auto* s = std::get_if<std::string>(&value)) return {*s};
  if (const auto* s = std::get_if<std::vector<std::string>>(&value)) return *s;
  return {};
}

class Checker {
 public:
  explicit Checker(const StageDescription& description) : d_(description) {}

  std::vector<std::string> check() {
    if (!is_name(d_.name, "-")) {
      say("a stage's name is lower-case letters, digits, '_' and '-', not '{}'", d_.name);
    }
    if (d_.summary.empty()) say("it has no summary");
    if (d_.revision < 1) say("its revision is {} and must be at least 1", d_.revision);
    for (const FieldInfo& f : d_.params.fields) field(f);
    for (const Rule& rule : d_.params.rules) {
      for (const Condition& c : rule.when) condition(c);
      for (const Condition& c : rule.require) condition(c);
      if (rule.require.empty() || rule.message.empty()) {
        say("a rule has no requirement or no message");
      }
    }
    ports(d_.inputs, "input");
    ports(d_.outputs, "output");
    std::set<std::string> seen;
    for (const MetricInfo& m : d_.metrics) {
      if (!is_name(m.name, "/*")) say("a metric cannot be called '{}'", m.name);
      if (!seen.insert(m.name).second) say("metric '{}' is declared twice", m.name);
    }
    return std::move(problems_);
  }

 private:
  template <class... A>
  void say(fmt::format_string<A...> format, A&&... arguments) {
    problems_.push_back(fmt::format(format, std::forward<A>(arguments)...));
  }

  void field(const FieldInfo& f) {
    if (!is_name(f.name)) {
      say("a parameter's name is lower-case letters, digits and '_', not '{}'", f.name);
    }
    if (!fields_.insert(f.name).second) say("parameter '{}' is declared twice", f.name);
    if (f.help.empty()) say("parameter '{}' has no help", f.name);
    if (f.minimum && f.maximum && !(*f.minimum <= *f.maximum)) {
      say("the range of parameter '{}' is empty", f.name);
    }
    if (f.required) return;
    if (f.default_value.index() != value_index(f.type)) {
      say("the default of parameter '{}' is not of its type, {}", f.name, type_name(f.type));
      return;
    }
    for (const double number : numbers_in(f.default_value)) {
      if ((f.minimum && !(number >= *f.minimum)) || (f.maximum && !(number <= *f.maximum))) {
        say("parameter '{}' has the default {}, which its range excludes", f.name,
            number_text(number));
      }
    }
    for (const std::string& text : texts_in(f.default_value)) {
      if (!f.allows(text)) {
        say("parameter '{}' has the default '{}', which is not among its choices", f.name, text);
      }
    }
  }

  void condition(const Condition& c) {
    const bool input = c.of == Condition::Of::wired;
    for (const std::string* name : {&c.field, &c.other_field}) {
      if (name->empty() || (input && name == &c.field) || fields_.contains(*name)) continue;
      say("a rule speaks of '{}', which is no parameter", *name);
    }
    if (input) {
      const auto named = [&](const Port& port) { return port.name == c.field; };
      if (std::none_of(d_.inputs.begin(), d_.inputs.end(), named)) {
        say("a rule speaks of '{}', which is no input", c.field);
      }
      return;
    }
    const FieldInfo* field = d_.params.find(c.field);
    if (c.of == Condition::Of::value || field == nullptr) return;
    const Type type = field->type;
    const bool numbers = type == Type::integer_array || type == Type::number_array;
    const bool array = numbers || type == Type::boolean_array || type == Type::string_array ||
                       type == Type::path_array;
    if (c.of == Condition::Of::ascending ? !numbers : !array && type != Type::groups) {
      say("a rule measures '{}', which is no array{}", c.field,
          c.of == Condition::Of::ascending ? " of numbers" : "");
    }
  }

  void ports(const std::vector<Port>& ports, const char* kind) {
    std::set<std::string> seen;
    for (const Port& port : ports) {
      if (!is_name(port.name)) say("an {} cannot be called '{}'", kind, port.name);
      if (!seen.insert(port.name).second) say("{} '{}' is declared twice", kind, port.name);
      const std::size_t slash = port.type.find('/');
      if (slash == std::string::npos || !is_name(port.type.substr(0, slash)) ||
          !is_name(port.type.substr(slash + 1), "-")) {
        say("the type of {} '{}' must be family/kind, not '{}'", kind, port.name, port.type);
      }
    }
  }

  const StageDescription& d_;
  std::vector<std::string> problems_;
  std::set<std::string> fields_;
};

}  // namespace

std::vector<std::string> description_problems(const StageDescription& description) {
  return Checker(description).check();
}

}  // namespace cifarpipe
