// Runs, and what is logged to them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "tracking/mlflow/client.hpp"
#include "tracking/mlflow/client_state.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mlflow {
namespace {

using nlohmann::json;

constexpr const char* kPageOfRuns = "1000";
constexpr const char* kPageOfPoints = "25000";
constexpr std::size_t kSmallestBodyLimit = 16 * 1024;

RemoteRun run_of(const json& run) {
  const json& info = object_of(run, "info");
  RemoteRun result;
  result.id = text_of(info, "run_id");
  result.experiment_id = text_of(info, "experiment_id");
  result.name = text_of(info, "run_name");
  result.status = text_of(info, "status");
  result.artifact_uri = text_of(info, "artifact_uri");
  result.start_ms = integer_of(info, "start_time");
  result.deleted = text_of(info, "lifecycle_stage") == "deleted";
  const json& data = object_of(run, "data");
  result.params = pairs_of(data, "params");
  result.tags = pairs_of(data, "tags");
  return result;
}

bool has_pair(const Pairs& pairs, const std::string& key, const std::string& value) {
  return std::find(pairs.begin(), pairs.end(), std::make_pair(key, value)) != pairs.end();
}

json dataset_json(const DatasetInput& input) {
  json dataset = {{"name", input.name},
                  {"digest", input.digest},
                  {"source_type", input.source_type},
                  {"source", input.source}};
  if (!input.schema.empty()) dataset["schema"] = input.schema;
  if (!input.profile.empty()) dataset["profile"] = input.profile;
  return {{"tags", pairs_json({{"mlflow.data.context", input.context}})}, {"dataset", dataset}};
}

}  // namespace

std::optional<RemoteRun> Client::run(const std::string& run_id) {
  try {
    const json answer = state_->get("reading a run", "runs/get", {{"run_id", run_id}});
    RemoteRun run = run_of(object_of(answer, "run"));
    if (run.id.empty()) run.id = run_id;
    return run;
  } catch (const CallError& error) {
    if (error.failure() != Failure::missing) throw;
    return std::nullopt;
  }
}

std::vector<RemoteRun> Client::runs_with_tag(const std::string& experiment_id,
                                             const std::string& key, const std::string& value) {
  const std::string what = "searching for runs";
  const char quote = value.find('\'') == std::string::npos ? '\'' : '"';
  if (value.find(quote) != std::string::npos || key.find('`') != std::string::npos) {
    state_->caller.refuse(what, "a tag with both kinds of quotes cannot be asked for");
  }
  json body = {{"experiment_ids", json::array({experiment_id})},
               {"filter", fmt::format("tags.`{}` = {}{}{}", key, quote, value, quote)},
               {"run_view_type", "ACTIVE_ONLY"},
               {"max_results", std::stoi(kPageOfRuns)}};
  std::vector<RemoteRun> runs;
  for (;;) {
    const json answer = state_->post(what, "runs/search", body);
    for (const json& entry : array_of(answer, "runs")) {
      RemoteRun run = run_of(entry);
      // Some databases compare without regard to case.
      if (!run.deleted && has_pair(run.tags, key, value)) runs.push_back(std::move(run));
    }
    const std::string token = text_of(answer, "next_page_token");
    if (token.empty()) break;
    body["page_token"] = token;
  }
  std::sort(runs.begin(), runs.end(), [](const RemoteRun& a, const RemoteRun& b) {
    return std::tie(a.start_ms, a.id) < std::tie(b.start_ms, b.id);
  });
  return runs;
}

RemoteRun Client::create_run(const std::string& experiment_id, const std::string& name,
                             std::int64_t start_ms, const Pairs& tags) {
  const std::string what = fmt::format("creating the run '{}'", one_line(name, 80));
  json body = {
      {"experiment_id", experiment_id}, {"start_time", start_ms}, {"tags", pairs_json(tags)}};
  if (!name.empty()) body["run_name"] = name;
  const json answer = state_->post(what, "runs/create", std::move(body), false);
  RemoteRun run = run_of(object_of(answer, "run"));
  if (run.id.empty()) {
    throw CallError(Failure::unreachable, 200, "",
                    fmt::format("{}: {} failed: the answer names no run", settings().uri, what));
  }
  return run;
}

void Client::update_run(const std::string& run_id, const std::string& status,
                        std::optional<std::int64_t> end_ms, const std::string& name) {
  json body = {{"run_id", run_id}};
  if (!status.empty()) body["status"] = status;
  if (end_ms) body["end_time"] = *end_ms;
  if (!name.empty()) body["run_name"] = name;
  state_->post("updating a run", "runs/update", std::move(body));
}

