// From the draft and the matrix to cells, and the checks that need whole cells. A cell is a copy
// of the base with a few values replaced; nothing is checked again that no cell changes.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "pipeline/config_matrix.hpp"

namespace cifarpipe::config {
namespace {

constexpr std::size_t kMostCells = 100'000;

// Names join values with ',' and '='; a string that has such a character is quoted, so that two
// cells never share a name.
std::string name_part(const Value& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return to_text(value);
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("._-+/:@").find(c) != std::string_view::npos;
  };
  const bool simple = !text->empty() && std::all_of(text->begin(), text->end(), plain);
  return simple ? *text : to_text(*text);
}

class Spreader {
 public:
  Spreader(Context& context, const Draft& draft, const Matrix& matrix, Configuration& out)
      : context_(context), draft_(draft), matrix_(matrix), out_(out) {}

  void spread() {
    build_base();
    if (!matrix_.present) {
      out_.cells.push_back(base_);
    } else {
      collect_swept();
      if (!matrix_.axes.empty() && !product()) return;
      for (const Combination& include : matrix_.includes) add_include(include);
      if (out_.cells.empty()) {
        context_.error(matrix_.excludes.empty() ? Mark{} : matrix_.excludes.front().mark,
                       "every cell of the matrix is excluded");
      }
    }
    check_cells();
  }

 private:
  void build_base() {
    base_.seed = static_cast<std::uint64_t>(std::get<std::int64_t>(draft_.pipeline.get("seed")));
    base_.repeat =
        static_cast<std::uint64_t>(std::get<std::int64_t>(draft_.pipeline.get("repeat")));
    base_.threads = static_cast<int>(std::get<std::int64_t>(draft_.pipeline.get("threads")));
    for (const StageDraft& stage : draft_.stages) {
      StageInstance instance;
      instance.name = stage.name;
      instance.type = stage.type;
      instance.inputs = stage.wired;
      instance.experiment = stage.experiment;
      instance.place = context_.place(stage.mark);
      const std::size_t count = stage.params.values.size();
      for (std::size_t i = 0; i < count; ++i) {
        const FieldInfo& field = stage.params.schema->fields[i];
        instance.params.emplace_back(field.name, stage.params.values[i].value_or(Value{}));
        const Mark& mark = stage.params.marks[i];
        if (mark.source >= 0) instance.origins.emplace(field.name, context_.place(mark));
      }
      base_.stages.push_back(std::move(instance));
    }
  }

  void collect_swept() {
    const auto add = [this](const Target& target) {
      if (std::find(swept_.begin(), swept_.end(), target) == swept_.end()) swept_.push_back(target);
    };
    for (const Axis& axis : matrix_.axes) add(axis.target);
    for (const Combination& include : matrix_.includes) {
      for (const Assigned& a : include.values) add(a.target);
    }
  }

  bool product() {
    std::size_t count = 1;
    for (const Axis& axis : matrix_.axes) {
      if (axis.values.empty()) return false;  // All of them wrong, and reported.
      count = std::min(count * axis.values.size(), kMostCells + 1);
    }
    if (count > kMostCells) {
      context_.error(matrix_.axes.front().mark,
                     fmt::format("the matrix has more than {} cells", kMostCells));
      return false;
    }
    out_.cells.reserve(count + matrix_.includes.size());
    std::vector<std::size_t> at(matrix_.axes.size(), 0);
    std::vector<int> hits(matrix_.excludes.size(), 0);
    for (std::size_t n = 0; n < count; ++n) {
      if (!excluded(at, hits)) {
        std::vector<Assigned> values;
        for (std::size_t i = 0; i < at.size(); ++i) {
          const Axis& axis = matrix_.axes[i];
          values.push_back({axis.target, axis.values[at[i]], axis.mark});
        }
        add_cell(values, Mark{});
      }
      for (std::size_t i = at.size(); i-- > 0;) {  // The last axis runs fastest.
        if (++at[i] < matrix_.axes[i].values.size()) break;
        at[i] = 0;
      }
    }
    // A wrong value that was left out may be the one that an exclude is for.
    for (std::size_t i = 0; i < hits.size() && !context_.diagnostics.has_errors(); ++i) {
      if (hits[i] == 0) warn_idle_exclude(matrix_.excludes[i]);
    }
    return true;
  }

