#include "pipeline/config_tree.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/value.hpp"

namespace cifarpipe::config {

const Entry* Node::find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

Entry* Node::find(std::string_view key) {
  return const_cast<Entry*>(static_cast<const Node*>(this)->find(key));
}

void Node::erase(std::string_view key) {
  std::erase_if(entries, [key](const Entry& entry) { return entry.key == key; });
}

Node string_node(std::string text, Mark mark) {
  Node node;
  node.kind = Node::Kind::string;
  node.text = std::move(text);
  node.mark = mark;
  return node;
}

std::string source_form(const Node& node) {
  switch (node.kind) {
    case Node::Kind::boolean:
      return node.boolean ? "true" : "false";
    case Node::Kind::integer:
      return std::to_string(node.integer);
    case Node::Kind::number:
      return number_text(node.number);
    case Node::Kind::string:
      return to_text(node.text);
    case Node::Kind::date:
      return "a date";
    case Node::Kind::table:
      return "{ … }";
    case Node::Kind::array:
      break;
  }
  std::string out = "[";
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    if (i == 6) return out + ", …]";
    out += (i > 0 ? ", " : "") + source_form(node.items[i]);
  }
  return out + "]";
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::boolean:
      return "the boolean " + source_form(node);
    case Node::Kind::integer:
      return "the integer " + source_form(node);
    case Node::Kind::number:
      return "the number " + source_form(node);
    case Node::Kind::string:
      return "the string " + source_form(node);
    case Node::Kind::date:
      return "a date";
    case Node::Kind::array:
      return "an array";
    case Node::Kind::table:
      return "a table";
  }
  return "";
}

int Context::add_source(std::string name, std::filesystem::path folder, std::string text) {
  diagnostics.add_source(name, text);
  sources.push_back({std::move(name), std::move(folder), std::move(text)});
  return static_cast<int>(sources.size()) - 1;
}

Place Context::place(const Mark& mark) const {
  if (mark.source < 0) return {};
  return {sources[static_cast<std::size_t>(mark.source)].name, mark.line, mark.column};
}

void Context::error(const Mark& mark, std::string message) {
  diagnostics.error(place(mark), std::move(message), mark.length);
}

void Context::warning(const Mark& mark, std::string message) {
  diagnostics.warning(place(mark), std::move(message), mark.length);
}

namespace {

// Bytes, not code points: where `mark` begins in `text`.
std::size_t offset_of(const std::string& text, const Mark& mark) {
  std::size_t at = 0;
  for (int line = 1; line < mark.line && at != std::string::npos; ++line) {
    at = text.find('\n', at);
    if (at != std::string::npos) ++at;
  }
  if (at == std::string::npos) return text.size();
  if (mark.line == 1 && text.starts_with("\xef\xbb\xbf")) at += 3;
  const auto next = [&text](std::size_t i) {
    do ++i;
    while (i < text.size() && (static_cast<unsigned char>(text[i]) & 0xc0) == 0x80);
    return i;
  };
  for (int column = 1; column < mark.column && at < text.size(); ++column) at = next(at);
  return at;
}

void cover(std::string& text, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin; i < std::min(end, text.size()); ++i) {
    if (text[i] != '\n' && text[i] != '\r') text[i] = '*';
  }
}

}  // namespace

void Context::redact(const Mark& mark, std::string_view secret) {
  if (mark.source < 0) return;
  Source& source = sources[static_cast<std::size_t>(mark.source)];
  std::string& text = source.text;
  // The value as it is written, escapes and all; a multi-line string to its end.
  const std::size_t begin = offset_of(text, mark);
  Mark after = mark;
  after.column += mark.length;
  std::size_t end = std::min(offset_of(text, after), text.size());
  for (const std::string_view quotes : {"\"\"\"", "\'\'\'"}) {
    if (std::string_view(text).substr(std::min(begin, text.size())).starts_with(quotes)) {
      end = std::min(text.find(quotes, begin + 3), text.size());
    }
  }
  const bool quoted = begin < text.size() && (text[begin] == '"' || text[begin] == '\'');
  cover(text, quoted ? begin + 1 : begin, quoted && end > begin + 1 ? end - 1 : end);
  // And wherever else it stands in this file, unless it is too short to be told from other text.
  for (std::size_t at = text.find(secret); secret.size() >= 4 && at != std::string::npos;
       at = text.find(secret, at + secret.size())) {
    cover(text, at, at + secret.size());
  }
  diagnostics.add_source(source.name, source.text);
}

void Context::redact_part(const Mark& mark, std::string_view secret) {
  Source& source = sources[static_cast<std::size_t>(mark.source)];
  const std::size_t begin = offset_of(source.text, mark);
  const std::size_t at = source.text.find(secret, begin);
  if (at == std::string::npos) return redact(mark, secret);  // Written with escapes.
  cover(source.text, at, at + secret.size());
  diagnostics.add_source(source.name, source.text);
}

}  // namespace cifarpipe::config
