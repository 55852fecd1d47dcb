#include "pipeline/config.hpp"

#include <algorithm>

#include "pipeline/config_draft.hpp"

namespace cifarpipe {
namespace {

using config::Context;
using config::Draft;
using config::Node;

void note_origins(const Context& context, const config::Fields& fields, std::string_view table,
                  Configuration& out) {
  for (std::size_t i = 0; i < fields.marks.size(); ++i) {
    if (fields.marks[i].source < 0) continue;
    out.origins.emplace(std::string(table) + "." + fields.schema->fields[i].name,
                        context.place(fields.marks[i]));
  }
}

void fill_common(const Context& context, const Draft& draft, Configuration& out) {
  out.name = std::get<std::string>(draft.pipeline.get("name"));
  if (out.name.empty()) out.name = std::filesystem::path(out.file).stem().string();
  out.description = std::get<std::string>(draft.pipeline.get("description"));
  out.code = std::get<std::string>(draft.cache.get("code")) == "revision" ? CodeIdentity::revision
                                                                          : CodeIdentity::build;
  out.numerics = std::get<std::string>(draft.cache.get("numerics")) == "loose"
                     ? NumericsKeying::loose
                     : NumericsKeying::strict;
  out.salt = std::get<std::string>(draft.cache.get("salt"));
  for (const std::string& path : std::get<std::vector<std::string>>(draft.plugins.get("paths"))) {
    out.plugin_paths.emplace_back(path);
  }
  out.system_metrics = std::get<bool>(draft.tracking.get("system_metrics"));
  out.system_metrics_interval_s = std::get<double>(draft.tracking.get("system_metrics_interval"));
  out.mlflow_uri = std::get<std::string>(draft.mlflow.get("uri"));
  out.mlflow_enabled = std::get<bool>(draft.mlflow.get("enabled"));
  out.mlflow_deadline_s = std::get<double>(draft.mlflow.get("deadline"));
  out.mlflow_register = std::get<std::string>(draft.mlflow.get("register"));
  out.mlflow_alias = std::get<std::string>(draft.mlflow.get("alias"));
  out.source_text = context.sources.front().text;
  note_origins(context, draft.pipeline, "pipeline", out);
  note_origins(context, draft.cache, "cache", out);
  note_origins(context, draft.plugins, "plugins", out);
  note_origins(context, draft.tracking, "tracking", out);
  note_origins(context, draft.mlflow, "tracking.mlflow", out);
  for (const config::StageDraft& stage : draft.stages) {
    const std::string prefix = "stages." + stage.name;
    if (stage.uses_mark.source >= 0) {
      out.origins.emplace(prefix + ".uses", context.place(stage.uses_mark));
    }
    if (stage.experiment_mark.source >= 0) {
      out.origins.emplace(prefix + ".experiment", context.place(stage.experiment_mark));
    }
  }
}

}  // namespace

std::vector<std::filesystem::path> plugin_paths_of(const std::string& file) {
  Diagnostics unheard;
  Context context(unheard, nullptr);
  Node tree;
  std::vector<std::filesystem::path> out;
  if (!config::read_with_bases(context, file, tree)) return out;
  const config::Entry* plugins = tree.find("plugins");
  const config::Entry* paths = plugins != nullptr ? plugins->value.find("paths") : nullptr;
  if (paths == nullptr) return out;
  for (const Node& item : paths->value.items) {
    if (!item.is_string() || item.text.empty()) continue;
    const auto& folder = context.sources[static_cast<std::size_t>(item.mark.source)].folder;
    out.push_back((folder / item.text).lexically_normal());
  }
  return out;
}

std::optional<Configuration> load_configuration(const std::string& file,
                                                const std::vector<SetArgument>& sets,
                                                const StageCatalog& catalog,
                                                Diagnostics& diagnostics) {
  Context context(diagnostics, &catalog);
  Node tree;
  Draft draft;
  Configuration out;
  out.file = file;
  if (!config::read_with_bases(context, file, tree)) return std::nullopt;
  config::check_structure(context, tree);
  config::apply_sets(context, sets, draft, tree);
  if (!sets.empty()) config::check_structure(context, tree);
  config::build_draft(context, tree, draft);
  config::wire(context, draft);
  config::spread(context, tree, draft, out);
  if (diagnostics.has_errors()) return std::nullopt;
  fill_common(context, draft, out);
  return out;
}

}  // namespace cifarpipe
