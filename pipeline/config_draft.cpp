// Values against schemas: what needs neither the matrix nor the wiring.
#include "pipeline/config_draft.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/config_coerce.hpp"

namespace cifarpipe::config {
namespace {

const Node* table_in(const Node& tree, std::string_view key) {
  const Entry* entry = tree.find(key);
  return entry != nullptr && entry->value.is_table() ? &entry->value : nullptr;
}

Fields defaults_of(const ParamSchema& schema) {
  Fields fields;
  fields.schema = &schema;
  for (const FieldInfo& field : schema.fields) {
    if (field.required) {
      fields.values.emplace_back();
    } else {
      fields.values.emplace_back(field.default_value);
    }
  }
  fields.marks.resize(schema.fields.size());
  fields.wrong.resize(schema.fields.size());
  return fields;
}

void fill(Context& context, Fields& fields, std::size_t index, const Entry& entry) {
  const FieldInfo& field = fields.schema->fields[index];
  fields.marks[index] = entry.value.mark;
  fields.values[index] = coerce(context, entry.value, field, field.name);
  if (!fields.values[index]) fields.wrong[index] = true;
}

Fields structural(Context& context, const Node* table, const ParamSchema& schema) {
  Fields fields = defaults_of(schema);
  if (table == nullptr) return fields;
  for (const Entry& entry : table->entries) {
    const int index = fields.index(entry.key);
    if (index >= 0) fill(context, fields, static_cast<std::size_t>(index), entry);
  }
  return fields;
}

class StageReader {
 public:
  StageReader(Context& context, Draft& draft) : context_(context), draft_(draft) {}

  void read(const Entry& entry) {
    if (!enabled(entry)) {
      draft_.disabled.push_back(entry.key);
      return;
    }
    StageDraft stage;
    stage.name = entry.key;
    stage.mark = entry.mark;
    stage.type = type_of(entry);
    if (const Entry* uses = entry.value.find("uses")) stage.uses_mark = uses->value.mark;
    if (stage.type == nullptr) draft_.all_types_known = false;
    if (const Entry* inputs = entry.value.find("inputs")) stage.inputs = &inputs->value;
    read_experiment(entry, stage);
    if (stage.type != nullptr) {
      stage.params = defaults_of(stage.type->description.params);
      if (const Entry* params = entry.value.find("params")) read_params(params->value, stage);
    }
    draft_.stages.push_back(std::move(stage));
  }

 private:
  bool enabled(const Entry& stage) {
    const Entry* enabled = stage.value.find("enabled");
    if (enabled == nullptr) return true;
    if (enabled->value.kind == Node::Kind::boolean) return enabled->value.boolean;
    context_.error(enabled->value.mark,
                   fmt::format("'enabled' must be a boolean, not {}", describe(enabled->value)));
    return true;
  }

  const StageType* type_of(const Entry& stage) {
    const Entry* uses = stage.value.find("uses");
    const std::vector<std::string> names = context_.catalog->names();
    const std::string known =
        names.empty() ? "; no plugins were found" : "; known: " + joined(names);
    if (uses == nullptr) {
      const bool same = context_.catalog->find(stage.key) != nullptr;
      context_.error(stage.mark,
                     fmt::format("stage '{}' does not say which stage it uses{}", stage.key,
                                 same ? fmt::format("; write uses = \"{}\"", stage.key) : known));
      return same ? context_.catalog->find(stage.key) : nullptr;
    }
    if (!uses->value.is_string()) {
      context_.error(uses->value.mark, fmt::format("'uses' must be the name of a stage, not {}{}",
                                                   describe(uses->value), known));
      return nullptr;
    }
    const std::string& name = uses->value.text;
    if (const StageType* type = context_.catalog->find(name)) return type;
    if (const auto problem = context_.catalog->problem_for(name)) {
      context_.diagnostics.environment_error(
          context_.place(uses->value.mark),
          fmt::format("the plugin of stage '{}' cannot be used: {}", name, *problem),
          uses->value.mark.length);
      return nullptr;
    }
    const std::string guess = nearest(name, names);
    context_.error(uses->value.mark,
                   fmt::format("unknown stage '{}'{}", name, suggestion(name, names, known)));
    return guess.empty() ? nullptr : context_.catalog->find(guess);
  }

  void read_experiment(const Entry& entry, StageDraft& stage) {
    const Entry* experiment = entry.value.find("experiment");
    if (experiment == nullptr) return;
    if (!experiment->value.is_string() || experiment->value.text.empty()) {
      context_.error(experiment->value.mark,
                     fmt::format("'experiment' must be the name of an experiment, not {}",
                                 describe(experiment->value)));
      return;
    }
    stage.experiment = experiment->value.text;
    stage.experiment_mark = experiment->value.mark;
  }

  void read_params(const Node& params, StageDraft& stage) {
    const std::vector<std::string> names = field_names(*stage.params.schema);
    for (const Entry& entry : params.entries) {
      int index = stage.params.index(entry.key);
      if (index < 0) {
        context_.error(entry.mark, unknown_parameter(stage, entry.key));
        // What was probably meant is not missing, and its value is worth checking.
        index = stage.params.index(nearest(entry.key, names));
        if (index >= 0 && stage.params.schema->fields[static_cast<std::size_t>(index)].secret) {
          context_.redact(entry.value.mark, entry.value.text);
        }
        if (index < 0 || params.find(names[static_cast<std::size_t>(index)]) != nullptr) continue;
      }
      const FieldInfo& field = stage.params.schema->fields[static_cast<std::size_t>(index)];
      if (!field.deprecated.empty()) {
        context_.warning(entry.mark, fmt::format("parameter '{}' of stage '{}' is deprecated: {}",
                                                 field.name, stage.name, field.deprecated));
      }
      fill(context_, stage.params, static_cast<std::size_t>(index), entry);
    }
  }

