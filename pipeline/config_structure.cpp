// The tables and keys that a pipeline file may have, whatever its stages are.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "pipeline/config_draft.hpp"

namespace cifarpipe::config {
namespace {

struct PipelineTable {
  std::string name;
  std::string description;
  std::int64_t seed = 42;
  std::int64_t repeat = 0;
  int threads = 0;
};

struct CacheTable {
  std::string code = "build";
  std::string numerics = "strict";
  std::string salt;
};

struct PluginsTable {
  std::vector<std::filesystem::path> paths;
};

struct TrackingTable {
  bool system_metrics = true;
  double system_metrics_interval = 10;
};

struct MlflowTable {
  std::string uri;
  bool enabled = true;
  double deadline = 10;
  std::string register_model;
  std::string alias;
};

const std::vector<std::string> kTopLevel = {"extends",  "pipeline", "stages", "matrix",
                                            "tracking", "cache",    "plugins"};
const std::vector<std::string> kStageKeys = {"uses", "params", "inputs", "enabled", "experiment"};

bool contains(const std::vector<std::string>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool stage_name_ok(std::string_view name) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  };
  return !name.empty() && name.size() <= 100 && std::all_of(name.begin(), name.end(), plain);
}

class Structure {
 public:
  explicit Structure(Context& context) : context_(context) {}

  void check(Node& tree) {
    for (const Entry& entry : tree.entries) explain_stray(entry);
    std::erase_if(tree.entries, [this](const Entry& e) { return is_stray(e); });
    keep_known(tree, kTopLevel, "in the file");
    for (Entry& entry : tree.entries) {
      if (entry.key != "extends") require_table(entry, "[" + entry.key + "]");
    }
    std::erase_if(tree.entries,
                  [](const Entry& e) { return e.key != "extends" && !e.value.is_table(); });
    check_table(tree, "pipeline", field_names(pipeline_schema()));
    check_table(tree, "cache", field_names(cache_schema()));
    check_table(tree, "plugins", field_names(plugins_schema()));
    std::vector<std::string> tracking_keys = {"mlflow"};
    for (std::string& name : field_names(tracking_schema())) tracking_keys.push_back(name);
    check_table(tree, "tracking", tracking_keys);
    if (Entry* tracking = tree.find("tracking")) {
      if (Entry* mlflow = tracking->value.find("mlflow")) {
        if (require_table(*mlflow, "[tracking.mlflow]")) {
          keep_known(mlflow->value, field_names(mlflow_schema()), "in [tracking.mlflow]");
        } else {
          tracking->value.erase("mlflow");
        }
      }
    }
    if (Entry* stages = tree.find("stages")) check_stages(stages->value);
  }

 private:
  // Words that are kept for later, and tables that look like a stage without `stages.`.
  static bool is_stray(const Entry& entry) {
    if (contains(kTopLevel, entry.key)) return false;
    if (contains(reserved_names(), entry.key)) return true;
    return entry.value.is_table() && entry.value.find("uses") != nullptr;
  }

  void explain_stray(const Entry& entry) {
    if (!is_stray(entry)) return;
    if (entry.key == "include" || entry.key == "exclude") {
      context_.error(entry.mark,
                     fmt::format("'{0}' belongs into the matrix: write [[matrix.{0}]]", entry.key));
    } else if (contains(reserved_names(), entry.key)) {
      context_.error(entry.mark, fmt::format("'{}' is kept for a later version; combinations of "
                                             "values are written in [matrix]",
                                             entry.key));
    } else {
      context_.error(entry.mark,
                     fmt::format("a stage stands below 'stages': write [stages.{}]", entry.key));
    }
  }

  bool require_table(const Entry& entry, std::string_view form) {
    if (entry.value.is_table()) return true;
    context_.error(entry.mark, fmt::format("'{}' must be a table, not {}; write {}", entry.key,
                                           describe(entry.value), form));
    return false;
  }

  void keep_known(Node& table, const std::vector<std::string>& known, std::string_view where) {
    for (Entry& entry : table.entries) {
      if (contains(known, entry.key)) continue;
      const std::string guess = nearest(entry.key, known);
      context_.error(entry.mark,
                     fmt::format("unknown key '{}' {}{}", entry.key, where,
                                 suggestion(entry.key, known, "; there may be: " + joined(known))));
      if (!guess.empty() && table.find(guess) == nullptr) entry.key = guess;
    }
    std::erase_if(table.entries, [&](const Entry& e) { return !contains(known, e.key); });
  }

