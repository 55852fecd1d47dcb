#include "pipeline/config_coerce.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace cifarpipe::config {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kExactIntegers = std::int64_t{1} << 53;

Type element_type(Type type) {
  switch (type) {
    case Type::boolean_array:
      return Type::boolean;
    case Type::integer_array:
      return Type::integer;
    case Type::number_array:
      return Type::number;
    case Type::string_array:
      return Type::string;
    case Type::path_array:
      return Type::path;
    default:
      return type;
  }
}

bool is_array_type(Type type) {
  return element_type(type) != type;
}

std::string with_article(Type type) {
  if (type == Type::groups) return "a table of string arrays";
  const std::string_view name = type_name(type);
  return fmt::format("{} {}", name.front() == 'i' || name.front() == 'a' ? "an" : "a", name);
}

bool integral(double v) {
  return std::floor(v) == v && std::abs(v) < 9e15;
}

// What to write instead of `node` where `type` is expected; "" if that cannot be guessed.
std::string fix_for(const Node& node, Type type) {
  if (node.is_string() && type != Type::string && type != Type::path) {
    Node inner;
    if (!parse_toml_value(node.text, node.mark, inner)) return "";
    const bool number = inner.kind == Node::Kind::integer ||
                        (inner.kind == Node::Kind::number && !std::isnan(inner.number));
    if ((type == Type::boolean && inner.kind == Node::Kind::boolean) ||
        (type == Type::integer && inner.kind == Node::Kind::integer) ||
        (type == Type::number && number)) {
      return fmt::format("; write {} without quotes", node.text);
    }
  }
  if (node.kind == Node::Kind::number && type == Type::integer && integral(node.number)) {
    return fmt::format("; write {}", static_cast<std::int64_t>(node.number));
  }
  if (type == Type::boolean && node.kind == Node::Kind::integer &&
      (node.integer == 0 || node.integer == 1)) {
    return node.integer == 1 ? "; write true" : "; write false";
  }
  if ((type == Type::string || type == Type::path) &&
      (node.kind == Node::Kind::integer || node.kind == Node::Kind::number ||
       node.kind == Node::Kind::boolean)) {
    return fmt::format("; write \"{}\"", source_form(node));
  }
  if (is_array_type(type) && !node.is_table() && !node.is_array() &&
      node.kind != Node::Kind::date) {
    return fmt::format("; write [{}]", source_form(node));
  }
  if (node.is_array() && node.items.size() == 1 && !is_array_type(type)) {
    return fmt::format("; write {}", source_form(node.items.front()));
  }
  return "";
}

class Coercion {
 public:
  Coercion(Context& context, const FieldInfo& field, std::string_view label)
      : context_(context), field_(field), label_(label) {}

  std::optional<Value> value(const Node& node) {
    if (field_.type == Type::groups) return groups(node);
    if (node.is_table() && node.find("env") != nullptr) return from_environment(node);
    if (!is_array_type(field_.type)) return scalar(node, field_.type);
    if (!node.is_array()) return wrong_type(node, field_.type);
    switch (field_.type) {
      case Type::boolean_array:
        return array<bool>(node);
      case Type::integer_array:
        return array<std::int64_t>(node);
      case Type::number_array:
        return array<double>(node);
      default:
        return array<std::string>(node);
    }
  }

 private:
  std::optional<Value> wrong_type(const Node& node, Type type) {
    const std::string is = field_.secret ? "what stands here" : describe(node);
    context_.error(node.mark, fmt::format("{} must be {}, not {}{}", subject(), with_article(type),
                                          is, field_.secret ? "" : fix_for(node, type)));
    return std::nullopt;
  }

  std::string subject() const {
    if (element_ == 0) return fmt::format("'{}'", label_);
    return fmt::format("value {} of '{}'", element_, label_);
  }

  template <class T>
  std::optional<Value> array(const Node& node) {
    std::vector<T> out;
    bool good = true;
    for (const Node& item : node.items) {
      ++element_;
      const std::optional<Value> value = scalar(item, element_type(field_.type));
      if (value) {
        out.push_back(std::get<T>(*value));
      } else {
        good = false;
      }
    }
    if (!good) return std::nullopt;
    return out;
  }

  std::optional<Value> scalar(const Node& node, Type type) {
    switch (type) {
      case Type::boolean:
        if (node.kind != Node::Kind::boolean) return wrong_type(node, type);
        return node.boolean;
      case Type::integer:
        if (node.kind != Node::Kind::integer) return wrong_type(node, type);
        if (!in_range(node, static_cast<double>(node.integer))) return std::nullopt;
        return node.integer;
      case Type::number:
        return number(node);
      default:
        if (!node.is_string()) return wrong_type(node, type);
        return string(node, node.text, type);
    }
  }

  std::optional<Value> number(const Node& node) {
    double value = node.number;
    if (node.kind == Node::Kind::integer) {
      value = static_cast<double>(node.integer);
      if (node.integer > kExactIntegers || node.integer < -kExactIntegers) {
        context_.error(node.mark,
                       fmt::format("{} = {} is not exact as a number; write it with a point",
                                   subject(), node.integer));
        return std::nullopt;
      }
    } else if (node.kind != Node::Kind::number) {
      return wrong_type(node, Type::number);
    }
    if (std::isnan(value)) {
      context_.error(node.mark, fmt::format("{} must be a number, and nan is none", subject()));
      return std::nullopt;
    }
    if (!in_range(node, value)) return std::nullopt;
    return value;
  }

