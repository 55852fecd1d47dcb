// Reading [matrix]: paths to targets, lists to checked values.
#include "pipeline/config_matrix.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "pipeline/config_coerce.hpp"

namespace cifarpipe::config {
namespace {

struct Leaf {
  std::vector<std::string> path;
  Mark mark;
  const Node* value = nullptr;
};

std::string dotted(const std::vector<std::string>& path) {
  std::string out;
  for (const std::string& part : path) out += (out.empty() ? "" : ".") + part;
  return out;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('.', begin), text.size());
    out.emplace_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

class MatrixReader {
 public:
  MatrixReader(Context& context, const Draft& draft) : context_(context), draft_(draft) {}

  Matrix read(const Node& table) {
    Matrix out;
    for (const Entry& entry : table.entries) {
      if (entry.key == "include") {
        out.includes = combinations(entry, "include");
      } else if (entry.key == "exclude") {
        out.excludes = combinations(entry, "exclude");
      } else if (!entry.value.is_table()) {
        not_a_path(entry, out);
      } else {
        std::vector<Leaf> leaves;
        flatten(entry.value, split(entry.key), entry.mark, leaves);
        for (const Leaf& leaf : leaves) read_axis(leaf, out);
      }
    }
    check_excludes(out);
    out.present = !out.axes.empty() || !out.includes.empty();
    return out;
  }

 private:
  // A value at the first level: a misspelt `exclude`, or a parameter without its stage.
  void not_a_path(const Entry& entry, Matrix& out) {
    const std::string guess = nearest(entry.key, {"include", "exclude"});
    if (!guess.empty()) {
      context_.error(entry.mark, fmt::format("unknown key '{}' in [matrix]; did you mean '{}'?",
                                             entry.key, guess));
      auto& list = guess == "include" ? out.includes : out.excludes;
      if (list.empty()) list = combinations(entry, guess);
      return;
    }
    std::string hint;
    for (const StageDraft& stage : draft_.stages) {
      if (stage.type == nullptr || stage.params.index(entry.key) < 0) continue;
      hint += (hint.empty() ? "; did you mean '" : " or '") + stage.name + "." + entry.key + "'";
    }
    context_.error(entry.mark,
                   fmt::format("'{}' in [matrix] is not the path of a value{}", entry.key,
                               hint.empty() ? ", such as train.lr" : hint + "?"));
  }

  // Tables are steps of a path until the path names a parameter; what stands there is a value,
  // table or not.
  static bool is_complete(const std::vector<std::string>& path) {
    return path.front() == "stages" ? path.size() >= 4 : path.size() >= 2;
  }

  // NOLINTNEXTLINE(misc-no-recursion): as deep as the longest path.
  static void flatten(const Node& node, const std::vector<std::string>& path, const Mark& mark,
                      std::vector<Leaf>& out) {
    if (!node.is_table() || is_complete(path)) {
      out.push_back({path, mark, &node});
      return;
    }
    for (const Entry& entry : node.entries) {
      std::vector<std::string> inner = path;
      for (std::string& part : split(entry.key)) inner.push_back(std::move(part));
      flatten(entry.value, inner, entry.mark, out);
    }
  }

