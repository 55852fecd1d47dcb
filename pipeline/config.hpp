// The configuration: a TOML file with what it extends and with --set, checked against the schemas
// of the stages and spread into the cells of its matrix. Every value knows where it came from.
// Nothing here runs or loads anything. Values only: any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/catalog.hpp"
#include "pipeline/diagnostics.hpp"
#include "pipeline/value.hpp"

namespace cifarpipe {

/// Where an input port gets its directory from.
struct InputSource {
  std::string run;    ///< Empty: an instance of this pipeline; else `run:` + RUN ("latest", an id).
  std::string stage;  ///< The instance.
  std::string port;   ///< Its output port.
  Place place;        ///< Of the text in the file; unknown if wired by itself.
};

/// `[stages.NAME]` of one cell, complete and checked.
struct StageInstance {
  std::string name;
  const StageType* type = nullptr;  ///< Borrowed from the catalog.
  ParamValues params;               ///< Schema order, defaults included, coerced.
  /// Where each parameter's value was written; a parameter left at its default is absent.
  std::map<std::string, Place, std::less<>> origins;
  std::vector<std::pair<std::string, InputSource>> inputs;  ///< Port → source, in port order.
  std::string experiment;  ///< Not empty: this stage and what only it leads to is a linked run.
  Place place;
};

enum class CodeIdentity { build, revision };
enum class NumericsKeying { strict, loose };

/// One combination of the matrix; without a matrix there is exactly one, called "". A string with
/// other characters than [A-Za-z0-9._+/:@-] stands in quotes in its name.
struct Cell {
  std::string name;                                       ///< "train.lr=0.003,train.optimizer=adam"
  std::vector<std::pair<std::string, Value>> assignment;  ///< Matrix path → value, file order.
  std::vector<StageInstance> stages;                      ///< In file order.
  std::uint64_t seed = 0;                                 ///< pipeline.seed
  std::uint64_t repeat = 0;                               ///< pipeline.repeat
  int threads = 0;  ///< pipeline.threads; 0 = what the machine has
  /// Where values that are no stage's parameters were written, if the matrix did.
  std::map<std::string, Place, std::less<>> origins;
};

struct Configuration {
  std::string file;         ///< As given on the command line.
  std::string name;         ///< pipeline.name = the experiment; default: the file's stem.
  std::string description;  ///< pipeline.description
  std::vector<Cell> cells;
  bool has_matrix = false;
  CodeIdentity code = CodeIdentity::build;           ///< [cache] code
  NumericsKeying numerics = NumericsKeying::strict;  ///< [cache] numerics
  std::string salt;                                  ///< [cache] salt
  std::vector<std::filesystem::path> plugin_paths;   ///< [plugins] paths
  /// [tracking] system_metrics, system_metrics_interval; written if `origins` has them.
  bool system_metrics = true;
  double system_metrics_interval_s = 10;
  // [tracking.mlflow]
  std::string mlflow_uri;  ///< User-info kept out; "" none in the file.
  bool mlflow_enabled = true;
  double mlflow_deadline_s = 10;
  std::string mlflow_register;
  std::string mlflow_alias;
  /// The file as it stood, for the run's folder; secrets are covered with stars.
  std::string source_text;
  /// Path ("pipeline.seed") → where it was written, for what is the same in each cell.
  std::map<std::string, Place, std::less<>> origins;
};

/// `--set PATH=VALUE` as typed; `number` counts the --set arguments from 1.
struct SetArgument {
  std::string text;
  int number = 0;
};

/// Reads only what is needed to know where to look for plugins: `[plugins] paths` of the file and
/// of what it extends. Never reports problems; `load_configuration` will.
std::vector<std::filesystem::path> plugin_paths_of(const std::string& file);

/// Reads, merges, checks and spreads. Every problem goes to `diagnostics`; on errors the result is
/// empty. `catalog` must outlive the result.
std::optional<Configuration> load_configuration(const std::string& file,
                                                const std::vector<SetArgument>& sets,
                                                const StageCatalog& catalog,
                                                Diagnostics& diagnostics);

/// One line of `cifarpipe config FILE --origin`.
struct OriginLine {
  std::string path;  ///< "train.lr", "pipeline.seed"
  Value value;
  Place place;  ///< Unknown: the default.
  bool secret = false;
};
std::vector<OriginLine> origins(const Configuration& configuration, const Cell& cell);

/// The cell as a TOML file that gives the same cell again, defaults included, secrets and
/// user-info in addresses left out: `resolved.toml`.
std::string resolved_toml(const Configuration& configuration, const Cell& cell);

/// Why no model registry of MLflow can take an alias, as the end of a sentence ("is longer than
/// …");
/// "" if it can. `latest` and `v1` are MLflow's own.
std::string alias_problem(std::string_view alias);

/// JSON Schema (draft 2020-12) of a whole pipeline file with the stages of `catalog`, for editors.
std::string file_json_schema(const StageCatalog& catalog);

}  // namespace cifarpipe
