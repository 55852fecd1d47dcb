// What the files of Client share. Not for others.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "tracking/mlflow/caller.hpp"
#include "tracking/mlflow/client.hpp"
#include "tracking/mlflow/wire.hpp"

namespace cifarpipe::mlflow {

inline constexpr const char* kApi = "/api/2.0/mlflow/";

/// Whose artifacts: a run's or a logged model's.
struct ArtifactOwner {
  std::string run_id;
  std::string model_id;  ///< One of both.
  std::string root;      ///< artifact_uri
};

/// Bytes to be uploaded: of a file if given, else `text`.
struct Payload {
  const std::filesystem::path* file = nullptr;
  const std::string* text = nullptr;
};

struct ClientState {
  ClientState(Settings given, const std::atomic<bool>* stop)
      : settings(std::move(given)), caller(settings, stop) {}

  const Settings settings;
  Caller caller;
  std::optional<Server> server;
  BatchLimits limits;
  /// By root: whether its folder is this machine's. Asked once each.
  std::map<std::string, bool> local_roots;
  bool signs_urls = true;   ///< Until the server says that it does not.
  bool takes_parts = true;  ///< So, too, of uploads in parts.

  /// Asks the server what it is, at the first call.
  const Server& known();

  // client_runs.cpp
  void send_part(const std::string& run_id, const std::vector<Metric>& metrics, const Pairs& params,
                 const Pairs& tags, const BatchPart& part);

  // client_artifacts.cpp
  void put(const ArtifactOwner& owner, const std::string& path, const Payload& payload);
  std::vector<RemoteFile> list(const ArtifactOwner& owner, const std::string& folder);

  // Names of what is asked: POST to kApi + name.
  nlohmann::json post(const std::string& what, const std::string& name, nlohmann::json body,
                      bool repeat = true);
  nlohmann::json get(const std::string& what, const std::string& name, Pairs query);
};

struct Client::State : ClientState {
  using ClientState::ClientState;
};

}  // namespace cifarpipe::mlflow