  void check_table(Node& tree, std::string_view name, const std::vector<std::string>& known) {
    if (Entry* entry = tree.find(name))
      keep_known(entry->value, known, fmt::format("in [{}]", name));
  }

  void check_stages(Node& stages) {
    std::vector<std::string> bad;
    for (Entry& entry : stages.entries) {
      if (contains(reserved_names(), entry.key)) {
        context_.error(entry.mark,
                       fmt::format("'{}' is a reserved word and cannot name a stage", entry.key));
        bad.push_back(entry.key);
      } else if (entry.key == "system") {
        context_.error(entry.mark,
                       "'system' cannot name a stage: the metrics of the machine, system/…, are "
                       "shown in its place");
        bad.push_back(entry.key);
      } else if (!stage_name_ok(entry.key)) {
        context_.error(entry.mark, fmt::format("a stage's name is made of letters, digits, '_' "
                                               "and '-'; '{}' is not",
                                               entry.key));
        bad.push_back(entry.key);
      } else if (!require_table(entry, "[stages." + entry.key + "]")) {
        bad.push_back(entry.key);
      } else {
        check_stage(entry);
      }
    }
    for (const std::string& name : bad) stages.erase(name);
  }

  const StageType* type_of(const Node& stage) const {
    const Entry* uses = stage.find("uses");
    for (const Entry& entry : stage.entries) {
      if (uses == nullptr && nearest(entry.key, {"uses"}) == "uses") uses = &entry;
    }
    if (uses == nullptr || !uses->value.is_string() || context_.catalog == nullptr) return nullptr;
    if (const StageType* type = context_.catalog->find(uses->value.text)) return type;
    return context_.catalog->find(nearest(uses->value.text, context_.catalog->names()));
  }

  void check_stage(Entry& stage) {
    move_stray_params(stage);
    keep_known(stage.value, kStageKeys, fmt::format("in [stages.{}]", stage.key));
    for (const std::string_view key : {"params", "inputs"}) {
      Entry* entry = stage.value.find(key);
      if (entry != nullptr &&
          !require_table(*entry, fmt::format("[stages.{}.{}]", stage.key, key))) {
        stage.value.erase(key);
      }
    }
  }

  // A parameter written beside `uses` is the commonest slip.
  void move_stray_params(Entry& stage) {
    const StageType* type = type_of(stage.value);
    if (type == nullptr) return;
    std::vector<Entry> stray;
    std::vector<Entry> kept;
    const std::vector<std::string> names = field_names(type->description.params);
    for (Entry& entry : stage.value.entries) {
      const bool param = contains(names, entry.key) || (nearest(entry.key, kStageKeys).empty() &&
                                                        !nearest(entry.key, names).empty());
      const bool structural = contains(kStageKeys, entry.key);
      (param && !structural ? stray : kept).push_back(std::move(entry));
    }
    stage.value.entries = std::move(kept);
    for (Entry& entry : stray) {
      const std::string meant = nearest(entry.key, names);
      const std::string what = entry.key == meant
                                   ? fmt::format("'{}' is a parameter", meant)
                                   : fmt::format(
                                         "unknown key '{}'; did you mean the parameter "
                                         "'{}'?",
                                         entry.key, meant);
      context_.error(entry.mark, fmt::format("{}{} write it below [stages.{}.params]", what,
                                             entry.key == meant ? ":" : " If so,", stage.key));
      Entry* params = stage.value.find("params");
      if (params == nullptr) {
        Node table;
        table.mark = entry.mark;
        stage.value.entries.push_back({"params", entry.mark, std::move(table)});
        params = &stage.value.entries.back();
      }
      entry.key = meant;
      if (params->value.is_table() && params->value.find(entry.key) == nullptr) {
        params->value.entries.push_back(std::move(entry));
      }
    }
  }

  Context& context_;
};

}  // namespace

