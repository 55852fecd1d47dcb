// Reading files: `extends`, and the merge of what it brings.
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>

#include "pipeline/config_tree.hpp"

namespace cifarpipe::config {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kLargestFile = 16 << 20;

std::string read_problem(const fs::path& path, std::string& text) {
  std::error_code ec;
  const fs::file_status status = fs::status(path, ec);
  if (!fs::exists(status)) {
    std::vector<std::string> there;
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
      if (it->path().extension() == ".toml") there.push_back(it->path().filename().string());
    }
    const std::string guess = nearest(path.filename().string(), there);
    if (guess.empty()) return "no such file";
    return fmt::format("no such file; did you mean '{}'?", (path.parent_path() / guess).string());
  }
  if (fs::is_directory(status)) return "is a folder, not a pipeline file";
  const auto cannot_be_read = [] {
    return fmt::format("cannot be read: {}", errno != 0 ? std::strerror(errno) : "it broke off");
  };
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) return cannot_be_read();
  if (fs::is_regular_file(status) && fs::file_size(path, ec) > kLargestFile) {
    return "is larger than 16 MB, which no pipeline file is";
  }
  text.assign(std::istreambuf_iterator<char>(in), {});
  if (in.bad()) return cannot_be_read();
  return "";
}

// `[matrix]` may write a path as one quoted key; merging by key needs one form.
void split_dotted_keys(Node& table) {
  std::vector<Entry> entries = std::move(table.entries);
  table.entries.clear();
  for (Entry& entry : entries) {
    Node* into = &table;
    std::string_view rest = entry.key;
    for (std::size_t dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
      const std::string head(rest.substr(0, dot));
      Entry* next = into->find(head);
      if (next == nullptr || !next->value.is_table()) {
        Node inner;
        inner.mark = entry.mark;
        into->entries.push_back({head, entry.mark, std::move(inner)});
        next = &into->entries.back();
      }
      into = &next->value;
      rest.remove_prefix(dot + 1);
    }
    into->entries.push_back({std::string(rest), entry.mark, std::move(entry.value)});
  }
}

class Reader {
 public:
  explicit Reader(Context& context) : context_(context) {}

  bool read(const std::string& file, const Mark& from, Node& out) {
    std::string text;
    const std::string problem = read_problem(file, text);
    if (!problem.empty()) {
      if (from.source < 0) {
        context_.diagnostics.error(Place{file, 0, 0}, problem);
      } else {
        context_.error(from, fmt::format("cannot extend '{}': {}", file, problem));
      }
      return false;
    }
    std::error_code ec;
    const fs::path identity = fs::weakly_canonical(file, ec);
    chain_.emplace_back(identity, file);
    const int source =
        context_.add_source(file, fs::absolute(file, ec).parent_path(), std::move(text));
    if (!parse_toml(context_, source, out)) return false;
    if (Entry* matrix = out.find("matrix"); matrix != nullptr && matrix->value.is_table()) {
      split_dotted_keys(matrix->value);
    }
    const Entry* extends = out.find("extends");
    if (extends == nullptr) return true;
    Node base;
    if (!read_base(file, *extends, base)) return false;
    out.erase("extends");
    merge(context_, base, std::move(out));
    out = std::move(base);
    return true;
  }

 private:
  bool read_base(const std::string& file, const Entry& extends, Node& base) {
    const Node& value = extends.value;
    if (!value.is_string() || value.text.empty() || fs::path(value.text).is_absolute()) {
      context_.error(value.mark,
                     fmt::format("'extends' must be one relative path, not {}", describe(value)));
      return false;
    }
    const fs::path path = (fs::path(file).parent_path() / value.text).lexically_normal();
    std::error_code ec;
    const fs::path identity = fs::weakly_canonical(path, ec);
    for (std::size_t i = 0; i < chain_.size(); ++i) {
      if (chain_[i].first != identity) continue;
      std::string way;
      for (std::size_t k = i; k < chain_.size(); ++k) way += chain_[k].second + " → ";
      context_.error(value.mark,
                     fmt::format("'extends' goes in a circle: {}{}", way, chain_[i].second));
      return false;
    }
    return read(path.string(), value.mark, base);
  }

  Context& context_;
  std::vector<std::pair<fs::path, std::string>> chain_;
};

using Path = std::vector<std::string_view>;

// Below `[stages.X.params]` stand values, tables or not: they replace as a whole.
bool holds_values(const Path& path) {
  return path.size() == 3 && path[0] == "stages" && path[2] == "params";
}

void drop_inherited_params(Node& base, const Node& over) {
  const Entry* before = base.find("uses");
  const Entry* after = over.find("uses");
  if (before == nullptr || after == nullptr || !before->value.is_string()) return;
  if (after->value.is_string() && after->value.text != before->value.text) base.erase("params");
}

// NOLINTNEXTLINE(misc-no-recursion): as deep as the file's tables, which the parser bounds.
void merge_table(Context& context, Node& base, Node&& over, Path& path) {
  if (path.size() == 2 && path[0] == "stages") drop_inherited_params(base, over);
  for (Entry& entry : over.entries) {
    Entry* old = base.find(entry.key);
    if (old == nullptr) {
      base.entries.push_back(std::move(entry));
    } else if (!holds_values(path) && old->value.is_table() && entry.value.is_table()) {
      path.push_back(old->key);
      merge_table(context, old->value, std::move(entry.value), path);
      path.pop_back();
    } else if (!holds_values(path) && old->value.is_table() != entry.value.is_table()) {
      context.error(entry.mark, fmt::format("'{}' is {} here but {} in {}", entry.key,
                                            entry.value.is_table() ? "a table" : "a value",
                                            old->value.is_table() ? "a table" : "a value",
                                            context.place(old->mark).str()));
    } else {
      old->mark = entry.mark;
      old->value = std::move(entry.value);
    }
  }
}

}  // namespace

void merge(Context& context, Node& base, Node&& over) {
  Path path;
  merge_table(context, base, std::move(over), path);
}

bool read_with_bases(Context& context, const std::string& file, Node& out) {
  return Reader(context).read(file, Mark{}, out);
}

}  // namespace cifarpipe::config
