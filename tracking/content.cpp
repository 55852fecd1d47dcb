// The content of a run, put together from its parts (content_*.cpp).
#include "tracking/content_run.hpp"

namespace cifarpipe {

RunContent content_of(RunQueries& queries, const RunRow& run, const Store& store,
                      const mlflow::Server& server) {
  using content::RunView;
  const RunView view(queries, run, store, server);
  RunContent out;
  out.experiment = run.record.experiment;
  out.experiment_tags = content::experiment_tags(queries, view);
  out.name = run.record.name;
  out.params = content::params_of(view);
  out.tags = content::tags_of(view);
  out.datasets = content::datasets_of(view);
  out.artifacts = content::files_of(view);
  const std::vector<Upload> tables = content::tables_of(view);
  const std::vector<Upload> images = content::images_of(view);
  if (!tables.empty()) {
    nlohmann::ordered_json logged = nlohmann::ordered_json::array();
    for (const Upload& table : tables) {
      logged.push_back({{"path", table.path}, {"type", "table"}});
    }
    out.tags.emplace_back("mlflow.loggedArtifacts", content::dump(logged));
  }
  if (!images.empty()) out.tags.emplace_back("mlflow.loggedImages", "True");
  for (const auto* part : {&tables, &images}) {
    out.artifacts.insert(out.artifacts.end(), part->begin(), part->end());
  }
  out.models = content::models_of(view);
  return out;
}

}  // namespace cifarpipe
