// What tests of the MLflow client and the mirror share.
#pragma once

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "tests/unit/fake_mlflow.hpp"
#include "tracking/mlflow/client.hpp"

namespace cifarpipe::testing {

/// For a fake server: no waiting between tries, few of them.
inline mlflow::Settings quick_settings(const std::string& uri) {
  mlflow::Settings settings;
  settings.uri = uri;
  settings.retries = 4;
  settings.backoff_factor = 0;
  settings.backoff_jitter = 0;
  settings.request_timeout_s = 20;
  return settings;
}

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
