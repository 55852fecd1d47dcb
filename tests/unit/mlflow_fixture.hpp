// What tests of the MLflow client and the mirror share.
#pragma once

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/fake_mlflow.hpp"
#include "tracking/mlflow/client.hpp"

namespace cifarpipe::testing {

/// For a fake server: no waiting between tries, few of them.
inline mlflow::Settings quick(mlflow::Settings settings, const std::string& uri) {
  settings.uri = uri;
  settings.retries = 4;
  settings.backoff_factor = 0;
  settings.backoff_jitter = 0;
  return settings;
}
inline mlflow::Settings quick_settings(const std::string& uri) {
  mlflow::Settings settings = quick({}, uri);
  settings.request_timeout_s = 20;
  return settings;
}

/// A server of that version.
inline FakeOptions version(const std::string& text) {
  FakeOptions options;
  options.version = text;
  return options;
}

inline mlflow::Metric point(const std::string& key, double value, std::int64_t step,
                            std::int64_t time_ms = 1000) {
  mlflow::Metric metric;
  metric.key = key;
  metric.value = value;
  metric.step = step;
  metric.time_ms = time_ms;
  return metric;
}

inline FakeAnswer plain(int status, const std::string& body = "no",
                        const std::vector<std::string>& headers = {}) {
  return {status, body, "text/plain", headers};
}

/// A fake server with a run, and a client that has spoken to it.
struct RunOnFake {
  explicit RunOnFake(FakeOptions options = {}, mlflow::Settings settings = {})
      : server(std::move(options)), client(quick(std::move(settings), server.uri())) {
    run = client.create_run(client.experiment("try"), "one", 1700000000000, {{"uid", "u1"}});
    server.forget_requests();
  }
  FakeRun remote() { return *server.data().run(run.id); }
  void log() { client.log_batch(run.id, {point("loss", 0.5, 1)}); }
  std::size_t tries() { return server.count("log-batch"); }

  FakeMlflow server;
  mlflow::Client client;
  mlflow::RemoteRun run;
};

/// The CallError that `act` ends with; a failed test without one.
inline mlflow::CallError call_error(const std::function<void()>& act) {
  try {
    act();
  } catch (const mlflow::CallError& error) {
    return error;
  }
  BOOST_ERROR("it succeeded");
  return {mlflow::Failure::stopped, 0, "", "it succeeded"};
}

inline double seconds_of(const std::function<void()>& act) {
  const auto start = std::chrono::steady_clock::now();
  act();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

inline bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace cifarpipe::testing
