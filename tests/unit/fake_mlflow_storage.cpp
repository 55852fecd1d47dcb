// Artifacts: through the server, in a folder, in a bucket.
#include <fstream>

#include "tests/unit/fake_mlflow_api.hpp"

namespace cifarpipe::testing::fake {

namespace fs = std::filesystem;

std::optional<FakeAnswer> Api::storage() {
  const std::string& path = request_.path;
  const FakeFile file{request_.body, request_.body_size};
  const std::string proxied = "/api/2.0/mlflow-artifacts/artifacts/";
  if (path.rfind(proxied, 0) == 0 && request_.method == "PUT") {
    if (!options_.serve_artifacts) {
      return FakeAnswer{503,
                        "{\"detail\":\"Artifact serving is disabled. Run `mlflow server` with "
                        "`--serve-artifacts` to enable.\"}",
                        "application/json",
                        {}};
    }
    std::string name = path.substr(proxied.size());
    for (std::string next = name; (next = mlflow::percent_decoded(name)) != name;) name = next;
    if (name.find('#') != std::string::npos || name.find("..") != std::string::npos ||
        name.back() == '/') {
      bad_value("Invalid path");
    }
    const bool length = request_.headers.count("content-length") != 0;
    data_.artifacts[name] = length ? file : FakeFile{};
    return FakeAnswer{200, "", "text/plain", {}};
  }
  if (path == "/ajax-api/2.0/mlflow/upload-artifact") {
    if (request_.body_size > 10 * 1024 * 1024)
      bad_value("Artifact size is too large. Max size is 10MB.");
    store(run_root(run_of(query("run_uuid"))), query("path"));
    return FakeAnswer{200, "", "text/html", {}};
  }
  const std::string mpu = "/api/2.0/mlflow-artifacts/mpu/";
  if (path.rfind(mpu, 0) == 0) return parts(path.substr(mpu.size()));
  if (path.rfind("/bucket/parts/", 0) == 0) {
    data_.bucket[path.substr(1)] = file;
    return FakeAnswer{200, "", "text/plain", {"ETag: \"" + path.substr(14) + "\""}};
  }
  if (path.rfind("/signed/", 0) == 0) {
    data_.bucket[path.substr(8)] = file;
    return FakeAnswer{200, "", "text/plain", {}};
  }
  if (path.rfind("/bucket/", 0) == 0) {
    data_.bucket[path.substr(1)] = file;
    return FakeAnswer{200, "", "text/plain", {}};
  }
  return std::nullopt;
}

FakeAnswer Api::parts(const std::string& step) {
  if (!options_.multipart) {
    throw ApiError{501, "NOT_IMPLEMENTED", "Multipart upload is not supported"};
  }
  body_ = json::parse(request_.body);
  const std::string name = text(body_, "path");
  if (step.rfind("create/", 0) == 0) {
    json credentials = json::array();
    for (std::int64_t i = whole(body_, "num_parts"); i >= 1; --i) {  // In no order.
      credentials.push_back({{"url", base_ + "/bucket/parts/" + std::to_string(i) + "?X=hushhush"},
                             {"part_number", i},
                             {"headers", {{"x-a", "b"}}}});
    }
    const json answer = {{"upload_id", "up1"}, {"credentials", credentials}};
    return {200, answer.dump(), "application/json", {}};
  }
  if (text(body_, "upload_id") != "up1") bad_value("no such upload");
  if (step.rfind("abort/", 0) == 0) {
    ++data_.uploads_aborted;
    return {};
  }
  FakeFile file;
  for (const json& part : body_.at("parts")) {
    const std::string number = std::to_string(whole(part, "part_number"));
    if (text(part, "etag") != "\"" + number + "\"") bad_value("wrong ETag");
    file.content += data_.bucket.at("bucket/parts/" + number).content;
  }
  file.size = file.content.size();
  data_.artifacts[step.substr(step.find('/') + 1) + "/" + name] = file;
  return {};
}

void Api::store(const std::string& root, const std::string& path) {
  if (root.front() != '/') {
    data_.artifacts[root.substr(root.find(':') + 2) + "/" + path] = {request_.body,
                                                                     request_.body_size};
    return;
  }
  fs::create_directories((fs::path(root) / path).parent_path());
  std::ofstream(fs::path(root) / path, std::ios::binary) << request_.body;
}

json Api::list(const std::string& root, const std::string& folder) {
  std::map<std::string, std::optional<std::uint64_t>> entries;
  const std::string inside = folder.empty() ? "" : folder + "/";
  if (root.front() == '/') {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(fs::path(root) / folder, none)) {
      entries[inside + entry.path().filename().string()] =
          entry.is_directory() ? std::nullopt : std::optional<std::uint64_t>(entry.file_size());
    }
  } else {
    const std::string start = root.substr(root.find(':') + 2) + "/" + inside;
    for (const auto& entry : data_.artifacts) {
      if (entry.first.rfind(start, 0) != 0) continue;
      const std::string rest = entry.first.substr(start.size());
      const std::size_t slash = rest.find('/');
      if (slash == std::string::npos) {
        entries[inside + rest] = entry.second.size;
      } else {
        entries[inside + rest.substr(0, slash)] = std::nullopt;
      }
    }
  }
  json files = json::array();
  for (const auto& entry : entries) {
    json file = {{"path", entry.first}, {"is_dir", !entry.second.has_value()}};
    if (entry.second.value_or(0) > 0) file["file_size"] = *entry.second;
    files.push_back(file);
  }
  if (files.empty()) return {{"root_uri", root}};
  return {{"root_uri", root}, {"files", files}};
}

}  // namespace cifarpipe::testing::fake
