// What the server is, and experiments.
#include "tracking/mlflow/client.hpp"

#include <fmt/format.h>

#include "tracking/mlflow/client_state.hpp"
#include "tracking/mlflow/names.hpp"
#include "tracking/mlflow/retry.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mlflow {
namespace {

/// "3.17.2" of what /version answered; "" if that is no version.
std::string version_in(const Response& response) {
  if (response.status != 200 || !response.problem.empty()) return "";
  const std::string text = one_line(response.body, 40);
  const bool plausible = !text.empty() && text[0] >= '0' && text[0] <= '9' &&
                         text.find('.') != std::string::npos &&
                         text.find_first_of(" <{\"") == std::string::npos;
  return plausible ? text : "";
}

/// Unknown versions count as the newest, except where being careful costs nothing.
Server features_of(const std::string& version) {
  Server server;
  server.version = version;
  const auto at_least = [&](int major, int minor, int patch = 0) {
    return version.empty() || version_at_least(version, major, minor, patch);
  };
  server.logged_models = at_least(3, 0);
  server.step_images = at_least(2, 15);
  server.tag_length = at_least(2, 17) ? 8000 : 5000;
  server.colons_in_keys = at_least(2, 16);
  server.nan_once = version_at_least(version, 3, 15, 2);
  return server;
}

}  // namespace

Client::Client(Settings settings, const std::atomic<bool>* stop)
    : state_(std::make_unique<State>(std::move(settings), stop)) {}

Client::~Client() = default;

bool Client::stopped() const {
  return state_->caller.http().stopped();
}

const Server& Client::server() {
  return state_->known();
}

const Settings& Client::settings() const {
  return state_->settings;
}

const Server& ClientState::known() {
  if (server) return *server;
  const std::string what = "asking for its version";
  Request request;
  request.url = caller.url("/version");
  const Response version = caller.probe("/version", settings.probe_timeout_s);
  // A login may guard /version alone; what does not answer now will not answer the next either.
  const bool guarded = version.status == 401 || version.status == 403;
  const bool absent = version.status == 404 || version.status == 405;
  if (!version.problem.empty()) caller.fail(what, request, version);
  if (version.status >= 300 && !guarded && !absent) caller.fail(what, request, version);
  Server result = features_of(version_in(version));
  if (result.version.empty() || version_at_least(result.version, 3, 10)) {
    request.url = caller.url("/api/3.0/mlflow/server-info");
    const Response info = caller.probe("/api/3.0/mlflow/server-info", settings.probe_timeout_s);
    if (!info.problem.empty() || worth_repeating(info.status) || info.status >= 500) {
      caller.fail(what, request, info);
    }
    const auto answer = info.status == 200 ? parsed(info.body) : std::nullopt;
    if (answer) {
      result.workspaces = text_of(*answer, "workspaces_enabled") == "true";
      signs_urls = text_of(*answer, "presigned_upload_run_id_supported") != "false";
    }
  } else {
    signs_urls = false;
  }
  if (!settings.workspace.empty() && !result.workspaces) {
    caller.refuse(what, fmt::format("MLFLOW_WORKSPACE is '{}', but this server has no workspaces: "
                                    "unset it",
                                    one_line(settings.workspace, 60)));
  }
  caller.http().workspace = settings.workspace;
  server = result;
  return *server;
}

nlohmann::json ClientState::post(const std::string& what, const std::string& name,
                                 nlohmann::json body, bool repeat) {
  known();
  return caller.json({what, "POST", kApi + name, {}, std::move(body), repeat});
}

nlohmann::json ClientState::get(const std::string& what, const std::string& name, Pairs query) {
  known();
  return caller.json({what, "GET", kApi + name, std::move(query), nullptr, true});
}

std::string Client::experiment(const std::string& name, const Pairs& tags) {
  const std::string what = fmt::format("finding the experiment '{}'", one_line(name, 80));
  const auto look = [&]() -> std::optional<std::string> {
    nlohmann::json answer;
    try {
      answer = state_->get(what, "experiments/get-by-name", {{"experiment_name", name}});
    } catch (const CallError& error) {
      if (error.failure() != Failure::missing) throw;
      return std::nullopt;
    }
    const nlohmann::json& found = object_of(answer, "experiment");
    const std::string id = text_of(found, "experiment_id");
    if (id.empty()) state_->caller.refuse(what, "the answer holds no experiment");
    if (text_of(found, "lifecycle_stage") == "deleted") {
      state_->caller.refuse(
          what, fmt::format("it was deleted there; bring it back (mlflow experiments restore "
                            "--experiment-id {}) or use another name",
                            id));
    }
    return id;
  };
  if (const auto id = look()) return *id;
  try {
    const nlohmann::json answer =
        state_->post(fmt::format("creating the experiment '{}'", one_line(name, 80)),
                     "experiments/create", {{"name", name}, {"tags", pairs_json(tags)}});
    const std::string id = text_of(answer, "experiment_id");
    if (!id.empty()) return id;
  } catch (const CallError& error) {
    // Somebody else was faster, or this very call was and its answer got lost.
    if (error.code() != "RESOURCE_ALREADY_EXISTS") throw;
  }
  if (const auto id = look()) return *id;
  state_->caller.refuse(what, "it is neither there nor can it be created");
}

void Client::tag_experiment(const std::string& id, const Pairs& tags) {
  for (const auto& tag : tags) {
    const auto set = [&] {
      state_->post("tagging the experiment", "experiments/set-experiment-tag",
                   {{"experiment_id", id}, {"key", tag.first}, {"value", tag.second}});
    };
    try {
      set();
    } catch (const CallError& error) {
      // Somebody else set it for the first time at the same moment: now it can be changed.
      if (!is_duplicate(error)) throw;
      set();
    }
  }
}

}  // namespace cifarpipe::mlflow