  void read_axis(const Leaf& leaf, Matrix& out) {
    const std::optional<Target> target = resolve(leaf);
    if (!target) return;
    const FieldInfo& field = field_of(draft_, *target);
    if (!leaf.value->is_array()) {
      context_.error(
          leaf.value->mark,
          fmt::format(
              "'{}' in [matrix] must be a list of values, not {}{}", target->path,
              describe(*leaf.value),
              leaf.value->is_table() ? "" : fmt::format("; write [{}]", source_form(*leaf.value))));
      return;
    }
    if (leaf.value->items.empty()) {
      context_.error(
          leaf.value->mark,
          fmt::format("'{}' in [matrix] has no values: the list is empty", target->path));
      return;
    }
    Axis axis{*target, leaf.mark, {}};
    for (const Node& item : leaf.value->items) {
      const bool flat_list = !item.is_array() && field.type != Type::groups &&
                             type_name(field.type).starts_with("array");
      if (flat_list) {
        context_.error(item.mark, fmt::format("'{}' is an {}, and [matrix] takes a list of those: "
                                              "write [[…], […]]",
                                              target->path, type_name(field.type)));
        return;
      }
      std::optional<Value> value = coerce(context_, item, field, target->path);
      if (!value) continue;
      const auto same = [&](const Choice& c) { return c.value == *value; };
      if (std::any_of(axis.values.begin(), axis.values.end(), same)) {
        context_.warning(item.mark, fmt::format("'{}' lists {} twice; once is enough", target->path,
                                                to_text(*value)));
        continue;
      }
      axis.values.push_back({std::move(*value), item.mark});
    }
    if (refuse_set(*target, leaf, *leaf.value)) return;
    for (const Axis& other : out.axes) {
      if (other.target == *target) {
        context_.error(leaf.mark, fmt::format("'{}' stands in [matrix] twice (also at {})",
                                              target->path, context_.place(other.mark).str()));
        return;
      }
    }
    out.axes.push_back(std::move(axis));
  }

  // A value from the command line for something that the matrix decides would be lost silently.
  bool refuse_set(const Target& target, const Leaf& leaf, const Node& list) {
    const Fields& fields = target.stage < 0
                               ? draft_.pipeline
                               : draft_.stages[static_cast<std::size_t>(target.stage)].params;
    const Mark& mark = fields.marks[static_cast<std::size_t>(target.field)];
    if (draft_.set_source < 0 || mark.source != draft_.set_source) return false;
    context_.error(mark,
                   fmt::format("'{0}' is swept by the matrix ({1}); to change its values "
                               "write --set 'matrix.{0}={2}'",
                               target.path, context_.place(leaf.mark).str(), source_form(list)));
    return true;
  }

  std::optional<Target> resolve(const Leaf& leaf) {
    std::vector<std::string> path = leaf.path;
    if (path.front() == "pipeline") return resolve_pipeline(leaf);
    if (path.front() == "stages" && path.size() >= 4 && path[2] == "params") {
      path = {path.begin() + 1, path.end()};
      path.erase(path.begin() + 1);
    } else if (is_root(path.front())) {
      return refuse(leaf, fmt::format("'{}' cannot be in [matrix]: only parameters of stages and "
                                      "pipeline.seed, .repeat and .threads can",
                                      dotted(path)));
    }
    const StageDraft* stage = draft_.find(path.front());
    if (stage == nullptr) return unknown_stage(leaf, path.front());
    if (stage->type == nullptr) return std::nullopt;
    const std::string name = dotted({path.begin() + 1, path.end()});
    const int field = stage->params.index(name);
    if (field < 0) return refuse(leaf, unknown_parameter(*stage, name));
    Target target{static_cast<int>(stage - draft_.stages.data()), field, path.front() + "." + name};
    if (field_of(draft_, target).secret) {
      return refuse(leaf, fmt::format("'{}' is a secret and cannot be in [matrix]", target.path));
    }
    return target;
  }

  std::optional<Target> resolve_pipeline(const Leaf& leaf) {
    static const std::vector<std::string> sweepable = {"seed", "repeat", "threads"};
    const std::string name = dotted({leaf.path.begin() + 1, leaf.path.end()});
    if (std::find(sweepable.begin(), sweepable.end(), name) == sweepable.end()) {
      return refuse(leaf, fmt::format("'pipeline.{}' cannot be in [matrix]{}", name,
                                      suggestion(name, sweepable,
                                                 "; of [pipeline] only seed, repeat and threads "
                                                 "can")));
    }
    return Target{-1, draft_.pipeline.index(name), "pipeline." + name};
  }