const ParamSchema& pipeline_schema() {
  static const Schema<PipelineTable> schema =
      Schema<PipelineTable>{}
          .field("name", &PipelineTable::name,
                 "Name of the experiment that the runs belong to (default: the file's name).")
          .field("description", &PipelineTable::description, "A sentence for people.")
          .field("seed", &PipelineTable::seed, "Root of all random numbers.")
          .at_least(0)
          .field("repeat", &PipelineTable::repeat,
                 "Number of the repetition: other random numbers from the same seed.")
          .at_least(0)
          .field("threads", &PipelineTable::threads,
                 "Threads that a stage computes with; 0 = the cores of this machine.")
          .range(0, 4096);
  return schema.info();
}

const ParamSchema& cache_schema() {
  static const Schema<CacheTable> schema =
      Schema<CacheTable>{}
          .field("code", &CacheTable::code,
                 "What of a plugin is in the keys: its build, or its revision number.")
          .one_of({"build", "revision"})
          .field("numerics", &CacheTable::numerics,
                 "Whether device, precision and threads are in the keys or only recorded.")
          .one_of({"strict", "loose"})
          .field("salt", &CacheTable::salt, "Any text; another salt disowns all earlier results.");
  return schema.info();
}

const ParamSchema& plugins_schema() {
  static const Schema<PluginsTable> schema = Schema<PluginsTable>{}.field(
      "paths", &PluginsTable::paths, "Folders with plugins of your own (*.stage.so).");
  return schema.info();
}

const ParamSchema& tracking_schema() {
  static const Schema<TrackingTable> schema =
      Schema<TrackingTable>{}
          .field("system_metrics", &TrackingTable::system_metrics,
                 "Whether CPU, memory, disk, network and GPUs are recorded while a run goes on "
                 "(default: MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING, else true).")
          .field("system_metrics_interval", &TrackingTable::system_metrics_interval,
                 "Seconds between two samples (default: MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL, "
                 "else 10).")
          .range(0.1, 86400)
          .unit("s");
  return schema.info();
}

const ParamSchema& mlflow_schema() {
  static const Schema<MlflowTable> schema =
      Schema<MlflowTable>{}
          .field("uri", &MlflowTable::uri,
                 "MLflow server to mirror to (default: MLFLOW_TRACKING_URI).")
          .field("enabled", &MlflowTable::enabled,
                 "false: nothing is sent, also if MLFLOW_TRACKING_URI is set.")
          .field("deadline", &MlflowTable::deadline,
                 "How long a run that has ended waits for what is not sent yet, at most; "
                 "`cifarpipe sync` sends the rest.")
          .range(0, 86400)
          .unit("s")
          .field("register", &MlflowTable::register_model,
                 "Registers an exported model under this name: a version a run.")
          .field("alias", &MlflowTable::alias,
                 "Alias that the registered version gets, such as champion.");
  return schema.info();
}

const std::vector<std::string>& reserved_names() {
  static const std::vector<std::string> names = {"pipeline", "tracking", "cache",  "plugins",
                                                 "sweep",    "stages",   "matrix", "extends",
                                                 "include",  "exclude",  "zip",    "where"};
  return names;
}

bool is_root(std::string_view word) {
  return contains(reserved_names(), word);
}

void check_structure(Context& context, Node& tree) {
  Structure(context).check(tree);
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i == 20) return out + ", …";
    out += (i > 0 ? ", " : "") + words[i];
  }
  return out;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& candidates,
                       std::string otherwise) {
  const std::string guess = nearest(word, candidates);
  return guess.empty() ? otherwise : fmt::format("; did you mean '{}'?", guess);
}

std::vector<std::string> field_names(const ParamSchema& schema) {
  std::vector<std::string> names;
  for (const FieldInfo& field : schema.fields) names.push_back(field.name);
  return names;
}

std::string plugin_of(const StageType& type) {
  return fmt::format("plugin {} {}", type.plugin_name, type.plugin_version);
}

std::string unknown_parameter(const StageDraft& stage, std::string_view name) {
  const std::vector<std::string> names = field_names(stage.type->description.params);
  const std::string all = names.empty() ? "; it has no parameters" : "; it has: " + joined(names);
  return fmt::format("unknown parameter '{}' of stage '{}' ({}){}", name, stage.name,
                     plugin_of(*stage.type), suggestion(name, names, all));
}

}  // namespace cifarpipe::config
