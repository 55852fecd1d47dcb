// The ways by which one artifact gets to where its run or model keeps them: through the server, to
// S3, into a folder of this machine, or, where none of these can be, through the call that MLflow's
// own pages use (up to 10 MiB). One thread; made for one upload.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tracking/mlflow/client_state.hpp"

namespace cifarpipe::mlflow {

class ArtifactPlaces {
 public:
  /// All borrowed. `what` is the middle of a sentence.
  ArtifactPlaces(ClientState& state, const ArtifactOwner& owner, const std::string& what)
      : state_(state), owner_(owner), what_(what) {}

  /// Returns when it is there; throws CallError.
  void put(const std::string& path, const Payload& payload);

 private:
  static constexpr std::string_view kServeArtifacts =
      "start the server with --serve-artifacts and make a new experiment, whose files it takes "
      "itself";

  void to_server(const std::string& url, const std::string& path, const Payload& payload,
                 bool credentials);
  /// In parts to the storage behind the server; false if that cannot be. `place` is the path of the
  /// artifacts' root at the server.
  bool in_parts(const std::string& place, const std::string& path, const Payload& payload);
  std::string put_part(const nlohmann::json& credential, std::uint64_t from, std::uint64_t length,
                       const Payload& payload);
  bool to_folder(const std::string& folder, const std::string& path, const Payload& payload);
  void to_s3(const std::string& path, const Payload& payload);
  bool by_signed_url(const std::string& path, const Payload& payload);
  void by_own_signature(const std::string& path, const Payload& payload);
  /// `why`: what stands in the way of the direct one; `way`: what the user can do about it.
  void by_page_upload(const std::string& path, const Payload& payload, const std::string& why,
                      std::string_view way = kServeArtifacts);

  Request request_for(const std::string& method, const std::string& url, const std::string& path,
                      const Payload& payload) const;
  std::uint64_t size_of(const Payload& payload) const;

  ClientState& state_;
  const ArtifactOwner& owner_;
  const std::string& what_;
};

/// The "headers" of what a server signed, as lines.
std::vector<std::string> signed_headers(const nlohmann::json& credential);
/// By the extension; browsers go by it.
std::string content_type_of(const std::string& path);

}  // namespace cifarpipe::mlflow
