// What the steps between the merged tree and the cells hand on: the checked file, with values by
// schema field and every place still known. Internal to the configuration; one thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/config.hpp"
#include "pipeline/config_tree.hpp"

namespace cifarpipe::config {

/// Values of a table by the fields of its schema. A mark without source: not written.
struct Fields {
  const ParamSchema* schema = nullptr;
  std::vector<std::optional<Value>> values;  // Defaults filled in; nothing: missing or wrong.
  std::vector<Mark> marks;
  std::vector<bool> wrong;  // Written, and reported: say no more about it.

  int index(std::string_view name) const;
  const Value& get(std::string_view name) const;  // Its default where it was wrong.
  const Mark& mark(std::string_view name) const;
  bool any_wrong() const;
};

struct StageDraft {
  std::string name;
  Mark mark;
  Mark uses_mark;
  const StageType* type = nullptr;  // Null: unknown `uses`, already reported.
  Fields params;
  const Node* inputs = nullptr;
  std::string experiment;
  Mark experiment_mark;
  std::vector<std::pair<std::string, InputSource>> wired;
  std::vector<std::string> wrong_inputs;  // Written, and reported.
};

struct Draft {
  Fields pipeline, cache, plugins, tracking, mlflow;
  std::vector<StageDraft> stages;
  std::vector<std::string> disabled;
  bool all_types_known = true;
  int set_source = -1;  // The context's source that stands for the command line.

  const StageDraft* find(std::string_view name) const;
};

/// The tables of the file that no plugin describes.
const ParamSchema& pipeline_schema();
const ParamSchema& cache_schema();
const ParamSchema& plugins_schema();
const ParamSchema& tracking_schema();
const ParamSchema& mlflow_schema();
/// Words that cannot be the name of a stage.
const std::vector<std::string>& reserved_names();
bool is_root(std::string_view word);  // One of them that begins a path of --set.

/// Reports what cannot stand in a pipeline file, with suggestions, and takes it out of `tree`; a
/// near miss is renamed to what was meant.
void check_structure(Context& context, Node& tree);
/// Puts the --set arguments into `tree`.
void apply_sets(Context& context, const std::vector<SetArgument>& sets, Draft& draft, Node& tree);
/// Checks values against schemas. `tree` must outlive the draft.
void build_draft(Context& context, const Node& tree, Draft& draft);
/// Finds out where each input comes from.
void wire(Context& context, Draft& draft);
/// Spreads the matrix into cells, and applies the checks that need whole cells.
void spread(Context& context, const Node& tree, const Draft& draft, Configuration& out);

/// "; did you mean 'x'?", else `otherwise`.
std::string suggestion(std::string_view word, const std::vector<std::string>& candidates,
                       std::string otherwise = "");
std::string joined(const std::vector<std::string>& words);
/// "unknown parameter 'epocs' of stage 'train' (plugin train 1.0.0); did you mean 'epochs'?"
std::string unknown_parameter(const StageDraft& stage, std::string_view name);
std::vector<std::string> field_names(const ParamSchema& schema);
std::string plugin_of(const StageType& type);

}  // namespace cifarpipe::config
