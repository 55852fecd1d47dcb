// Which call is which; experiments, logged models and the registry.
#include "tests/unit/fake_mlflow_api.hpp"

#include <regex>

namespace cifarpipe::testing::fake {

FakeAnswer Api::answer() {
  const std::string& path = request_.path;
  if (path == "/health") return {200, "OK", "text/plain", {}};
  if (path == "/version") return {200, options_.version, "text/html", {}};
  if (path == "/api/3.0/mlflow/server-info") {
    if (!since(3, 10)) return no_route();
    return {200,
            json{{"store_type", "SqlStore"},
                 {"workspaces_enabled", options_.workspaces},
                 {"presigned_upload_run_id_supported", true}}
                .dump(),
            "application/json",
            {}};
  }
  try {
    if (auto stored = storage()) return *stored;
    const std::string start = "/api/2.0/mlflow/";
    if (path.rfind(start, 0) != 0) return no_route();
    if (request_.method != "GET") {
      const auto type = request_.headers.find("content-type");
      if (type == request_.headers.end() || type->second.rfind("application/json", 0) != 0) {
        bad_value("Bad Request. Content-Type must be application/json.");
      }
      body_ = json::parse(request_.body, nullptr, false);
      if (!body_.is_object()) {
        return {500, "<html><h1>Internal Server Error</h1></html>", "text/html", {}};
      }
    }
    const std::string call = path.substr(start.size());
    json result = json::value_t::discarded;
    if (call.rfind("logged-models", 0) == 0 || call == "runs/outputs") {
      if (!since(3, 0)) return no_route();
      result = models(call);
    } else if (call.rfind("registered-models", 0) == 0 || call.rfind("model-versions", 0) == 0) {
      result = registry(call);
    } else {
      result = tracking(call);
    }
    if (result.is_discarded()) return no_route();
    return {200, result.dump(), "application/json", {}};
  } catch (const ApiError& error) {
    return {error.status,
            json{{"error_code", error.code}, {"message", error.message}}.dump(),
            "application/json",
            {}};
  }
}

json Api::tracking(const std::string& call) {
  if (call == "experiments/create") return create_experiment();
  if (call == "experiments/get-by-name") return experiment_by_name();
  if (call == "experiments/set-experiment-tag") {
    if (code_points(text(body_, "value")) > (since(3, 17) ? 20000u : 5000u)) {
      bad_value("the tag is too long");
    }
    const auto found = data_.experiments.find(text(body_, "experiment_id"));
    if (found == data_.experiments.end()) missing("no such experiment");
    found->second.tags[text(body_, "key")] = text(body_, "value");
    return json::object();
  }
  if (call == "runs/create") return create_run();
  if (call == "runs/get") return {{"run", run_json(run_of(query("run_id")))}};
  if (call == "runs/update") return update_run();
  if (call == "runs/search") return search_runs();
  if (call == "runs/delete" || call == "runs/restore") {
    run_of(text(body_, "run_id")).deleted = call == "runs/delete";
    return json::object();
  }
  if (call == "runs/log-batch") return log_batch();
  if (call == "runs/delete-tag") {
    if (active_run(text(body_, "run_id")).tags.erase(text(body_, "key")) == 0) {
      missing("No tag with name: " + text(body_, "key") + " in run with id " +
              text(body_, "run_id"));
    }
    return json::object();
  }
  if (call == "runs/log-inputs") return log_inputs();
  if (call == "runs/log-model") {
    FakeRun& run = active_run(text(body_, "run_id"));
    std::string& tag = run.tags["mlflow.log-model.history"];
    json history = tag.empty() ? json::array() : json::parse(tag);
    history.push_back(json::parse(text(body_, "model_json")));
    tag = history.dump();
    return json::object();
  }
  if (call == "metrics/get-history") return history();
  if (call == "artifacts/list") {
    return list(run_root(run_of(query("run_id"))), query("path"));
  }
  if (call == "artifacts/presigned-upload-url" && since(3, 12)) {
    if (!options_.signs_urls) bad_value("presigned URLs are not supported for this repository");
    const std::string run_id = text(body_, "run_id");
    const std::string root =
        run_id.empty() ? model_root(model_of(text(body_, "model_id"))) : run_root(run_of(run_id));
    return {{"presigned_url",
             base_ + "/signed/" +
                 mlflow::artifact_url_path(root.substr(5) + "/" + text(body_, "path")) +
                 "?X-Amz-Signature=hushhush"},
            {"headers", {{"x-amz-meta-a", "b"}}}};
  }
  return json::value_t::discarded;
}

json Api::create_experiment() {
  const std::string name = text(body_, "name");
  if (name.empty() || code_points(name) > 500) bad_value("bad name");
  for (const auto& entry : data_.experiments) {
    if (entry.second.name == name) {
      throw ApiError{400, "RESOURCE_ALREADY_EXISTS",
                     "Experiment(name=" + name +
                         ") already exists. Error: "
                         "(raised as a result of Query-invoked autoflush) (sqlite3.IntegrityError) "
                         "UNIQUE constraint failed: experiments.name [SQL: INSERT INTO secret]"};
    }
  }
  const std::string id = std::to_string(data_.experiments.size());
  FakeExperiment& experiment = data_.experiments[id];
  experiment.name = name;
  for (const json& tag : body_.value("tags", json::array())) {
    experiment.tags[text(tag, "key")] = text(tag, "value");
  }
  return {{"experiment_id", id}};
}

json Api::experiment_by_name() {
  const std::string name = query("experiment_name");
  for (const auto& entry : data_.experiments) {
    if (entry.second.name != name) continue;
    return {{"experiment",
             {{"experiment_id", entry.first},
              {"name", name},
              {"lifecycle_stage", entry.second.deleted ? "deleted" : "active"},
              {"tags", pairs(entry.second.tags)}}}};
  }
  missing("Could not find experiment with name '" + name + "'");
}

json Api::models(const std::string& call) {
  if (call == "logged-models" && request_.method == "POST") return create_model();
  if (call == "logged-models/search") return search_models();
  if (call == "runs/outputs") {
    FakeRun& run = active_run(text(body_, "run_id"));
    for (const json& model : body_.at("models")) {
      if (!run.outputs.emplace(text(model, "model_id"), whole(model, "step")).second) {
        not_unique("inputs.source_type");
      }
    }
    return json::object();
  }
  const std::size_t slash = call.find('/');
  if (slash == std::string::npos) return json::value_t::discarded;
  const std::size_t end = std::min(call.find('/', slash + 1), call.size());
  FakeModel& model = model_of(call.substr(slash + 1, end - slash - 1));
  const std::string rest = call.substr(end);
  if (rest == "/artifacts/directories") {
    return list(model_root(model), query("artifact_directory_path"));
  }
  if (rest == "/params") {
    for (const json& param : body_.at("params")) {
      if (!model.params.emplace(text(param, "key"), text(param, "value")).second) {
        not_unique("logged_model_params.key");
      }
    }
    return json::object();
  }
  if (rest.empty() && request_.method == "PATCH") {
    if (text(body_, "model_id") != model.id) bad_value("model_id is missing");
    model.status = text(body_, "status");
    return {{"model", model_json(model)}};
  }
  return rest.empty() ? json{{"model", model_json(model)}} : json(json::value_t::discarded);
}

json Api::create_model() {
  FakeModel model;
  model.name = text(body_, "name");
  if (model.name.find_first_of("/:.%\"'") != std::string::npos) bad_value("Invalid model name");
  model.id = new_id("m-");
  model.experiment_id = text(body_, "experiment_id");
  model.run_id = text(body_, "source_run_id");
  const json params = body_.value("params", json::array());
  if (params.size() > 100) bad_value("too many params");
  for (const json& param : params) model.params[text(param, "key")] = text(param, "value");
  for (const json& tag : body_.value("tags", json::array())) {
    model.tags[text(tag, "key")] = text(tag, "value");
  }
  data_.models.push_back(model);
  return {{"model", model_json(model)}};
}

json Api::search_models() {
  static const std::regex kTag("tags\\.`([^`]*)` = '(.*)'");
  std::smatch match;
  const std::string filter = text(body_, "filter");
  if (!std::regex_match(filter, match, kTag)) bad_value("Invalid filter");
  json list = json::array();
  for (const FakeModel& model : data_.models) {
    const auto tag = model.tags.find(match[1]);
    if (tag != model.tags.end() && tag->second == match[2]) list.push_back(model_json(model));
  }
  return {{"models", list}};
}

json Api::registry(const std::string& call) {
  const std::string name = text(body_, "name");
  if (call == "registered-models/create") {
    if (name.find_first_of("/:") != std::string::npos) bad_value("Invalid name");
    if (!data_.registered.emplace(name, FakeRegistered{}).second) {
      throw ApiError{400, "RESOURCE_ALREADY_EXISTS",
                     "Registered Model (name=" + name + ") already exists. [SQL: INSERT]"};
    }
    return {{"registered_model", {{"name", name}}}};
  }
  if (call == "model-versions/search") {
    json list = json::array();
    for (const auto& entry : data_.registered) {
      if (query("filter") != "name='" + entry.first + "'") continue;
      for (std::size_t i = 0; i < entry.second.versions.size(); ++i) {
        list.push_back({{"name", entry.first},
                        {"version", std::to_string(i + 1)},
                        {"tags", pairs(entry.second.versions[i].tags)}});
      }
    }
    return {{"model_versions", list}};
  }
  const auto found = data_.registered.find(name);
  if (found == data_.registered.end()) missing("Registered Model with name=" + name + " not found");
  FakeRegistered& model = found->second;
  if (call == "model-versions/create") {
    FakeVersion version{text(body_, "source"), text(body_, "run_id"), text(body_, "model_id"), {}};
    for (const json& tag : body_.value("tags", json::array())) {
      version.tags[text(tag, "key")] = text(tag, "value");
    }
    model.versions.push_back(version);
    return {
        {"model_version", {{"name", name}, {"version", std::to_string(model.versions.size())}}}};
  }
  if (call == "registered-models/alias") {
    const std::string alias = text(body_, "alias");
    const std::string version = text(body_, "version");
    if (alias == "latest") bad_value("'latest' alias name is reserved.");
    if (version.empty() || std::stoul(version) > model.versions.size()) missing("no such version");
    model.aliases[alias] = version;
    return json::object();
  }
  return json::value_t::discarded;
}

json Api::run_json(const FakeRun& run) const {
  return {{"info",
           {{"run_id", run.id},
            {"run_uuid", run.id},
            {"run_name", run.name},
            {"experiment_id", run.experiment_id},
            {"status", run.status},
            {"start_time", run.start_ms},
            {"artifact_uri", run_root(run)},
            {"lifecycle_stage", run.deleted ? "deleted" : "active"}}},
          {"data", {{"params", pairs(run.params)}, {"tags", pairs(run.tags)}}},
          {"inputs", json::object()}};
}

json Api::model_json(const FakeModel& model) const {
  return {{"info",
           {{"model_id", model.id},
            {"name", model.name},
            {"experiment_id", model.experiment_id},
            {"status", model.status},
            {"artifact_uri", model_root(model)},
            {"tags", pairs(model.tags)}}},
          {"data", json::object()}};
}

}  // namespace cifarpipe::testing::fake

namespace cifarpipe::testing {

FakeAnswer answer_of(const FakeOptions& options, const std::string& base_uri, FakeData& data,
                     const FakeRequest& request) {
  try {
    return fake::Api(options, base_uri, data, request).answer();
  } catch (const std::exception&) {
    return {500, "<html><h1>Internal Server Error</h1></html>", "text/html", {}};
  }
}

}  // namespace cifarpipe::testing