  bool excluded(const std::vector<std::size_t>& at, std::vector<int>& hits) const {
    bool out = false;
    for (std::size_t k = 0; k < matrix_.excludes.size(); ++k) {
      const auto& values = matrix_.excludes[k].values;
      const bool all = std::all_of(values.begin(), values.end(), [&](const Assigned& a) {
        for (std::size_t i = 0; i < at.size(); ++i) {
          const Axis& axis = matrix_.axes[i];
          if (axis.target == a.target) return axis.values[at[i]].value == a.choice.value;
        }
        return false;
      });
      if (all) {
        ++hits[k];
        out = true;
      }
    }
    return out;
  }

  void warn_idle_exclude(const Combination& exclude) {
    for (const Assigned& a : exclude.values) {
      for (const Axis& axis : matrix_.axes) {
        if (!(axis.target == a.target)) continue;
        std::vector<std::string> all;
        bool there = false;
        for (const Choice& choice : axis.values) {
          all.push_back(to_text(choice.value));
          there = there || choice.value == a.choice.value;
        }
        if (there) continue;
        context_.warning(a.choice.mark,
                         fmt::format("this exclude matches no cell: '{}' has the values {}",
                                     a.target.path, joined(all)));
        return;
      }
    }
    context_.warning(exclude.mark, "this exclude matches no cell");
  }

  void add_include(const Combination& include) { add_cell(include.values, include.mark); }

  void add_cell(const std::vector<Assigned>& values, const Mark& include) {
    std::string signature;
    for (const Target& target : swept_) {
      const auto given = std::find_if(values.begin(), values.end(),
                                      [&](const Assigned& a) { return a.target == target; });
      signature += given != values.end() ? to_text(given->choice.value) : base_text(target);
      signature += '\0';
    }
    Cell cell;
    std::string name;
    for (const Assigned& a : values) {
      name +=
          fmt::format("{}{}={}", name.empty() ? "" : ",", a.target.path, name_part(a.choice.value));
    }
    if (!seen_.insert(std::move(signature)).second) {
      context_.warning(include, fmt::format("the cell {} is there already; once is enough", name));
      return;
    }
    cell = base_;
    cell.name = std::move(name);
    for (const Assigned& a : values) {
      cell.assignment.emplace_back(a.target.path, a.choice.value);
      assign(cell, a);
    }
    out_.cells.push_back(std::move(cell));
  }

  std::string base_text(const Target& target) const {
    const Fields& fields = fields_of(target.stage);
    const auto& value = fields.values[static_cast<std::size_t>(target.field)];
    return value ? to_text(*value) : "?";
  }

  const Fields& fields_of(int stage) const {
    return stage < 0 ? draft_.pipeline : draft_.stages[static_cast<std::size_t>(stage)].params;
  }

  void assign(Cell& cell, const Assigned& a) const {
    const Place place = context_.place(a.choice.mark);
    const FieldInfo& field = field_of(draft_, a.target);
    if (a.target.stage >= 0) {
      StageInstance& stage = cell.stages[static_cast<std::size_t>(a.target.stage)];
      stage.params[static_cast<std::size_t>(a.target.field)].second = a.choice.value;
      stage.origins.insert_or_assign(field.name, place);
      return;
    }
    const std::int64_t value = std::get<std::int64_t>(a.choice.value);
    if (field.name == "seed") cell.seed = static_cast<std::uint64_t>(value);
    if (field.name == "repeat") cell.repeat = static_cast<std::uint64_t>(value);
    if (field.name == "threads") cell.threads = static_cast<int>(value);
    cell.origins.insert_or_assign(a.target.path, place);
  }

  void check_cells() {
    for (std::size_t s = 0; s < draft_.stages.size(); ++s) {
      const StageDraft& stage = draft_.stages[s];
      if (stage.type == nullptr) continue;
      const bool swept = std::any_of(swept_.begin(), swept_.end(), [&](const Target& t) {
        return t.stage == static_cast<int>(s);
      });
      // A stage that the matrix leaves alone is the same in each cell.
      const std::size_t cells =
          swept ? out_.cells.size() : std::min<std::size_t>(1, out_.cells.size());
      check_required(stage, s, cells);
      check_rules(stage, s, cells, swept);
    }
  }

  bool missing(const StageDraft& stage, std::size_t s, std::size_t field, const Cell& cell) const {
    if (stage.params.values[field] || stage.params.wrong[field]) return false;
    return !cell.stages[s].origins.contains(stage.params.schema->fields[field].name);
  }

