// Artifacts: where a file goes depends on what kind of place the experiment keeps them in.
#include <fmt/format.h>

#include <algorithm>

#include "tracking/mlflow/artifact_places.hpp"
#include "tracking/mlflow/client.hpp"
#include "tracking/mlflow/client_state.hpp"
#include "tracking/mlflow/names.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mlflow {
namespace {

using nlohmann::json;

std::vector<RemoteFile> files_of(const json& answer) {
  std::vector<RemoteFile> files;
  for (const json& entry : array_of(answer, "files")) {
    files.push_back(
        {text_of(entry, "path"), text_of(entry, "is_dir") == "true",
         static_cast<std::uint64_t>(std::max<std::int64_t>(integer_of(entry, "file_size"), 0))});
  }
  return files;
}

void append_pages(Caller& caller, Call call, std::vector<RemoteFile>& files) {
  const std::size_t plain = call.query.size();
  for (std::string token;;) {
    const json answer = caller.json(call);
    for (RemoteFile& file : files_of(answer)) files.push_back(std::move(file));
    const std::string next = text_of(answer, "next_page_token");
    if (next.empty() || next == token) return;
    token = next;
    call.query.resize(plain);
    call.query.emplace_back("page_token", token);
  }
}

}  // namespace

std::vector<RemoteFile> ClientState::list(const ArtifactOwner& owner, const std::string& folder) {
  known();
  Call call{"listing artifacts",        "GET",   std::string(kApi) + "artifacts/list",
            {{"run_id", owner.run_id}}, nullptr, true};
  if (!folder.empty()) call.query.emplace_back("path", folder);
  if (!owner.model_id.empty()) {
    call.path =
        kApi + ("logged-models/" + percent_encoded(owner.model_id)) + "/artifacts/directories";
    call.query.clear();
    if (!folder.empty()) call.query.emplace_back("artifact_directory_path", folder);
  }
  std::vector<RemoteFile> files;
  append_pages(caller, std::move(call), files);
  return files;
}

void ClientState::put(const ArtifactOwner& owner, const std::string& path, const Payload& payload) {
  const std::string what = fmt::format("storing the artifact '{}'", one_line(path, 120));
  const std::string problem = artifact_path_problem(path);
  if (!problem.empty()) caller.refuse(what, "its path " + problem);
  known();
  ArtifactPlaces(*this, owner, what).put(path, payload);
}

void Client::put_artifact(const RemoteRun& run, const std::string& path,
                          const std::filesystem::path& file) {
  state_->put({run.id, "", run.artifact_uri}, path, {&file, nullptr});
}

void Client::put_artifact_text(const RemoteRun& run, const std::string& path,
                               const std::string& content) {
  state_->put({run.id, "", run.artifact_uri}, path, {nullptr, &content});
}

std::vector<RemoteFile> Client::artifacts(const std::string& run_id, const std::string& folder) {
  return state_->list({run_id, "", ""}, folder);
}

void Client::put_model_file(const LoggedModel& model, const std::string& path,
                            const std::filesystem::path& file) {
  state_->put({"", model.id, model.artifact_uri}, path, {&file, nullptr});
}

void Client::put_model_text(const LoggedModel& model, const std::string& path,
                            const std::string& content) {
  state_->put({"", model.id, model.artifact_uri}, path, {nullptr, &content});
}

}  // namespace cifarpipe::mlflow
