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
    case Node::Kind::boolean: return node.boolean ? "true" : "false";
    case Node::Kind::integer: return std::to_string(node.integer);
    case Node::Kind::number: return number_text(node.number);
    case Node::Kind::string: return to_text(node.text);
    case Node::Kind::date: return "a date";
    case Node::Kind::table: return "{ … }";
    case Node::Kind::array: break;
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
    case Node::Kind::boolean: return "the boolean " + source_form(node);
    case Node::Kind::integer: return "the integer " + source_form(node);
    case Node::Kind::number: return "the number " + source_form(node);
    case Node::Kind::string: return "the string " + source_form(node);
    case Node::Kind::date: return "a date";
    case Node::Kind::array: return "an array";
    case Node::Kind::table: return "a table";
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

void Context::redact(const Mark& mark, std::string_view secret) {
  if (mark.source < 0) return;
  Source& source = sources[static_cast<std::size_t>(mark.source)];
  // All of the line from the value's place on, and any other mention of it in this file: stars of
  // the same length, so that carets still point right.
  if (secret.size() < 4) return;  // Too short to be told from other text.
  for (std::size_t at = source.text.find(secret); at != std::string::npos;
       at = source.text.find(secret, at + secret.size())) {
    source.text.replace(at, secret.size(), secret.size(), '*');
  }
  diagnostics.add_source(source.name, source.text);
}

}  // namespace cifarpipe::config
