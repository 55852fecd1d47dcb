#include "tracking/mlflow/artifact_places.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "pipeline/digest.hpp"
#include "pipeline/error.hpp"
#include "pipeline/file_ops.hpp"
#include "tracking/mlflow/names.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mlflow {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kPageUploadLimit = 10 * 1024 * 1024;
constexpr const char* kProxied = "/api/2.0/mlflow-artifacts/artifacts";

std::string scheme_of(const std::string& uri) {
  const std::size_t colon = uri.find(':');
  return colon == std::string::npos || uri[0] == '/' ? "" : uri.substr(0, colon);
}

/// "scheme://host" of an address.
std::string origin_of(const std::string& url) {
  return url.substr(0, url.find('/', url.find("://") + 3));
}

std::string without_end_slash(std::string text) {
  while (!text.empty() && text.back() == '/') text.pop_back();
  return text;
}

/// "file:///a%20b", "file:/a" and "/a" as a path.
std::string local_path(const std::string& uri) {
  if (uri.rfind("file:", 0) != 0) return uri;
  std::string rest = uri.substr(5);
  if (rest.rfind("//", 0) == 0) rest.erase(0, std::min(rest.find('/', 2), rest.size()));
  return percent_decoded(rest);
}

/// The nearest folder on the way to `path` that is there can be written to.
bool can_be_written(fs::path path) {
  std::error_code ignored;
  while (!path.empty() && !fs::exists(path, ignored)) {
    if (path == path.root_path()) return false;
    path = path.parent_path();
  }
  // A root folder that is all there is of it is no sign of being on the right machine.
  return path != path.root_path() && ::access(path.c_str(), W_OK | X_OK) == 0;
}

}  // namespace

void ArtifactPlaces::put(const std::string& path, const Payload& payload) {
  const std::string root = without_end_slash(owner_.root);
  const std::string scheme = scheme_of(root);
  const std::string end = "/" + artifact_url_path(path);
  const std::string& server = state_.settings.uri;
  if (scheme == "mlflow-artifacts") {
    const std::size_t colon = root.find(':') + 1;
    std::string place = root.substr(colon);
    std::string base = server;
    if (place.rfind("//", 0) == 0) {
      const std::size_t slash = std::min(place.find('/', 2), place.size());
      const std::string netloc = place.substr(2, slash - 2);
      if (!netloc.empty()) base = origin_of(server).substr(0, server.find("://") + 3) + netloc;
      place.erase(0, slash);
    }
    if (base == server && in_parts(place, path, payload)) return;
    // The login is for the server that was named, not for one that it names.
    to_server(base + kProxied + artifact_url_path(place) + end, path, payload,
              host_of(base) == host_of(server));
  } else if (scheme == "http" || scheme == "https") {
    to_server(root + end, path, payload, host_of(root) == host_of(server));
  } else if (scheme.empty() || scheme == "file") {
    if (!to_folder(local_path(root), path, payload)) {
      by_page_upload(path, payload,
                     fmt::format("the server keeps this experiment's artifacts in a folder of its "
                                 "own ('{}')",
                                 one_line(root, 200)));
    }
  } else if (scheme == "s3") {
    to_s3(path, payload);
  } else {
    by_page_upload(path, payload,
                   fmt::format("artifacts in '{}:' cannot be written from here", scheme));
  }
}

Request ArtifactPlaces::request_for(const std::string& method, const std::string& url,
                                    const std::string& path, const Payload& payload) const {
  Request request;
  request.method = method;
  request.url = url;
  if (payload.file != nullptr) request.file = *payload.file;
  if (payload.text != nullptr) request.body = *payload.text;
  request.headers.push_back("Content-Type: " + content_type_of(path));
  request.timeout_s = 0;
  return request;
}

std::uint64_t ArtifactPlaces::size_of(const Payload& payload) const {
  if (payload.file == nullptr) return payload.text->size();
  std::error_code error;
  const std::uint64_t size = fs::file_size(*payload.file, error);
  if (error) state_.caller.refuse(what_, "the file cannot be read: " + error.message());
  return size;
}

void ArtifactPlaces::to_server(const std::string& url, const std::string& path,
                               const Payload& payload, bool credentials) {
  Request request = request_for("PUT", url, path, payload);
  request.credentials = credentials;
  try {
    state_.caller.exchange(what_, request);
  } catch (const CallError& error) {
    if (error.status() != 503 || error.failure() != Failure::refused) throw;
    by_page_upload(path, payload, "the server was started with --no-serve-artifacts");
  }
}

bool ArtifactPlaces::to_folder(const std::string& folder, const std::string& path,
                               const Payload& payload) {
  // In a container behind a port of this machine the same path is another folder: the server is
  // asked, once, whether it sees what was written.
  const auto asked = state_.local_roots.find(folder);
  const bool checked = asked != state_.local_roots.end();
  if (checked ? !asked->second : !is_loopback(state_.settings.uri) || !can_be_written(folder)) {
    return false;
  }
  const fs::path target = fs::path(folder) / path;
  try {
    FileOps& ops = file_ops();
    ops.make_dirs(target.parent_path());
    const fs::path half = target.parent_path() / ("." + target.filename().string() + ".tmp");
    if (payload.file != nullptr) {
      fs::copy_file(*payload.file, half, fs::copy_options::overwrite_existing);
    } else {
      ops.write_file(half, *payload.text);
    }
    ops.rename(half, target);
  } catch (const std::exception& error) {
    state_.caller.refuse(what_, error.what());
  }
  if (checked) return true;
  const std::size_t slash = path.rfind('/');
  const auto files = state_.list(owner_, slash == std::string::npos ? "" : path.substr(0, slash));
  const std::uint64_t size = size_of(payload);
  const bool seen = std::any_of(files.begin(), files.end(), [&](const RemoteFile& file) {
    return (file.path == path || file.path == path.substr(slash + 1)) && file.size == size;
  });
  state_.local_roots[folder] = seen;
  if (!seen) file_ops().try_remove_all(target);
  return seen;
}

