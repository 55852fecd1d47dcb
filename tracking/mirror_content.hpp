// What MLflow shows of one run: everything but its points, made from the store. Says what is there
// to be sent; what of it has been sent already is the mirror's business (mirror.hpp). Reads only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/store.hpp"
#include "tracking/mlflow/client.hpp"
#include "tracking/queries.hpp"

namespace cifarpipe {

/// One artifact: a file of the store, or text made for MLflow.
struct Upload {
  std::string path;            ///< In the run's (or the model's) artifacts.
  std::filesystem::path file;  ///< Empty: `text` is it.
  std::string text;
  /// What it is the content of: equal means nothing to send again.
  std::string digest;
  /// The longer side, in pixels, to which the picture `file` is made smaller when it is sent: never
  /// before, which would be work for each look at the run. 0: it goes as it is.
  int shrink_to = 0;
};

/// A model that the run made, to be logged once, by `uid`.
struct ModelContent {
  std::string uid;   ///< Of run, stage, kind: the same each time.
  std::string name;  ///< Fit for MLflow.
  std::int64_t step = 0;
  std::vector<Upload> files;  ///< Beside MLmodel; weights first.
  /// The MLmodel file (JSON is YAML), once the server has given the model its id and place. On 2.x
  /// the id is empty and the place the run's relative path.
  std::string mlmodel(const std::string& model_id, const std::string& artifact_path,
                      const std::string& remote_run_id) const;
  std::string flavors;         ///< JSON of MLmodel's flavors.
  std::string signature;       ///< JSON of MLmodel's signature.
  std::string mlflow_version;  ///< The server's; "" not known.
  std::uint64_t size = 0;
  std::int64_t created_ms = 0;
  std::string register_name;  ///< "" not to be registered.
  std::string alias;
  std::vector<std::string> metric_keys;  ///< Shown on the model's page, of `dataset`.
  std::string dataset_name;
  std::string dataset_digest;
};

struct RunContent {
  std::string experiment;
  mlflow::Pairs experiment_tags;  ///< Description, kind, shared view.
  std::string name;
  mlflow::Pairs params;  ///< As the store has them; not yet fitted to MLflow's rules.
  mlflow::Pairs tags;
  std::vector<mlflow::DatasetInput> datasets;
  std::vector<Upload> artifacts;
  std::vector<ModelContent> models;
};

/// The smaller picture of an upload with `shrink_to`; nothing if the picture is that small already.
std::optional<std::string> thumbnail_of(const Upload& upload);

/// Of a run that may still be going on: what is finished of it. `server` decides what it can show.
RunContent content_of(RunQueries& queries, const RunRow& run, const Store& store,
                      const mlflow::Server& server);

/// What to open in a browser: an experiment's runs with our columns and charts, and one run. `base`
/// is the server's address, with its path prefix, without a '/' at the end.
std::string experiment_link(const std::string& base, const std::string& experiment_id);
std::string run_link(const std::string& base, const std::string& experiment_id,
                     const std::string& run_id);

}  // namespace cifarpipe
