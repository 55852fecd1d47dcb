// --set PATH=VALUE: a layer above the file, with places of its own.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "pipeline/config_draft.hpp"

namespace cifarpipe::config {
namespace {

int code_points_in(std::string_view text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

constexpr std::ptrdiff_t kLongestPath = 100;  // In parts; each becomes a table.

struct Segment {
  std::string text;
  Mark mark;
};

struct Assignment {
  std::vector<Segment> path;  // From the root of the tree.
  std::string value;
  Mark value_mark;
};

class Sets {
 public:
  Sets(Context& context, Draft& draft, Node& tree)
      : context_(context), draft_(draft), tree_(tree) {}

  void apply(const std::vector<SetArgument>& sets) {
    std::string lines;
    for (const SetArgument& set : sets) {
      for (int k = static_cast<int>(std::count(lines.begin(), lines.end(), '\n')) + 1;
           k < set.number; ++k) {
        lines += '\n';
      }
      std::string line = set.text;
      std::replace(line.begin(), line.end(), '\n', ' ');
      lines += line + '\n';
    }
    std::error_code ec;
    draft_.set_source =
        context_.add_source("--set", std::filesystem::current_path(ec), std::move(lines));
    // Which stage an instance uses decides how its parameters are read, so that comes first.
    std::vector<Assignment> params;
    for (const SetArgument& set : sets) {
      std::optional<Assignment> assignment = split(set);
      if (!assignment) continue;
      if (is_param(*assignment)) {
        params.push_back(std::move(*assignment));
      } else {
        put(*assignment, structural_value(*assignment));
      }
    }
    for (const Assignment& assignment : params) put(assignment, param_value(assignment));
  }

 private:
  static bool is_param(const Assignment& a) {
    return a.path.size() == 4 && a.path[0].text == "stages" && a.path[2].text == "params";
  }

  Mark mark(const SetArgument& set, std::size_t begin, std::size_t length) const {
    const std::string_view text = set.text;
    return {draft_.set_source, set.number, code_points_in(text.substr(0, begin)) + 1,
            std::max(1, code_points_in(text.substr(begin, length)))};
  }

  std::optional<Assignment> split(const SetArgument& set) {
    const std::size_t equals = set.text.find('=');
    if (equals == std::string::npos || equals == 0) {
      context_.error(
          mark(set, 0, set.text.size()),
          fmt::format("--set takes PATH=VALUE, such as train.lr=0.01, and not '{}'", set.text));
      return std::nullopt;
    }
    if (std::count(set.text.begin(), set.text.begin() + static_cast<std::ptrdiff_t>(equals), '.') >
        kLongestPath) {
      context_.error(mark(set, 0, 1), "this path is too long");
      return std::nullopt;
    }
    Assignment out;
    for (std::size_t begin = 0; begin <= equals;) {
      const std::size_t end = std::min(set.text.find('.', begin), equals);
      out.path.push_back({set.text.substr(begin, end - begin), mark(set, begin, end - begin)});
      begin = end + 1;
    }
    out.value = set.text.substr(equals + 1);
    out.value_mark = mark(set, equals + 1, out.value.size());
    return whole_path(std::move(out));
  }

  std::vector<std::string> stage_names() const {
    std::vector<std::string> names;
    const Entry* stages = tree_.find("stages");
    for (std::size_t i = 0; stages != nullptr && i < stages->value.entries.size(); ++i) {
      names.push_back(stages->value.entries[i].key);
    }
    return names;
  }

  std::string uses_of(std::string_view stage) const {
    const Entry* stages = tree_.find("stages");
    const Entry* entry = stages != nullptr ? stages->value.find(stage) : nullptr;
    const Entry* uses = entry != nullptr ? entry->value.find("uses") : nullptr;
    return uses != nullptr && uses->value.is_string() ? uses->value.text : std::string(stage);
  }

  // STAGE.PARAM is short for stages.STAGE.params.PARAM.
  std::optional<Assignment> whole_path(Assignment a) {
    const Segment& first = a.path.front();
    if (first.text == "extends" || first.text == "include" || first.text == "exclude" ||
        first.text == "zip" || first.text == "where" || first.text == "sweep") {
      return refuse(first, fmt::format("'{}' cannot be set from the command line", first.text));
    }
    if (first.text == "plugins") {
      return refuse(first, "folders with plugins are given by --plugin-path");
    }
    if (is_root(first.text)) return a.path.size() > 1 ? std::optional(a) : too_short(a);
    const std::vector<std::string> names = stage_names();
    if (std::find(names.begin(), names.end(), first.text) == names.end()) {
      if (a.path.size() == 1) return too_short(a);
      std::vector<std::string> candidates = names;
      candidates.insert(candidates.end(), {"pipeline", "tracking", "cache", "stages", "matrix"});
      return refuse(first, fmt::format("unknown stage '{}'{}", first.text,
                                       suggestion(first.text, candidates,
                                                  "; stages of this file: " + joined(names))));
    }
    if (a.path.size() == 1) return too_short(a);
    std::vector<Segment> path = {{"stages", first.mark}, first, {"params", first.mark}};
    Segment param = a.path[1];
    for (std::size_t i = 2; i < a.path.size(); ++i) {
      param.text += "." + a.path[i].text;
      param.mark.length += 1 + a.path[i].mark.length;
    }
    path.push_back(std::move(param));
    a.path = std::move(path);
    return a;
  }

  std::optional<Assignment> refuse(const Segment& at, std::string message) {
    context_.error(at.mark, std::move(message));
    return std::nullopt;
  }

  std::optional<Assignment> too_short(const Assignment& a) {
    const std::string& word = a.path.front().text;
    std::string hint;
    for (const std::string& stage : stage_names()) {
      const StageType* type = context_.catalog->find(uses_of(stage));
      if (type == nullptr || type->description.params.find(word) == nullptr) continue;
      hint += (hint.empty() ? "; did you mean '" : " or '") + stage + "." + word + "'";
    }
    return refuse(a.path.front(), fmt::format("'{}' is not the path of a value{}", word,
                                              hint.empty() ? ", such as train.lr" : hint + "?"));
  }

  Node literal(const Assignment& a) const { return string_node(a.value, a.value_mark); }

  Node toml(const Assignment& a) const {
    Node node;
    return parse_toml_value(a.value, a.value_mark, node) ? node : literal(a);
  }

  /// A text needs no quotes: those around it, which people copy from files, are not part of it.
  Node plain_text(const Assignment& a) const {
    const std::string& v = a.value;
    const bool quoted =
        v.size() >= 2 && (v[0] == '"' || v[0] == '\'') && v.find(v[0], 1) == v.size() - 1;
    return quoted ? string_node(v.substr(1, v.size() - 2), a.value_mark) : literal(a);
  }

  Node structural_value(const Assignment& a) const {
    const std::string& root = a.path[0].text;
    const std::string& last = a.path.back().text;
    const FieldInfo* of_mlflow =
        root == "tracking" && a.path.size() == 3 ? mlflow_schema().find(last) : nullptr;
    const bool text =
        root == "cache" || (of_mlflow != nullptr && of_mlflow->type == Type::string) ||
        (root == "pipeline" && (last == "name" || last == "description")) ||
        (root == "stages" && a.path.size() == 3 && (last == "uses" || last == "experiment")) ||
        (root == "stages" && a.path.size() == 4 && a.path[2].text == "inputs");
    return text ? plain_text(a) : toml(a);
  }

  Node param_value(const Assignment& a) const {
    const StageType* type = context_.catalog->find(uses_of(a.path[1].text));
    const FieldInfo* field =
        type != nullptr ? type->description.params.find(a.path[3].text) : nullptr;
    if (field == nullptr) return toml(a);
    const bool text = field->type == Type::string || field->type == Type::path;
    if (!text) return toml(a);
    if (!field->secret) return plain_text(a);
    return a.value.starts_with("{") ? toml(a) : literal(a);
  }

  void put(const Assignment& a, Node value) {
    Node layer;
    layer.mark = a.path.front().mark;
    Node* into = &layer;
    for (std::size_t i = 0; i + 1 < a.path.size(); ++i) {
      Node inner;
      inner.mark = a.path[i].mark;
      into->entries.push_back({a.path[i].text, a.path[i].mark, std::move(inner)});
      into = &into->entries.back().value;
    }
    into->entries.push_back({a.path.back().text, a.path.back().mark, std::move(value)});
    merge(context_, tree_, std::move(layer));
  }

  Context& context_;
  Draft& draft_;
  Node& tree_;
};

}  // namespace

void apply_sets(Context& context, const std::vector<SetArgument>& sets, Draft& draft, Node& tree) {
  if (!sets.empty()) Sets(context, draft, tree).apply(sets);
}

}  // namespace cifarpipe::config
