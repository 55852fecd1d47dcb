// The only file that knows toml++. Its tables are sorted by key; the order that a person sees
// comes from the places.
#include <algorithm>
#include <tuple>

#include "pipeline/config_tree.hpp"
#include "pipeline/tomlplusplus.hpp"

namespace cifarpipe::config {
namespace {

// The parser recurses for each part of a dotted key without a limit of its own.
constexpr int kMostDots = 500;

Mark mark_of(const toml::source_region& region, int source) {
  Mark mark;
  mark.source = source;
  mark.line = static_cast<int>(region.begin.line);
  mark.column = static_cast<int>(region.begin.column);
  if (region.end.line == region.begin.line && region.end.column > region.begin.column) {
    mark.length = static_cast<int>(region.end.column - region.begin.column);
  }
  return mark;
}

Node convert(const toml::node& node, int source) {
  Node out;
  out.mark = mark_of(node.source(), source);
  switch (node.type()) {
    case toml::node_type::boolean:
      out.kind = Node::Kind::boolean;
      out.boolean = node.as_boolean()->get();
      break;
    case toml::node_type::integer:
      out.kind = Node::Kind::integer;
      out.integer = node.as_integer()->get();
      break;
    case toml::node_type::floating_point:
      out.kind = Node::Kind::number;
      out.number = node.as_floating_point()->get();
      break;
    case toml::node_type::string:
      out.kind = Node::Kind::string;
      out.text = node.as_string()->get();
      break;
    case toml::node_type::array:
      out.kind = Node::Kind::array;
      for (const toml::node& item : *node.as_array()) out.items.push_back(convert(item, source));
      break;
    case toml::node_type::table:
      out.kind = Node::Kind::table;
      for (const auto& [key, value] : *node.as_table()) {
        out.entries.push_back(
            {std::string(key.str()), mark_of(key.source(), source), convert(value, source)});
      }
      std::stable_sort(out.entries.begin(), out.entries.end(), [](const auto& a, const auto& b) {
        return std::tie(a.mark.line, a.mark.column) < std::tie(b.mark.line, b.mark.column);
      });
      break;
    default:
      out.kind = Node::Kind::date;
      break;
  }
  return out;
}

// The line on which a key has too many parts, or 0. Comments may have as many points as they like.
int too_deep(std::string_view text) {
  int line = 1, dots = 0;
  bool blank = true, comment = false;
  for (const char c : text) {
    if (c == '\n') {
      ++line;
      dots = 0;
      blank = true;
      comment = false;
    } else if (c == '=' || c == ',') {
      dots = 0;
    } else if (c == '#' && blank) {
      comment = true;
    } else if (c == '.' && !comment && ++dots > kMostDots) {
      return line;
    }
    if (c != ' ' && c != '\t' && c != '\n') blank = false;
  }
  return 0;
}

// The parser's words, but for what people meet most often.
std::string sentence(const toml::parse_error& error) {
  const std::string_view text = error.description();
  const auto says = [text](std::string_view part) {
    return text.find(part) != std::string_view::npos;
  };
  if (says("could not determine value type")) return "this is no value; a text needs quotes";
  if (says("expected value, saw")) return "a value is missing";
  if (says("control characters")) return "a text must end on the line where it begins";
  if (says("invalid utf-8") || says("invalid UTF-8")) return "this is not UTF-8";
  if (says("end-of-file")) return "the file ends in the middle of something";
  // "Error while parsing key-value pair: cannot redefine …" → "cannot redefine …".
  const std::size_t colon = text.find(": ");
  return std::string(text.starts_with("Error while parsing ") && colon != std::string_view::npos
                         ? text.substr(colon + 2)
                         : text);
}

}  // namespace

bool parse_toml(Context& context, int source, Node& out) {
  const std::string& text = context.sources[static_cast<std::size_t>(source)].text;
  if (const int line = too_deep(text); line > 0) {
    context.error({source, line, 1, 1}, "a key with more than 500 parts");
    return false;
  }
  try {
    out = convert(toml::parse(std::string_view(text), std::string_view("-")), source);
    return true;
  } catch (const toml::parse_error& error) {
    Mark mark = mark_of(error.source(), source);
    context.error(mark, "not valid TOML: " + sentence(error));
  } catch (const std::exception& error) {
    context.error({source, 1, 1, 1}, std::string("not valid TOML: ") + error.what());
  }
  return false;
}

namespace {

void shift(Node& node, const Mark& mark) {
  const auto move = [&mark](Mark& m) {
    m.source = mark.source;
    // The value was parsed behind "v=" on a line of its own. A --set argument is one line.
    m.column = m.line == 1 ? m.column - 3 + mark.column : mark.column;
    m.line = mark.line;
  };
  move(node.mark);
  for (Node& item : node.items) shift(item, mark);
  for (Entry& entry : node.entries) {
    move(entry.mark);
    shift(entry.value, mark);
  }
}

}  // namespace

bool parse_toml_value(std::string_view text, const Mark& mark, Node& out) {
  if (too_deep(text) > 0) return false;
  try {
    const std::string line = "v=" + std::string(text);
    const toml::table table = toml::parse(std::string_view(line), std::string_view("-"));
    const toml::node* value = table.get("v");
    if (value == nullptr || table.size() != 1) return false;
    out = convert(*value, mark.source);
    shift(out, mark);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace cifarpipe::config
