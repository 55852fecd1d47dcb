// Logged models and the registry.
#include <fmt/format.h>

#include <algorithm>

#include "pipeline/config.hpp"
#include "tracking/mlflow/client.hpp"
#include "tracking/mlflow/client_state.hpp"
#include "tracking/mlflow/names.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mlflow {
namespace {

using nlohmann::json;

constexpr const char* kModelHistory = "mlflow.log-model.history";

LoggedModel model_of(const json& model) {
  const json& info = object_of(model, "info");
  return {text_of(info, "model_id"), text_of(info, "name"), text_of(info, "status"),
          text_of(info, "artifact_uri")};
}

/// As many parameters from `from` on as one call takes.
json share_of(const Pairs& params, std::size_t from) {
  const auto begin = params.begin() + static_cast<std::ptrdiff_t>(from);
  const std::size_t count = std::min(kModelParamsOfCreate, params.size() - from);
  return pairs_json(Pairs(begin, begin + static_cast<std::ptrdiff_t>(count)));
}

/// Does `act` unless the server has been asked before and knows no such thing; and remembers it.
template <class Act>
auto of_logged_models(std::optional<Server>& server, const Settings& settings, const Act& act) {
  if (!server->logged_models) {
    throw CallError(Failure::unsupported, 0, "",
                    fmt::format("{}: this MLflow ({}) has no logged models, which came with 3.0",
                                settings.uri, server->version));
  }
  try {
    return act();
  } catch (const CallError& error) {
    if (error.failure() == Failure::unsupported) server->logged_models = false;
    throw;
  }
}

}  // namespace

std::vector<LoggedModel> Client::models_with_tag(const std::string& experiment_id,
                                                 const std::string& key, const std::string& value) {
  ClientState& state = *state_;
  state.known();
  if (value.find('\'') != std::string::npos || key.find('`') != std::string::npos) {
    state.caller.refuse("searching for models", "a tag with a quote cannot be asked for");
  }
  return of_logged_models(state.server, state.settings, [&] {
    json body = {{"experiment_ids", json::array({experiment_id})},
                 {"filter", fmt::format("tags.`{}` = '{}'", key, value)},
                 {"max_results", 50}};
    std::vector<LoggedModel> models;
    for (;;) {
      const json answer = state.post("searching for models", "logged-models/search", body);
      for (const json& entry : array_of(answer, "models")) {
        const Pairs tags = pairs_of(object_of(entry, "info"), "tags");
        if (std::find(tags.begin(), tags.end(), std::make_pair(key, value)) != tags.end()) {
          models.push_back(model_of(entry));
        }
      }
      const std::string token = text_of(answer, "next_page_token");
      if (token.empty()) return models;
      body["page_token"] = token;
    }
  });
}

LoggedModel Client::create_model(const std::string& experiment_id, const std::string& name,
                                 const std::string& run_id, const Pairs& params,
                                 const Pairs& tags) {
  ClientState& state = *state_;
  state.known();
  const std::string what = fmt::format("creating the model '{}'", one_line(name, 80));
  return of_logged_models(state.server, state.settings, [&] {
    json body = {{"experiment_id", experiment_id}, {"name", name}, {"tags", pairs_json(tags)}};
    if (!run_id.empty()) body["source_run_id"] = run_id;
    if (!params.empty()) body["params"] = share_of(params, 0);
    const json answer = state.post(what, "logged-models", std::move(body), false);
    LoggedModel model = model_of(object_of(answer, "model"));
    if (model.id.empty()) {
      throw CallError(
          Failure::unreachable, 200, "",
          fmt::format("{}: {} failed: the answer names no model", state.settings.uri, what));
    }
    return model;
  });
}

void Client::put_model_params(const std::string& model_id, const Pairs& params) {
  ClientState& state = *state_;
  state.known();
  of_logged_models(state.server, state.settings, [&] {
    for (std::size_t from = 0; from < params.size(); from += kModelParamsOfCreate) {
      try {
        state.post("writing a model's parameters", "logged-models/" + model_id + "/params",
                   {{"model_id", model_id}, {"params", share_of(params, from)}});
      } catch (const CallError& error) {
        if (!is_duplicate(error)) throw;
      }
    }
  });
}