  Context& context_;
  Draft& draft_;
};

void check_names(Context& context, Draft& draft) {
  const Value& name = draft.pipeline.get("name");
  const Mark& mark = draft.pipeline.mark("name");
  if (mark.source < 0 || draft.pipeline.wrong[0]) return;
  const std::string& text = std::get<std::string>(name);
  const bool control = std::any_of(text.begin(), text.end(),
                                   [](char c) { return static_cast<unsigned char>(c) < 0x20; });
  if (text.empty() || control) {
    context.error(mark, fmt::format("'name' = {} cannot name an experiment: {}", to_text(text),
                                    text.empty() ? "it is empty"
                                                 : "all characters may be in it but line breaks, "
                                                   "tabs and other control characters"));
  }
}

void check_registry(Context& context, const Draft& draft) {
  const Mark& mark = draft.mlflow.mark("alias");
  if (mark.source < 0 || draft.mlflow.any_wrong()) return;
  const std::string& alias = std::get<std::string>(draft.mlflow.get("alias"));
  if (alias.empty()) return;
  if (const std::string problem = alias_problem(alias); !problem.empty()) {
    context.error(mark, fmt::format("'alias' = {} {}", to_text(alias), problem));
  }
  if (!std::get<std::string>(draft.mlflow.get("register")).empty()) return;
  context.error(mark, "'alias' is for a registered model: set 'register' too");
}

// A user and a password in the address would end in every record; they come from MLflow's own
// environment variables.
void check_mlflow(Context& context, Draft& draft) {
  const Mark& mark = draft.mlflow.mark("uri");
  std::string uri = std::get<std::string>(draft.mlflow.get("uri"));
  if (mark.source < 0 || draft.mlflow.any_wrong() || uri.empty()) return;
  if (!uri.starts_with("http://") && !uri.starts_with("https://")) {
    // What stands before an '@' may be a password also where it is no address.
    const std::size_t at = uri.rfind('@');
    if (at != std::string::npos) {
      context.redact_part(mark, uri.substr(0, at));
      uri.replace(0, at, "***");
    }
    context.error(mark,
                  fmt::format("'uri' must start with http:// or https://, not {}", to_text(uri)));
    return;
  }
  const std::size_t begin = uri.find("://") + 3;
  const std::size_t at = uri.substr(0, uri.find_first_of("/?#", begin)).rfind('@');
  if (at == std::string::npos) return;
  context.redact_part(mark, uri.substr(begin, at - begin));
  context.warning(mark,
                  "the user and the password in 'uri' are left out; set MLFLOW_TRACKING_USERNAME "
                  "and MLFLOW_TRACKING_PASSWORD instead");
  uri.erase(begin, at + 1 - begin);
  draft.mlflow.values[0] = uri;
}

}  // namespace

int Fields::index(std::string_view name) const {
  for (std::size_t i = 0; schema != nullptr && i < schema->fields.size(); ++i) {
    if (schema->fields[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

const Value& Fields::get(std::string_view name) const {
  const auto i = static_cast<std::size_t>(index(name));
  return values[i] ? *values[i] : schema->fields[i].default_value;
}

const Mark& Fields::mark(std::string_view name) const {
  return marks[static_cast<std::size_t>(index(name))];
}

bool Fields::any_wrong() const {
  return std::find(wrong.begin(), wrong.end(), true) != wrong.end();
}

const StageDraft* Draft::find(std::string_view name) const {
  for (const StageDraft& stage : stages) {
    if (stage.name == name) return &stage;
  }
  return nullptr;
}

void build_draft(Context& context, const Node& tree, Draft& draft) {
  draft.pipeline = structural(context, table_in(tree, "pipeline"), pipeline_schema());
  draft.cache = structural(context, table_in(tree, "cache"), cache_schema());
  draft.plugins = structural(context, table_in(tree, "plugins"), plugins_schema());
  const Node* tracking = table_in(tree, "tracking");
  draft.tracking = structural(context, tracking, tracking_schema());
  const Node* mlflow = tracking != nullptr ? table_in(*tracking, "mlflow") : nullptr;
  draft.mlflow = structural(context, mlflow, mlflow_schema());
  check_names(context, draft);
  check_mlflow(context, draft);
  check_registry(context, draft);
  if (const Node* stages = table_in(tree, "stages")) {
    StageReader reader(context, draft);
    for (const Entry& entry : stages->entries) reader.read(entry);
  }
  if (draft.stages.empty()) {
    const bool off = !draft.disabled.empty();
    context.diagnostics.error(
        Place{context.sources.front().name, 0, 0},
        off ? "all stages are disabled: nothing to run"
            : "the file has no stages: write [stages.NAME] with uses = \"…\"");
  }
}

}  // namespace cifarpipe::config

namespace cifarpipe {

std::string alias_problem(std::string_view alias) {
  if (alias.empty()) return "is empty";
  constexpr std::string_view kDigits = "0123456789";
  const std::string_view rest = alias.substr(1);
  const bool numbered = (alias[0] == 'v' || alias[0] == 'V') && !rest.empty() &&
                        rest.find_first_not_of(kDigits) == std::string_view::npos;
  if (alias == "latest" || numbered) return "is one that MLflow keeps for itself";
  const bool plain = std::all_of(alias.begin(), alias.end(), [](char c) {
    return c == '-' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z');
  });
  if (!plain) return "has a character other than letters, digits, '_' and '-'";
  return alias.size() > 255 ? "is longer than 255 characters" : "";
}

}  // namespace cifarpipe
