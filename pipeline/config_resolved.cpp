// One cell, said in full: where each value came from, and as a file of its own.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/config.hpp"
#include "pipeline/secrets.hpp"

namespace cifarpipe {
namespace {

class Origins {
 public:
  Origins(const Configuration& configuration, const Cell& cell)
      : configuration_(configuration), cell_(cell) {}

  std::vector<OriginLine> lines() {
    add("pipeline.name", configuration_.name);
    if (!configuration_.description.empty()) {
      add("pipeline.description", without_secrets(configuration_.description));
    }
    add("pipeline.seed", static_cast<std::int64_t>(cell_.seed));
    add("pipeline.repeat", static_cast<std::int64_t>(cell_.repeat));
    add("pipeline.threads", static_cast<std::int64_t>(cell_.threads));
    for (const StageInstance& stage : cell_.stages) add_stage(stage);
    add("cache.code",
        std::string(configuration_.code == CodeIdentity::build ? "build" : "revision"));
    add("cache.numerics",
        std::string(configuration_.numerics == NumericsKeying::strict ? "strict" : "loose"));
    add("cache.salt", configuration_.salt);
    std::vector<std::string> paths;
    for (const auto& path : configuration_.plugin_paths) paths.push_back(path.string());
    add("plugins.paths", paths);
    add("tracking.system_metrics", configuration_.system_metrics);
    add("tracking.system_metrics_interval", configuration_.system_metrics_interval_s);
    add("tracking.mlflow.uri", configuration_.mlflow_uri);
    add("tracking.mlflow.enabled", configuration_.mlflow_enabled);
    add("tracking.mlflow.deadline", configuration_.mlflow_deadline_s);
    add("tracking.mlflow.register", configuration_.mlflow_register);
    add("tracking.mlflow.alias", configuration_.mlflow_alias);
    return std::move(lines_);
  }

 private:
  void add(std::string path, Value value) {
    Place place;
    if (const auto found = configuration_.origins.find(path);
        found != configuration_.origins.end()) {
      place = found->second;
    }
    if (const auto found = cell_.origins.find(path); found != cell_.origins.end()) {
      place = found->second;
    }
    lines_.push_back({std::move(path), clean(std::move(value)), std::move(place), false});
  }

  /// Addresses without who may read there.
  static Value clean(Value value) {
    if (auto* text = std::get_if<std::string>(&value)) *text = without_userinfo(*text);
    if (auto* texts = std::get_if<std::vector<std::string>>(&value)) {
      for (std::string& text : *texts) text = without_userinfo(text);
    }
    return value;
  }

  void add_stage(const StageInstance& stage) {
    const std::string prefix = "stages." + stage.name + ".";
    add(prefix + "uses", stage.type->description.name);
    for (const auto& [port, source] : stage.inputs) {
      std::string from = source.stage + "." + source.port;
      if (!source.run.empty()) from = "run:" + source.run + "/" + from;
      lines_.push_back({prefix + "inputs." + port, std::move(from), source.place, false});
    }
    if (!stage.experiment.empty()) add(prefix + "experiment", stage.experiment);
    for (const auto& [name, value] : stage.params) {
      const FieldInfo* field = stage.type->description.params.find(name);
      const bool secret = field != nullptr && field->secret;
      OriginLine line{stage.name + "." + name, clean(value), {}, secret};
      if (secret) line.value = std::string("<secret>");
      if (const auto found = stage.origins.find(name); found != stage.origins.end()) {
        line.place = found->second;
      }
      lines_.push_back(std::move(line));
    }
  }

  const Configuration& configuration_;
  const Cell& cell_;
  std::vector<OriginLine> lines_;
};

bool has_secret(const StageInstance& stage) {
  const auto& fields = stage.type->description.params.fields;
  return std::any_of(fields.begin(), fields.end(), [](const FieldInfo& f) { return f.secret; });
}

/// Not the defaults: what a file does not say, the environment may decide.
std::string mlflow_toml(const Configuration& configuration) {
  const Configuration defaults;
  std::string out;
  const auto add = [&](const char* name, const Value& value, const Value& usual) {
    if (value != usual) out += fmt::format("{} = {}\n", name, to_text(value));
  };
  add("uri", configuration.mlflow_uri, defaults.mlflow_uri);
  add("enabled", configuration.mlflow_enabled, defaults.mlflow_enabled);
  add("deadline", configuration.mlflow_deadline_s, defaults.mlflow_deadline_s);
  add("register", configuration.mlflow_register, defaults.mlflow_register);
  add("alias", configuration.mlflow_alias, defaults.mlflow_alias);
  return out.empty() ? "" : "\n[tracking.mlflow]\n" + out;
}

std::string stage_toml(const StageInstance& stage) {
  std::string out =
      fmt::format("\n[stages.{}]\nuses = {}\n", stage.name, to_text(stage.type->description.name));
  if (!stage.experiment.empty()) out += fmt::format("experiment = {}\n", to_text(stage.experiment));
  for (const auto& [port, source] : stage.inputs) {
    std::string from = source.stage + "." + source.port;
    if (!source.run.empty()) from = "run:" + source.run + "/" + from;
    out += fmt::format("inputs.{} = {}\n", port, to_text(from));
  }
  if (stage.params.empty()) return out;
  out += fmt::format("[stages.{}.params]\n", stage.name);
  for (const auto& [name, value] : stage.params) {
    const FieldInfo* field = stage.type->description.params.find(name);
    if (field != nullptr && field->secret) continue;
    // A deprecated parameter that nobody wrote would only bring back its warning.
    if (field != nullptr && !field->deprecated.empty() && !stage.origins.contains(name)) continue;
    out += fmt::format("{} = {}\n", name, to_text(value));
  }
  if (has_secret(stage)) out += "# secrets are left out\n";
  return out;
}

}  // namespace

std::vector<OriginLine> origins(const Configuration& configuration, const Cell& cell) {
  return Origins(configuration, cell).lines();
}

std::string resolved_toml(const Configuration& configuration, const Cell& cell) {
  std::string out = fmt::format("[pipeline]\nname = {}\n", to_text(configuration.name));
  if (!configuration.description.empty()) {
    out += fmt::format("description = {}\n", to_text(without_secrets(configuration.description)));
  }
  out +=
      fmt::format("seed = {}\nrepeat = {}\nthreads = {}\n", cell.seed, cell.repeat, cell.threads);
  for (const StageInstance& stage : cell.stages) out += stage_toml(stage);
  out += fmt::format("\n[cache]\ncode = \"{}\"\nnumerics = \"{}\"\nsalt = {}\n",
                     configuration.code == CodeIdentity::build ? "build" : "revision",
                     configuration.numerics == NumericsKeying::strict ? "strict" : "loose",
                     to_text(configuration.salt));
  if (!configuration.plugin_paths.empty()) {
    std::vector<std::string> paths;
    for (const auto& path : configuration.plugin_paths) paths.push_back(path.string());
    out += fmt::format("\n[plugins]\npaths = {}\n", to_text(paths));
  }
  // Not the defaults: what a file does not say, the environment may decide.
  std::string tracking;
  if (!configuration.system_metrics) tracking += "system_metrics = false\n";
  if (configuration.system_metrics_interval_s != Configuration{}.system_metrics_interval_s) {
    tracking += fmt::format("system_metrics_interval = {}\n",
                            to_text(configuration.system_metrics_interval_s));
  }
  if (!tracking.empty()) out += "\n[tracking]\n" + tracking;
  out += mlflow_toml(configuration);
  return without_userinfo(out);
}

}  // namespace cifarpipe
