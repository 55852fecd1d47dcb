// Large files in parts, where the server's storage takes them (S3 and the like): the server begins
// the upload and signs an address for each part, the parts go there, the server puts them together.
#include <fmt/format.h>

#include <algorithm>

#include "tracking/mlflow/artifact_places.hpp"
#include "tracking/mlflow/names.hpp"

namespace cifarpipe::mlflow {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMostParts = 10000;

Call part_call(const std::string& what, const char* step, const std::string& folder, json body,
               bool repeat) {
  return {what,
          "POST",
          fmt::format("/api/2.0/mlflow-artifacts/mpu/{}{}", step, artifact_url_path(folder)),
          {},
          std::move(body),
          repeat};
}

}  // namespace

bool ArtifactPlaces::in_parts(const std::string& place, const std::string& path,
                              const Payload& payload) {
  const Settings& settings = state_.settings;
  if (!settings.multipart || !state_.takes_parts || payload.file == nullptr) return false;
  const std::uint64_t size = size_of(payload);
  if (size == 0 || size < settings.multipart_minimum) return false;
  const std::uint64_t chunk =
      std::max(settings.multipart_chunk, (size + kMostParts - 1) / kMostParts);
  const std::uint64_t count = (size + chunk - 1) / chunk;
  // The address names the folder, the body the file.
  const std::size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? place : place + "/" + path.substr(0, slash);
  const std::string name = path.substr(slash == std::string::npos ? 0 : slash + 1);
  json upload;
  try {
    upload = state_.caller.json(
        part_call(what_, "create", folder, {{"path", name}, {"num_parts", count}}, true));
  } catch (const CallError& error) {
    if (error.failure() != Failure::unsupported && error.failure() != Failure::refused) throw;
    state_.takes_parts = false;
    return false;
  }
  const std::string id = text_of(upload, "upload_id");
  try {
    json parts = json::array();
    for (const json& credential : array_of(upload, "credentials")) {
      const auto number = static_cast<std::uint64_t>(integer_of(credential, "part_number"));
      if (number < 1 || number > count) continue;
      const std::uint64_t from = (number - 1) * chunk;
      const std::string etag = put_part(credential, from, std::min(chunk, size - from), payload);
      parts.push_back(
          {{"part_number", number}, {"etag", etag}, {"url", text_of(credential, "url")}});
    }
    if (parts.size() != count) state_.caller.refuse(what_, "the server signed too few parts");
    std::sort(parts.begin(), parts.end(), [](const json& a, const json& b) {
      return integer_of(a, "part_number") < integer_of(b, "part_number");
    });
    state_.caller.json(part_call(what_, "complete", folder,
                                 {{"path", name}, {"upload_id", id}, {"parts", parts}}, false));
    return true;
  } catch (const CallError& error) {
    if (error.failure() == Failure::stopped) throw;
  }
  // What is there of it would be paid for; the file goes as a whole instead.
  try {
    state_.caller.json(
        part_call(what_, "abort", folder, {{"path", name}, {"upload_id", id}}, false));
  } catch (const CallError& error) {
    if (error.failure() == Failure::stopped) throw;
  }
  return false;
}

std::string ArtifactPlaces::put_part(const json& credential, std::uint64_t from,
                                     std::uint64_t length, const Payload& payload) {
  Request request;
  request.method = "PUT";
  request.url = text_of(credential, "url");
  request.file = *payload.file;
  request.file_from = from;
  request.file_length = length;
  request.timeout_s = 0;
  request.credentials = false;
  request.insecure_tls = state_.settings.s3_insecure_tls;
  request.headers = signed_headers(credential);
  return state_.caller.exchange(what_, request).etag;
}

}  // namespace cifarpipe::mlflow