  std::optional<Target> unknown_stage(const Leaf& leaf, const std::string& name) {
    const auto& off = draft_.disabled;
    if (std::find(off.begin(), off.end(), name) != off.end()) {
      return refuse(leaf, fmt::format("stage '{}' is disabled and cannot be in [matrix]", name));
    }
    std::vector<std::string> names;
    for (const StageDraft& stage : draft_.stages) names.push_back(stage.name);
    const std::string rest = "; stages of this file: " + joined(names);
    names.emplace_back("pipeline");
    return refuse(
        leaf, fmt::format("unknown stage '{}' in [matrix]{}", name, suggestion(name, names, rest)));
  }

  std::optional<Target> refuse(const Leaf& leaf, std::string message) {
    context_.error(leaf.mark, std::move(message));
    return std::nullopt;
  }

  std::vector<Combination> combinations(const Entry& entry, std::string_view word) {
    std::vector<const Node*> tables;
    if (entry.value.is_array()) {
      for (const Node& item : entry.value.items) tables.push_back(&item);
    } else {
      context_.error(entry.mark, fmt::format("there may be several: write [[matrix.{}]], with two "
                                             "brackets",
                                             word));
      tables.push_back(&entry.value);
    }
    std::vector<Combination> out;
    for (const Node* table : tables) {
      if (!table->is_table() || table->entries.empty()) {
        context_.error(table->mark,
                       fmt::format("a matrix.{} must be a table with values, such as train.lr = "
                                   "0.1",
                                   word));
        continue;
      }
      if (auto combination = read_combination(*table)) out.push_back(std::move(*combination));
    }
    return out;
  }

  std::optional<Combination> read_combination(const Node& table) {
    std::vector<Leaf> leaves;
    for (const Entry& entry : table.entries) {
      flatten(entry.value, split(entry.key), entry.mark, leaves);
    }
    Combination out{table.mark, {}};
    bool good = true;
    for (const Leaf& leaf : leaves) {
      if (leaf.path.size() < 2) {
        context_.error(leaf.mark, fmt::format("'{}' is not the path of a value, such as train.lr",
                                              dotted(leaf.path)));
        good = false;
        continue;
      }
      const std::optional<Target> target = resolve(leaf);
      const std::optional<Value> value =
          target ? coerce(context_, *leaf.value, field_of(draft_, *target), target->path)
                 : std::nullopt;
      if (value && !refuse_set(*target, leaf, *leaf.value)) {
        out.values.push_back({*target, {*value, leaf.value->mark}, leaf.mark});
      } else {
        good = false;
      }
    }
    return good ? std::optional(std::move(out)) : std::nullopt;
  }

  void check_excludes(const Matrix& matrix) {
    std::vector<std::string> swept;
    for (const Axis& axis : matrix.axes) swept.push_back(axis.target.path);
    for (const Combination& exclude : matrix.excludes) {
      for (const Assigned& a : exclude.values) {
        if (std::find(swept.begin(), swept.end(), a.target.path) != swept.end()) continue;
        const std::string rest = swept.empty() ? std::string() : "; it sweeps: " + joined(swept);
        context_.error(a.mark, fmt::format("the matrix does not sweep '{}'{}", a.target.path,
                                           suggestion(a.target.path, swept, rest)));
      }
    }
  }

  Context& context_;
  const Draft& draft_;
};

}  // namespace

const FieldInfo& field_of(const Draft& draft, const Target& target) {
  const ParamSchema& schema =
      target.stage < 0
          ? pipeline_schema()
          : draft.stages[static_cast<std::size_t>(target.stage)].type->description.params;
  return schema.fields[static_cast<std::size_t>(target.field)];
}

Matrix read_matrix(Context& context, const Node& tree, const Draft& draft) {
  const Entry* entry = tree.find("matrix");
  if (entry == nullptr || !entry->value.is_table()) return {};
  return MatrixReader(context, draft).read(entry->value);
}

}  // namespace cifarpipe::config
