// A TOML document as plain values that know their place and keep the file's order: what the
// configuration is read into, merged in and checked from. Internal to the configuration; one
// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/catalog.hpp"
#include "pipeline/diagnostics.hpp"

namespace cifarpipe::config {

/// A stretch of text in one of the context's sources. Columns count code points.
struct Mark {
  int source = -1;
  int line = 0;
  int column = 0;
  int length = 1;
};

struct Entry;

struct Node {
  enum class Kind { boolean, integer, number, string, date, array, table };
  Kind kind = Kind::table;
  bool boolean = false;
  std::int64_t integer = 0;
  double number = 0;
  std::string text;            // Of a string.
  std::vector<Node> items;     // Of an array.
  std::vector<Entry> entries;  // Of a table, in the order of the file.
  Mark mark;

  bool is_table() const { return kind == Kind::table; }
  bool is_array() const { return kind == Kind::array; }
  bool is_string() const { return kind == Kind::string; }
  const Entry* find(std::string_view key) const;
  Entry* find(std::string_view key);
  void erase(std::string_view key);
};

struct Entry {
  std::string key;
  Mark mark;  // Of the key.
  Node value;
};

Node string_node(std::string text, Mark mark);
/// "the string \"x\"", "the integer 3", "a table": for messages.
std::string describe(const Node& node);
/// As it would stand in a file.
std::string source_form(const Node& node);

/// What all steps of one load share.
class Context {
 public:
  Context(Diagnostics& diagnostics, const StageCatalog* catalog)
      : diagnostics(diagnostics), catalog(catalog) {}

  struct Source {
    std::string name;
    std::filesystem::path folder;  // Relative paths in it start here.
    std::string text;
  };

  int add_source(std::string name, std::filesystem::path folder, std::string text);
  Place place(const Mark& mark) const;
  void error(const Mark& mark, std::string message);
  void warning(const Mark& mark, std::string message);
  /// Covers the value at `mark` with stars, in messages and in what is kept of the file.
  void redact(const Mark& mark, std::string_view secret);
  /// The same for a part of a value, wherever it stands on the line of `mark`.
  void redact_part(const Mark& mark, std::string_view secret);

  Diagnostics& diagnostics;
  const StageCatalog* catalog;  // Null while only the plugin paths are looked for.
  std::vector<Source> sources;
};

/// Parses a whole file. A syntax error is reported and gives nothing.
bool parse_toml(Context& context, int source, Node& out);
/// Parses one value, as on the right of `=`; its places start at `mark`. Reports nothing.
bool parse_toml_value(std::string_view text, const Mark& mark, Node& out);

/// Reads `file` and what it extends, merged. False if something could not be read or parsed.
bool read_with_bases(Context& context, const std::string& file, Node& out);
/// `over` wins; `base` keeps its order.
void merge(Context& context, Node& base, Node&& over);

}  // namespace cifarpipe::config