void Client::add_model_output(const std::string& run_id, const std::string& model_id,
                              std::int64_t step) {
  ClientState& state = *state_;
  state.known();
  of_logged_models(state.server, state.settings, [&] {
    try {
      state.post("linking a model to its run", "runs/outputs",
                 {{"run_id", run_id},
                  {"models", json::array({json{{"model_id", model_id}, {"step", step}}})}});
    } catch (const CallError& error) {
      if (!is_duplicate(error)) throw;
    }
  });
}

void Client::finish_model(const std::string& model_id, bool ready) {
  ClientState& state = *state_;
  state.known();
  of_logged_models(state.server, state.settings, [&] {
    // A status that the server does not know would wipe the model's: these two only.
    const json body = {{"model_id", model_id},
                       {"status", ready ? "LOGGED_MODEL_READY" : "LOGGED_MODEL_UPLOAD_FAILED"}};
    state.caller.json({"finishing a model",
                       "PATCH",
                       kApi + ("logged-models/" + percent_encoded(model_id)),
                       {},
                       body,
                       true});
  });
}

void Client::log_model_json(const std::string& run_id, const std::string& model_json) {
  const auto model = parsed(model_json);
  const std::string what = "naming a run's model";
  if (!model) state_->caller.refuse(what, "its description is no JSON object");
  // Every call appends: what is there is not sent again.
  const auto remote = run(run_id);
  if (remote) {
    for (const auto& tag : remote->tags) {
      if (tag.first != kModelHistory) continue;
      const json history = json::parse(tag.second, nullptr, false);
      for (const json& entry : history.is_array() ? history : json::array()) {
        const std::string field = model->contains("model_uuid") ? "model_uuid" : "artifact_path";
        if (text_of(entry, field.c_str()) == text_of(*model, field.c_str())) return;
      }
    }
  }
  state_->post(what, "runs/log-model", {{"run_id", run_id}, {"model_json", model_json}}, false);
}

void Client::create_registered_model(const std::string& name) {
  try {
    state_->post(fmt::format("registering the model '{}'", one_line(name, 80)),
                 "registered-models/create", {{"name", name}});
  } catch (const CallError& error) {
    if (error.code() != "RESOURCE_ALREADY_EXISTS" && !is_duplicate(error)) throw;
  }
}

std::optional<std::string> Client::model_version_with_tag(const std::string& name,
                                                          const std::string& key,
                                                          const std::string& value) {
  const std::string what = "searching for a model's versions";
  const char quote = name.find('\'') == std::string::npos ? '\'' : '"';
  if (name.find(quote) != std::string::npos) {
    state_->caller.refuse(what, "a name with both kinds of quotes cannot be asked for");
  }
  Pairs query = {{"filter", fmt::format("name={}{}{}", quote, name, quote)},
                 {"max_results", "200"}};
  for (std::string token;;) {
    const json answer = state_->get(what, "model-versions/search", query);
    for (const json& entry : array_of(answer, "model_versions")) {
      const Pairs tags = pairs_of(entry, "tags");
      if (std::find(tags.begin(), tags.end(), std::make_pair(key, value)) != tags.end()) {
        return text_of(entry, "version");
      }
    }
    const std::string next = text_of(answer, "next_page_token");
    if (next.empty() || next == token) return std::nullopt;
    token = next;
    query.resize(2);
    query.emplace_back("page_token", token);
  }
}

std::string Client::create_model_version(const std::string& name, const std::string& source,
                                         const std::string& run_id, const std::string& model_id,
                                         const Pairs& tags) {
  const std::string what = fmt::format("adding a version to the model '{}'", one_line(name, 80));
  json body = {{"name", name}, {"source", source}, {"tags", pairs_json(tags)}};
  if (!run_id.empty()) body["run_id"] = run_id;
  if (!model_id.empty()) body["model_id"] = model_id;
  const json answer = state_->post(what, "model-versions/create", std::move(body), false);
  return text_of(object_of(answer, "model_version"), "version");
}

void Client::set_model_alias(const std::string& name, const std::string& alias,
                             const std::string& version) {
  const std::string what = fmt::format("giving a model the alias '{}'", one_line(alias, 80));
  const std::string problem = alias_problem(alias);
  if (!problem.empty()) state_->caller.refuse(what, "the alias " + problem);
  state_->post(what, "registered-models/alias",
               {{"name", name}, {"alias", alias}, {"version", version}});
}

}  // namespace cifarpipe::mlflow
