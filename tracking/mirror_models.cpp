// Models: logged once each, by a uid of ours, with their files, their metrics and, where asked for,
// a version in the registry. docs/tracking.md tells what servers of 2.x get.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pipeline/digest.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/mirror.hpp"
#include "tracking/mirror_rules.hpp"
#include "tracking/mlflow/names.hpp"

namespace cifarpipe {

using mirror::kModelUidTag;
using mlflow::CallError;
using mlflow::Failure;
using mlflow::RemoteRun;

namespace {

constexpr int kCreateTries = 3;

/// "2026-11-22 18:07:22.606000", UTC, as MLflow writes it.
std::string mlflow_time(std::int64_t ms) {
  std::string text = log_time(ms);  // 2026-11-22T18:07:22.606Z
  std::replace(text.begin(), text.end(), 'T', ' ');
  if (!text.empty() && text.back() == 'Z') text.pop_back();
  return text + "000";
}

}  // namespace

void Mirror::send_models(const RunRow& run, const RemoteRun& remote, const RunContent& content) {
  const std::string& id = run.record.id;
  for (const ModelContent& model : content.models) {
    const std::string digest = mirror::digest_of(model);
    if (ledger_.item(id, "model", model.uid) != digest) {
      if (!guarded(id, "model " + model.name, digest,
                   [&] { log_model(run, remote, content, model); })) {
        continue;
      }
      ledger_.put_item(id, "model", model.uid, digest);
      ++counts_.models;
      sent(id);
    }
    register_model(run, remote, model);
  }
}

void Mirror::log_model(const RunRow& run, const RemoteRun& remote, const RunContent& content,
                       const ModelContent& model) {
  if (!client_.server().logged_models) return log_model_of_2(remote, model);
  const mlflow::LoggedModel logged = open_model(run, remote, content, model);
  if (content.params.size() > mlflow::kModelParamsOfCreate) {
    client_.put_model_params(logged.id, content.params);
  }
  client_.add_model_output(remote.id, logged.id, model.step);
  try {
    upload_model(run, remote, model, logged);
  } catch (const CallError& error) {
    if (error.failure() == Failure::refused) client_.finish_model(logged.id, false);
    throw;
  }
  client_.finish_model(logged.id, true);
}

/// The model of this uid on the server, made if it is not there.
mlflow::LoggedModel Mirror::open_model(const RunRow& run, const RemoteRun& remote,
                                       const RunContent& content, const ModelContent& model) {
  mlflow::Pairs tags = {{kModelUidTag, model.uid}};
  for (const char* key :
       {"mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit"}) {
    if (const std::string* value = mirror::find_tag(content.tags, key))
      tags.emplace_back(key, *value);
  }
  const std::string& id = run.record.id;
  for (int tries = 1;; ++tries) {
    const auto there = client_.models_with_tag(remote.experiment_id, kModelUidTag, model.uid);
    const auto known = ledger_.item(id, "model id", model.uid);
    for (const mlflow::LoggedModel& logged : there) {
      if (known == logged.id) return logged;
    }
    if (!there.empty()) {
      ledger_.put_item(id, "model id", model.uid, there.front().id);
      return there.front();
    }
    try {
      mlflow::LoggedModel made =
          client_.create_model(remote.experiment_id, mlflow::fitted_model_name(model.name),
                               remote.id, content.params, tags);
      ledger_.put_item(id, "model id", model.uid, made.id);
      return made;
    } catch (const CallError& error) {
      // The answer may be lost and the model there: look again.
      if (error.failure() != Failure::unreachable || tries == kCreateTries) throw;
    }
  }
}

void Mirror::upload_model(const RunRow& run, const RemoteRun& remote, const ModelContent& model,
                          const mlflow::LoggedModel& logged) {
  const std::string& id = run.record.id;
  for (const Upload& file : model.files) {
    if (file.file.empty()) {
      client_.put_model_text(logged, file.path, file.text);
    } else {
      client_.put_model_file(logged, file.path, file.file);
    }
  }
  // Last: a folder with an MLmodel is a whole model.
  client_.put_model_text(logged, "MLmodel",
                         model.mlmodel(logged.id, logged.artifact_uri, remote.id));
  const std::vector<PointSource> sources = points_.sources(run.record);
  MetricNames names(ledger_, id, client_.server().colons_in_keys);
  std::vector<mlflow::Metric> metrics;
  for (const std::string& key : model.metric_keys) {
    auto metric = points_.latest(id, sources, key, names);
    if (!metric) continue;
    metric->model_id = logged.id;
    metric->dataset_name = model.dataset_name;
    metric->dataset_digest = model.dataset_digest;
    metrics.push_back(std::move(*metric));
  }
  if (!metrics.empty()) client_.log_batch(remote.id, metrics);
}

/// Before 3.0 a model is a folder of its run's artifacts and an entry in one of its tags.
void Mirror::log_model_of_2(const RemoteRun& remote, const ModelContent& model) {
  const std::string folder = mlflow::fitted_model_name(model.name);
  for (const Upload& file : model.files) {
    put(remote, folder + "/" + file.path, file);
  }
  client_.put_artifact_text(remote, folder + "/MLmodel", model.mlmodel("", folder, remote.id));
  const nlohmann::ordered_json entry = {
      {"run_id", remote.id},
      {"artifact_path", folder},
      {"utc_time_created", mlflow_time(model.created_ms)},
      {"model_uuid", sha256(model.uid).substr(0, 32)},
      {"flavors", nlohmann::ordered_json::parse(model.flavors, nullptr, false)}};
  // The client looks whether the tag has it: the call adds one every time.
  client_.log_model_json(remote.id, entry.dump());
}

/// A version of the registered model for each model, and an alias for it, once: whoever moves the
/// alias later wants it there. Apart from the files: an alias that is refused costs no upload.
void Mirror::register_model(const RunRow& run, const RemoteRun& remote, const ModelContent& model) {
  const std::string& id = run.record.id;
  const std::string wanted = mirror::digest_of(mlflow::Pairs{{model.register_name, model.alias}});
  if (model.register_name.empty() || ledger_.item(id, "registered", model.uid) == wanted) return;
  const std::string name = mlflow::fitted_registered_name(model.register_name);
  const std::string model_id =
      client_.server().logged_models ? ledger_.item(id, "model id", model.uid).value_or("") : "";
  const std::string source = model_id.empty()
                                 ? remote.artifact_uri + "/" + mlflow::fitted_model_name(model.name)
                                 : "models:/" + model_id;
  const bool done = guarded(id, "registration of model " + model.name, wanted, [&] {
    client_.create_registered_model(name);
    auto version = client_.model_version_with_tag(name, kModelUidTag, model.uid);
    if (!version) {
      version = client_.create_model_version(name, source, remote.id, model_id,
                                             {{kModelUidTag, model.uid}});
    }
    if (!model.alias.empty()) client_.set_model_alias(name, model.alias, *version);
  });
  if (!done) return;
  ledger_.put_item(id, "registered", model.uid, wanted);
  sent(id);
}

}  // namespace cifarpipe