void Client::delete_run(const std::string& run_id) {
  state_->post("deleting a run", "runs/delete", {{"run_id", run_id}});
}

void Client::restore_run(const std::string& run_id) {
  state_->post("restoring a run", "runs/restore", {{"run_id", run_id}});
}

void Client::log_batch(const std::string& run_id, const std::vector<Metric>& metrics,
                       const Pairs& params, const Pairs& tags) {
  const bool nan_once = state_->known().nan_once;
  const auto send = [&](const std::vector<Metric>& some, const Pairs& p, const Pairs& t) {
    for (const BatchPart& part : split_batch(some, p, t, state_->limits)) {
      state_->send_part(run_id, some, p, t, part);
    }
  };
  const auto is_nan = [](const Metric& metric) { return std::isnan(metric.value); };
  if (nan_once || std::none_of(metrics.begin(), metrics.end(), is_nan)) {
    send(metrics, params, tags);
    return;
  }
  // One NaN that was sent before would take all of its request with it, so they go alone.
  std::vector<Metric> numbers = metrics;
  const auto nans = std::stable_partition(numbers.begin(), numbers.end(),
                                          [&](const Metric& metric) { return !is_nan(metric); });
  const std::vector<Metric> rest(nans, numbers.end());
  numbers.erase(nans, numbers.end());
  send(numbers, params, tags);
  send(rest, {}, {});
}

void ClientState::send_part(const std::string& run_id, const std::vector<Metric>& metrics,
                            const Pairs& params, const Pairs& tags, const BatchPart& part) {
  Call call{"writing metrics, parameters and tags",
            "POST",
            std::string(kApi) + "runs/log-batch",
            {},
            nullptr,
            true};
  const std::string body = batch_body(run_id, metrics, params, tags, part, known().logged_models);
  try {
    caller.json(call, body);
    return;
  } catch (const CallError& error) {
    // Old servers stumble over points that they have when there are many in a request; a proxy may
    // let less through than MLflow: both take it in smaller portions.
    const bool too_long = error.status() == 413;
    if (!too_long && !is_duplicate(error)) throw;
    if (part.size() <= 1) {
      if (too_long || part.metrics_from == part.metrics_to) throw;
      return;  // This very point is there.
    }
    if (too_long) limits.bytes = std::max(body.size() / 2, kSmallestBodyLimit);
  }
  const auto halves = part.halves();
  send_part(run_id, metrics, params, tags, halves.first);
  send_part(run_id, metrics, params, tags, halves.second);
}

void Client::delete_tag(const std::string& run_id, const std::string& key) {
  try {
    state_->post("taking a tag away", "runs/delete-tag", {{"run_id", run_id}, {"key", key}});
  } catch (const CallError& error) {
    // Of a run that is not there the server says something else.
    if (error.failure() != Failure::missing ||
        std::string_view(error.what()).find("No tag") == std::string_view::npos) {
      throw;
    }
  }
}

void Client::log_inputs(const std::string& run_id, const std::vector<DatasetInput>& datasets) {
  if (datasets.empty()) return;
  json list = json::array();
  for (const DatasetInput& input : datasets) list.push_back(dataset_json(input));
  state_->post("naming a run's datasets", "runs/log-inputs",
               {{"run_id", run_id}, {"datasets", std::move(list)}});
}

std::vector<Metric> Client::history(const std::string& run_id, const std::string& key) {
  // Without max_results some versions answer no points and a token for ever.
  Pairs query = {{"run_id", run_id}, {"metric_key", key}, {"max_results", kPageOfPoints}};
  std::vector<Metric> points;
  std::string token;
  do {
    const json answer = state_->get("reading a metric", "metrics/get-history", query);
    for (const json& entry : array_of(answer, "metrics")) {
      Metric point;
      point.key = key;
      point.value = number_of(entry, "value");
      point.time_ms = integer_of(entry, "timestamp");
      point.step = integer_of(entry, "step");
      points.push_back(std::move(point));
    }
    const std::string next = text_of(answer, "next_page_token");
    if (next == token) break;  // A server that gives the same page again would for ever.
    token = next;
    query.resize(3);
    query.emplace_back("page_token", token);
  } while (!token.empty());
  std::stable_sort(points.begin(), points.end(), [](const Metric& a, const Metric& b) {
    return std::tie(a.time_ms, a.step) < std::tie(b.time_ms, b.step);
  });
  return points;
}

}  // namespace cifarpipe::mlflow