  void check_required(const StageDraft& stage, std::size_t s, std::size_t cells) {
    for (std::size_t f = 0; f < stage.params.values.size(); ++f) {
      std::size_t count = 0;
      const Cell* first = nullptr;
      for (std::size_t c = 0; c < cells; ++c) {
        if (!missing(stage, s, f, out_.cells[c])) continue;
        if (count++ == 0) first = &out_.cells[c];
      }
      if (count == 0) continue;
      const FieldInfo& field = stage.params.schema->fields[f];
      context_.error(stage.mark,
                     fmt::format("stage '{}' ({}) needs a value for '{}' ({}){}", stage.name,
                                 plugin_of(*stage.type), field.name, type_name(field.type),
                                 which_cells(count, cells, *first)));
    }
  }

  static std::string which_cells(std::size_t count, std::size_t cells, const Cell& first) {
    if (first.name.empty() || count == cells) return "";
    if (count == 1) return fmt::format(" (in cell {})", first.name);
    return fmt::format(" (in {} of {} cells, first {})", count, cells, first.name);
  }

  void check_rules(const StageDraft& stage, std::size_t s, std::size_t cells, bool swept) {
    if (stage.params.any_wrong()) return;
    // What was written and is wrong is not missing.
    std::vector<std::string> inputs = stage.wrong_inputs;
    for (const auto& [port, source] : stage.wired) inputs.push_back(port);
    for (const Rule& rule : stage.params.schema->rules) {
      std::size_t count = 0;
      const Cell* first = nullptr;
      for (std::size_t c = 0; c < cells; ++c) {
        const Cell& cell = out_.cells[c];
        if (!violates(cell.stages[s].params, inputs, rule) || incomplete(stage, s, cell)) continue;
        if (count++ == 0) first = &cell;
      }
      if (count == 0) continue;
      const StageInstance& instance = first->stages[s];
      const auto [place, length] = place_of(rule, stage, s, *first);
      context_.diagnostics.error(place,
                                 filled_in(rule.message, instance.params) +
                                     (swept ? which_cells(count, cells, *first) : ""),
                                 length);
    }
  }

  bool incomplete(const StageDraft& stage, std::size_t s, const Cell& cell) const {
    for (std::size_t f = 0; f < stage.params.values.size(); ++f) {
      if (missing(stage, s, f, cell)) return true;
    }
    return false;
  }

  static bool violates(const ParamValues& values, const std::vector<std::string>& inputs,
                       const Rule& rule) {
    const auto holds = [&](const Condition& c) { return c.holds(values, inputs); };
    return std::all_of(rule.when.begin(), rule.when.end(), holds) &&
           !std::all_of(rule.require.begin(), rule.require.end(), holds);
  }

  // A rule speaks of several values; the first of them that somebody wrote is the one to look at.
  std::pair<Place, int> place_of(const Rule& rule, const StageDraft& stage, std::size_t s,
                                 const Cell& cell) const {
    std::vector<std::string> names;
    for (const auto* conditions : {&rule.require, &rule.when}) {
      for (const Condition& c : *conditions) {
        if (c.of != Condition::Of::wired) names.push_back(c.field);
        if (!c.other_field.empty()) names.push_back(c.other_field);
      }
    }
    for (const std::string& name : names) {
      const auto& origins = cell.stages[s].origins;
      const auto found = origins.find(name);
      if (found == origins.end()) continue;
      const int index = stage.params.index(name);
      const Mark& mark = stage.params.marks[static_cast<std::size_t>(index)];
      const bool written = mark.source >= 0 && context_.place(mark) == found->second;
      const Value* value = find_value(cell.stages[s].params, name);
      return {found->second, written ? mark.length : static_cast<int>(to_text(*value).size())};
    }
    return {context_.place(stage.mark), stage.mark.length};
  }

  static std::string filled_in(const std::string& message, const ParamValues& values) {
    std::string out;
    for (std::size_t at = 0; at < message.size();) {
      const std::size_t open = message.find('{', at);
      const std::size_t close = open == std::string::npos ? open : message.find('}', open);
      if (close == std::string::npos) return out + message.substr(at);
      const Value* value = find_value(values, message.substr(open + 1, close - open - 1));
      out += message.substr(at, open - at);
      out += value != nullptr ? to_text(*value) : message.substr(open, close - open + 1);
      at = close + 1;
    }
    return out;
  }

  Context& context_;
  const Draft& draft_;
  const Matrix& matrix_;
  Configuration& out_;
  Cell base_;
  std::vector<Target> swept_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

void spread(Context& context, const Node& tree, const Draft& draft, Configuration& out) {
  const Matrix matrix = read_matrix(context, tree, draft);
  out.has_matrix = matrix.present;
  Spreader(context, draft, matrix, out).spread();
}

}  // namespace cifarpipe::config