void ArtifactPlaces::to_s3(const std::string& path, const Payload& payload) {
  if (state_.signs_urls && by_signed_url(path, payload)) return;
  if (!state_.settings.aws_key.empty()) {
    by_own_signature(path, payload);
    return;
  }
  by_page_upload(path, payload,
                 "this experiment's artifacts lie in S3, the server signs no addresses (MLflow "
                 "3.12 and later can) and AWS_ACCESS_KEY_ID is not set",
                 "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
}

bool ArtifactPlaces::by_signed_url(const std::string& path, const Payload& payload) {
  json body = {{"path", path}};
  if (owner_.model_id.empty()) {
    body["run_id"] = owner_.run_id;
  } else {
    body["model_id"] = owner_.model_id;
  }
  json answer;
  try {
    answer = state_.post("asking where to store an artifact", "artifacts/presigned-upload-url",
                         std::move(body));
  } catch (const CallError& error) {
    if (error.failure() != Failure::refused && error.failure() != Failure::unsupported) throw;
    state_.signs_urls = false;
    return false;
  }
  Request request = request_for("PUT", text_of(answer, "presigned_url"), path, payload);
  if (request.url.empty()) return false;
  request.credentials = false;
  request.insecure_tls = state_.settings.s3_insecure_tls;
  request.headers = signed_headers(answer);
  state_.caller.exchange(what_, request);
  return true;
}

void ArtifactPlaces::by_own_signature(const std::string& path, const Payload& payload) {
  const Settings& settings = state_.settings;
  const std::string place = without_end_slash(owner_.root).substr(5);  // "s3://"
  const std::size_t slash = std::min(place.find('/'), place.size());
  const std::string bucket = place.substr(0, slash);
  const std::string key = artifact_url_path(place.substr(slash)) + "/" + artifact_url_path(path);
  const std::string url =
      settings.s3_endpoint.empty()
          ? fmt::format("https://{}.s3.{}.amazonaws.com{}", bucket, settings.aws_region, key)
          : settings.s3_endpoint + "/" + bucket + key;
  Request request = request_for("PUT", url, path, payload);
  request.credentials = false;
  request.insecure_tls = settings.s3_insecure_tls;
  request.sign = "aws:amz:" + settings.aws_region + ":s3";
  request.sign_with = settings.aws_key + ":" + settings.aws_secret;
  // Said beforehand: libcurl does not read a file twice.
  request.headers.push_back("x-amz-content-sha256: " + (payload.file != nullptr
                                                            ? sha256_file(*payload.file)
                                                            : sha256(*payload.text)));
  if (!settings.aws_session.empty()) {
    request.headers.push_back("x-amz-security-token: " + settings.aws_session);
  }
  state_.caller.exchange(what_, request);
}

void ArtifactPlaces::by_page_upload(const std::string& path, const Payload& payload,
                                    const std::string& why, std::string_view way) {
  if (owner_.run_id.empty()) {
    state_.caller.refuse(what_,
                         fmt::format("{}, where nothing can bring a model's files; {}", why, way));
  }
  const std::uint64_t size = size_of(payload);
  if (size > kPageUploadLimit) {
    state_.caller.refuse(
        what_, fmt::format("{}, and through its pages only 10 MiB can be sent, while this file has "
                           "{:.1f} MiB; {}",
                           why, static_cast<double>(size) / (1024 * 1024), way));
  }
  Request request = request_for("POST",
                                state_.caller.url("/ajax-api/2.0/mlflow/upload-artifact",
                                                  {{"run_uuid", owner_.run_id}, {"path", path}}),
                                path, payload);
  // A form's type would make the server parse the bytes.
  request.headers = {"Content-Type: application/octet-stream", "Expect:"};
  try {
    state_.caller.exchange(what_, request, false);
  } catch (const CallError& error) {
    // MLflow's own words for "this server cannot": another try finds the same.
    if (error.status() != 500 && error.failure() != Failure::unsupported) throw;
    state_.caller.refuse(what_,
                         fmt::format("{}, and its pages do not take files either; {}", why, way));
  }
}

std::vector<std::string> signed_headers(const json& credential) {
  // The signature covers the headers: these and no others.
  std::vector<std::string> headers;
  bool typed = false;
  for (const auto& header : object_of(credential, "headers").items()) {
    if (!header.value().is_string()) continue;
    const std::string line = header.key() + ": " + header.value().get<std::string>();
    if (line.find_first_of("\r\n") == std::string::npos) headers.push_back(line);
    typed = typed || line.rfind("Content-Type:", 0) == 0 || line.rfind("content-type:", 0) == 0;
  }
  if (!typed) headers.push_back("Content-Type:");
  return headers;
}

std::string content_type_of(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  const std::string end = dot == std::string::npos ? "" : path.substr(dot + 1);
  constexpr std::pair<const char*, const char*> kTypes[] = {
      {"png", "image/png"},         {"jpg", "image/jpeg"}, {"svg", "image/svg+xml"},
      {"json", "application/json"}, {"html", "text/html"}, {"csv", "text/csv"},
      {"txt", "text/plain"},        {"log", "text/plain"}, {"md", "text/markdown"},
      {"toml", "application/toml"}, {"yaml", "text/yaml"},
  };
  for (const auto& type : kTypes) {
    if (end == type.first) return type.second;
  }
  return "application/octet-stream";
}

}  // namespace cifarpipe::mlflow
