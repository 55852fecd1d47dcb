// The MLflow behind FakeMlflow: what each call does to FakeData, by the rules that real servers
// were seen to have. Strict where they are; and where they take nonsense with 200, so does this.
// Made for one request. Only the fake's own files use it.
#pragma once

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>

#include "tests/unit/fake_mlflow.hpp"
#include "tracking/mlflow/names.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::testing::fake {

using mlflow::code_points;
using nlohmann::json;

struct ApiError {
  int status;
  std::string code;
  std::string message;
};

[[noreturn]] inline void bad_value(const std::string& message) {
  throw ApiError{400, "INVALID_PARAMETER_VALUE", message};
}
[[noreturn]] inline void missing(const std::string& message) {
  throw ApiError{404, "RESOURCE_DOES_NOT_EXIST", message};
}
[[noreturn]] inline void not_unique(const std::string& table) {
  throw ApiError{400, "BAD_REQUEST",
                 "(sqlite3.IntegrityError) UNIQUE constraint failed: " + table +
                     " [SQL: INSERT INTO secret VALUES (?)]"};
}

inline FakeAnswer no_route(int status = 404) {
  return {status, "<!doctype html>\n<title>Not Found</title>\n<h1>Not Found</h1>", "text/html", {}};
}

inline std::string text(const json& body, const char* field) {
  const auto found = body.find(field);
  return found != body.end() && found->is_string() ? found->get<std::string>() : "";
}

inline std::int64_t whole(const json& body, const char* field) {
  const auto found = body.find(field);
  if (found == body.end()) return 0;
  if (found->is_string()) return std::stoll(found->get<std::string>());
  return found->is_number() ? found->get<std::int64_t>() : 0;
}

inline json pairs(const std::map<std::string, std::string>& map) {
  json list = json::array();
  for (const auto& entry : map) list.push_back({{"key", entry.first}, {"value", entry.second}});
  return list;
}

class Api {
 public:
  Api(const FakeOptions& options, const std::string& base, FakeData& data,
      const FakeRequest& request)
      : options_(options), base_(base), data_(data), request_(request) {}

  FakeAnswer answer();

 private:
  bool since(int major, int minor, int patch = 0) const {
    return mlflow::version_at_least(options_.version, major, minor, patch);
  }
  std::string query(const std::string& name) const {
    const auto found = request_.query.find(name);
    return found == request_.query.end() ? "" : found->second;
  }
  std::string new_id(const std::string& prefix) {
    const std::string digits = std::to_string(data_.next_id++);
    return prefix + std::string(32 - digits.size(), '0') + digits;
  }
  json tracking(const std::string& call);
  json models(const std::string& call);
  json registry(const std::string& call);
  std::optional<FakeAnswer> storage();

  json create_experiment();
  json experiment_by_name();
  json create_run();
  json update_run();
  json search_runs();
  json log_batch();
  void check_batch(const json& metrics, const json& params, const json& tags) const;
  void check_key(const std::string& key) const;
  void set_params(FakeRun& run, const json& params);
  /// False at the first entry of a wrong type: what follows is dropped, as MLflow does.
  bool add_points(FakeRun& run, const json& metrics);
  void add_point(FakeRun& run, const json& metric, const FakePoint& point);
  json history();
  json log_inputs();
  json create_model();
  json search_models();
  json list(const std::string& root, const std::string& folder);
  FakeAnswer parts(const std::string& step);
  void store(const std::string& root, const std::string& path);

  FakeRun& run_of(const std::string& id) {
    FakeRun* run = data_.run(id);
    if (run == nullptr) missing("Run with id=" + id + " not found");
    return *run;
  }
  FakeRun& active_run(const std::string& id) {
    FakeRun& run = run_of(id);
    if (run.deleted) bad_value("The run " + id + " must be in the 'active' state.");
    return run;
  }
  FakeModel& model_of(const std::string& id) {
    FakeModel* model = data_.model(id);
    if (model == nullptr) missing("Logged model with ID '" + id + "' not found.");
    return *model;
  }
  std::string run_root(const FakeRun& run) const {
    return options_.artifact_root + "/" + run.experiment_id + "/" + run.id + "/artifacts";
  }
  std::string model_root(const FakeModel& model) const {
    return options_.artifact_root + "/" + model.experiment_id + "/models/" + model.id +
           "/artifacts";
  }
  json run_json(const FakeRun& run) const;
  json model_json(const FakeModel& model) const;

  const FakeOptions& options_;
  const std::string& base_;
  FakeData& data_;
  const FakeRequest& request_;
  json body_ = json::object();
};

}  // namespace cifarpipe::testing::fake
