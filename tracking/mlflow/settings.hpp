// Where an MLflow server is and how to speak to it: [tracking.mlflow], with the variables that all
// MLflow clients honour. Values only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "pipeline/variables.hpp"

namespace cifarpipe::mlflow {

struct Settings {
  std::string uri;   ///< "https://host:port/prefix" without user-info and trailing '/'.
  std::string user;  ///< Basic; wins over the token, as in MLflow's own client.
  std::string password;
  std::string token;  ///< Bearer.
  bool insecure_tls = false;
  std::string ca;           ///< File or folder; "" the system's.
  std::string client_cert;  ///< PEM with certificate and key; "" none.
  std::string workspace;
  std::string experiment;  ///< MLFLOW_EXPERIMENT_NAME; "" the run's own.
  std::string experiment_id;
  std::string run_name;  ///< MLFLOW_RUN_NAME
  std::string run_id;    ///< MLFLOW_RUN_ID: mirror into this run, the first of a command only.
  int retries = 7;       ///< Of a call that may be repeated.
  double backoff_factor = 2;
  double backoff_jitter = 1;
  double probe_timeout_s = 3;  ///< Of asking what a server is; who only waits for it takes more.
  double request_timeout_s = 30;
  bool respect_retry_after = true;
  bool follow_redirects = true;

  /// MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD: large files go to the server's storage in parts.
  bool multipart = false;
  std::uint64_t multipart_minimum = std::uint64_t{500} << 20;  ///< Bytes of a file.
  std::uint64_t multipart_chunk = std::uint64_t{10} << 20;     ///< Bytes of a part.

  // For experiments whose artifacts lie in S3: AWS_*, MLFLOW_S3_ENDPOINT_URL, MLFLOW_S3_IGNORE_TLS.
  std::string aws_key;  ///< "" none: only by URLs that the server signs.
  std::string aws_secret;
  std::string aws_session;
  std::string aws_region = "us-east-1";
  std::string s3_endpoint;  ///< "" Amazon's.
  bool s3_insecure_tls = false;

  bool empty() const { return uri.empty(); }
};

/// `uri` without user, password, query and fragment: for messages and records.
std::string shown_uri(const std::string& uri);

/// `uri` (from --to, the configuration or the store) or else MLFLOW_TRACKING_URI, with all the rest
/// from the environment and ~/.mlflow/credentials. User-info in the address becomes user and
/// password. Nothing named: empty settings. Throws Error (usage) with one sentence for what cannot
/// be: not http(s), insecure TLS beside a CA, a number that is none, ….
Settings settings_from(const std::string& uri, const Environment& environment,
                       const std::filesystem::path& home);

}  // namespace cifarpipe::mlflow