  bool in_range(const Node& node, double value) {
    const bool low = field_.minimum && value < *field_.minimum;
    const bool high = field_.maximum && value > *field_.maximum;
    if (!low && !high) return true;
    const std::string shown =
        node.kind == Node::Kind::integer ? std::to_string(node.integer) : short_number(node.number);
    // The limits of the C++ type say nothing to a user who is at the other end.
    const bool min_is_types = field_.minimum == std::numeric_limits<int>::min();
    const bool max_is_types = field_.maximum == std::numeric_limits<int>::max();
    std::string limit;
    if (low && (!field_.maximum || (max_is_types && !min_is_types))) {
      limit = fmt::format("below {}", short_number(*field_.minimum));
    } else if (high && (!field_.minimum || min_is_types)) {
      limit = fmt::format("above {}", short_number(*field_.maximum));
    } else {
      limit = fmt::format("outside [{}, {}]", short_number(*field_.minimum),
                          short_number(*field_.maximum));
    }
    context_.error(node.mark, fmt::format("{} = {} is {}", subject(), shown, limit));
    return false;
  }

  std::optional<Value> string(const Node& node, const std::string& text, Type type) {
    if (text.find('\0') != std::string::npos) {
      context_.error(node.mark, fmt::format("{} contains a zero byte", subject()));
      return std::nullopt;
    }
    if (!field_.allows(text)) {
      std::string all;
      for (const std::string& choice : field_.choices) {
        all += (all.empty() ? "\"" : ", \"") + choice + "\"";
      }
      std::vector<std::string> whole = field_.choices;
      std::erase_if(whole, [](const std::string& choice) { return choice.ends_with(":N"); });
      const std::string guess = nearest(text, whole);
      context_.error(
          node.mark,
          fmt::format("{} = {} is not one of {}{}", subject(), to_text(text), all,
                      guess.empty() ? "" : fmt::format("; did you mean \"{}\"?", guess)));
      return std::nullopt;
    }
    if (type == Type::path || field_.input_path) return path(node, text);
    return text;
  }

  // Relative to the file that wrote it; keywords and URLs as they are.
  Value path(const Node& node, const std::string& text) const {
    const bool keyword =
        std::find(field_.keywords.begin(), field_.keywords.end(), text) != field_.keywords.end();
    const bool url = field_.input_path && text.find("://") != std::string::npos;
    if (text.empty() || keyword || url || node.mark.source < 0) return text;
    const fs::path& folder = context_.sources[static_cast<std::size_t>(node.mark.source)].folder;
    const fs::path whole = folder / text;
    if (text.find("..") == std::string::npos) return whole.lexically_normal().string();
    // Behind a symbolic link `..` is not the folder that the text shows.
    std::error_code ec;
    const fs::path real = fs::weakly_canonical(whole, ec);
    return (ec ? whole.lexically_normal() : real).string();
  }

  std::optional<Value> from_environment(const Node& node) {
    const Node& name = node.find("env")->value;
    if (!field_.secret) {
      context_.error(node.mark, fmt::format("{} cannot come from the environment: only secrets can",
                                            subject()));
      return std::nullopt;
    }
    if (node.entries.size() != 1 || !name.is_string() || name.text.empty()) {
      context_.error(node.mark, fmt::format("{} must be {{ env = \"NAME\" }}", subject()));
      return std::nullopt;
    }
    const char* value = std::getenv(name.text.c_str());
    if (value == nullptr) {
      context_.error(name.mark,
                     fmt::format("{} comes from the environment variable {}, which is not set",
                                 subject(), name.text));
      return std::nullopt;
    }
    return string(name, value, field_.type);
  }

  std::optional<Value> groups(const Node& node) {
    if (!node.is_table()) return wrong_type(node, Type::groups);
    Groups out;
    bool good = true;
    for (const Entry& entry : node.entries) {
      std::vector<std::string> members;
      bool strings = entry.value.is_array();
      for (const Node& item : entry.value.items) {
        strings = strings && item.is_string();
        if (strings) members.push_back(item.text);
      }
      if (!strings) {
        context_.error(entry.value.mark, fmt::format("'{}.{}' must be an array of strings, not {}",
                                                     label_, entry.key, describe(entry.value)));
        good = false;
      }
      out.emplace_back(entry.key, std::move(members));
    }
    if (!good) return std::nullopt;
    return out;
  }

  Context& context_;
  const FieldInfo& field_;
  std::string_view label_;
  int element_ = 0;  // Within an array, from 1.
};

}  // namespace

std::string short_number(double value) {
  return fmt::format("{}", value);
}

std::optional<Value> coerce(Context& context, const Node& node, const FieldInfo& field,
                            std::string_view label) {
  std::optional<Value> value = Coercion(context, field, label).value(node);
  const bool is_text_itself = !node.is_table() && !node.is_array();
  if (field.secret && is_text_itself) context.redact(node.mark, node.text);
  return value;
}

}  // namespace cifarpipe::config
