// One call of MLflow's API: repeated where that is right, its answer checked, its failure made a
// CallError of one sentence without secrets. One thread an object.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tracking/mlflow/client.hpp"
#include "tracking/mlflow/http.hpp"

namespace cifarpipe::mlflow {

struct Call {
  std::string what;  ///< "creating a run": the middle of a sentence.
  std::string method = "POST";
  std::string path;  ///< Below the server's address: "/api/2.0/mlflow/runs/create".
  Pairs query;
  nlohmann::json body;  ///< Null: none.
  /// Whether it may be sent again when nobody knows what became of it.
  bool repeat = true;
};

class Caller {
 public:
  Caller(const Settings& settings, const std::atomic<bool>* stop);

  /// The answer, a JSON object.
  nlohmann::json json(const Call& call);
  nlohmann::json json(const Call& call, const std::string& body);
  /// Any request, say of a file: a 2xx answer or CallError.
  Response exchange(const std::string& what, const Request& request, bool repeat = true);
  /// One try (more only of a server that throttles), nothing thrown but Failure::stopped: for those
  /// who ask what a server is.
  Response probe(const std::string& path, double timeout_s);

  std::string url(const std::string& path, const Pairs& query = {}) const;
  /// The failure of a request as a CallError.
  [[noreturn]] void fail(const std::string& what, const Request& request,
                         const Response& response) const;
  [[noreturn]] void refuse(const std::string& what, const std::string& why) const;
  [[noreturn]] void stop(const std::string& what) const;

  Http& http() { return http_; }

 private:
  /// Decides on another try and waits for it. `nonsense`: a success that says nothing of use.
  bool again(const Response& response, bool nonsense, bool repeat, int repeats);
  Response attempt(const std::string& what, const Request& request, bool repeat,
                   const std::function<bool(const Response&)>& usable);
  std::string reason(const Request& request, const Response& response) const;
  std::string server_says(const Response& response) const;
  Failure kind_of(const Response& response) const;

  const Settings& settings_;
  Http http_;
  std::minstd_rand random_;
};

/// The error_code of an answer of the API; "" for anything else.
std::string error_code_of(const Response& response);
/// Whether `error` says that a row is there already: a thing that was sent before.
bool is_duplicate(const CallError& error);

}  // namespace cifarpipe::mlflow
