// Runs and what is logged to them.
#include <cmath>
#include <regex>
#include <set>
#include <tuple>

#include "tests/unit/fake_mlflow_api.hpp"

namespace cifarpipe::testing::fake {

namespace fs = std::filesystem;

json Api::create_run() {
  const auto experiment = data_.experiments.find(text(body_, "experiment_id"));
  if (experiment == data_.experiments.end()) missing("No such experiment");
  if (experiment->second.deleted) bad_value("The experiment must be in the 'active' state.");
  FakeRun run;
  run.id = new_id("");
  run.experiment_id = experiment->first;
  run.start_ms = whole(body_, "start_time");
  run.name = text(body_, "run_name");
  for (const json& tag : body_.value("tags", json::array())) {
    run.tags[text(tag, "key")] = text(tag, "value");
  }
  if (run.name.empty()) run.name = "stylish-jay-" + std::to_string(data_.next_id);
  run.tags["mlflow.runName"] = run.name;
  data_.runs.push_back(run);
  return {{"run", run_json(run)}};
}

json Api::update_run() {
  FakeRun& run = active_run(text(body_, "run_id"));
  if (body_.contains("status")) run.status = text(body_, "status");
  if (body_.contains("end_time")) run.end_ms = whole(body_, "end_time");
  if (body_.contains("run_name")) {
    run.name = run.tags["mlflow.runName"] = text(body_, "run_name");
  }
  return {{"run_info", run_json(run)["info"]}};
}

json Api::search_runs() {
  static const std::regex kTag("tags\\.`([^`]*)` = (['\"])(.*)\\2");
  std::smatch match;
  const std::string filter = text(body_, "filter");
  if (!filter.empty() && !std::regex_match(filter, match, kTag)) bad_value("Invalid filter");
  json runs = json::array();
  for (auto run = data_.runs.rbegin(); run != data_.runs.rend(); ++run) {  // Newest first.
    const json& wanted = body_.at("experiment_ids");
    if (run->deleted || std::find(wanted.begin(), wanted.end(), run->experiment_id) == wanted.end())
      continue;
    const auto tag = run->tags.find(match.size() > 1 ? match[1].str() : "");
    if (!filter.empty() && (tag == run->tags.end() || tag->second != match[3])) continue;
    runs.push_back(run_json(*run));
  }
  return {{"runs", runs}};
}

void Api::check_key(const std::string& key) const {
  if (key.empty() || code_points(key) > 250) bad_value("Invalid key: '" + key + "'");
  for (std::size_t at = 0; at < key.size();) {
    const char32_t c = mlflow::next_code_point(key, at);
    const bool colon = c == ':' && since(2, 16);
    if (!mlflow::is_word(c) && c != '/' && c != '.' && c != '-' && c != ' ' && !colon) {
      bad_value("Invalid value \"" + key + "\" for parameter 'name' supplied");
    }
  }
  if (key.front() == '/' || key != fs::path(key).lexically_normal().string() || key.back() == '/' ||
      key == "." || key.rfind("..", 0) == 0) {
    bad_value("Names may be treated as files in certain cases: " + key);
  }
}

void Api::check_batch(const json& metrics, const json& params, const json& tags) const {
  if (metrics.size() > 1000 || params.size() > 100 || tags.size() > 100 ||
      metrics.size() + params.size() + tags.size() > 1000) {
    bad_value("A batch logging request can contain at most 1000 entities");
  }
  std::set<std::string> keys;
  for (const json* list : {&metrics, &params, &tags}) {
    for (const json& entry : *list) check_key(text(entry, "key"));
  }
  for (const json& param : params) {
    if (!keys.insert(text(param, "key")).second) bad_value("Duplicate parameter keys");
  }
  for (const json& metric : metrics) {
    if (!metric.contains("timestamp") || !metric.contains("value")) bad_value("Missing value");
    if (whole(metric, "timestamp") < 0) bad_value("negative timestamp");
  }
}

void Api::set_params(FakeRun& run, const json& params) {
  for (const json& param : params) {
    const auto found = run.params.find(text(param, "key"));
    const std::string value(mlflow::first_code_points(text(param, "value"), 6000));
    if (found != run.params.end() && found->second != value) {
      bad_value("Changing param values is not allowed. Param with key='" + found->first +
                "' was already logged");
    }
  }
  for (const json& param : params) {
    run.params[text(param, "key")] = mlflow::first_code_points(text(param, "value"), 6000);
  }
}

bool Api::add_points(FakeRun& run, const json& metrics) {
  std::vector<FakePoint> points;
  bool whole_list = true;
  for (const json& metric : metrics) {
    const json& value = metric.at("value");
    FakePoint point{text(metric, "key"), 0, false, whole(metric, "timestamp"),
                    whole(metric, "step")};
    const std::string name = value.is_string() ? value.get<std::string>() : "";
    constexpr double kInfinity = 1.7976931348623157e308;
    if (value.is_number()) {
      point.value = value.get<double>();
    } else if (name == "NaN") {
      point.is_nan = true;
    } else if (name == "Infinity" || name == "-Infinity") {
      point.value = name[0] == '-' ? -kInfinity : kInfinity;
    } else {
      point.time_ms = point.step = 0;
      whole_list = false;
    }
    points.push_back(point);
    if (!whole_list) break;
  }
  std::set<FakePoint> there(run.points.begin(), run.points.end());
  std::set<std::string> keys;
  bool again = false;
  for (const FakePoint& point : points) {
    keys.insert(point.key);
    again = again || there.count(point) != 0;
    if (point.is_nan && there.count(point) != 0 && !since(3, 15, 2)) not_unique("metrics.key");
  }
  if (options_.duplicates_fail && again && keys.size() > 100) not_unique("metrics.key");
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (there.insert(points[i]).second) add_point(run, metrics[i], points[i]);
  }
  return whole_list;
}

void Api::add_point(FakeRun& run, const json& metric, const FakePoint& point) {
  run.points.push_back(point);
  const std::string model_id = text(metric, "model_id");
  if (model_id.empty() || !since(3, 0)) return;
  FakeModel* model = data_.model(model_id);
  if (model == nullptr) {
    throw ApiError{400, "BAD_REQUEST", "(sqlite3.IntegrityError) FOREIGN KEY constraint failed"};
  }
  model->metrics.push_back(metric);
}

json Api::log_batch() {
  FakeRun& run = active_run(text(body_, "run_id"));
  const json metrics = body_.value("metrics", json::array());
  const json params = body_.value("params", json::array());
  const json tags = body_.value("tags", json::array());
  check_batch(metrics, params, tags);
  set_params(run, params);
  if (!add_points(run, metrics)) return json::object();
  for (const json& tag : tags) {
    run.tags[text(tag, "key")] =
        mlflow::first_code_points(text(tag, "value"), since(2, 17) ? 8000 : 5000);
    if (text(tag, "key") == "mlflow.runName") run.name = text(tag, "value");
  }
  return json::object();
}

json Api::history() {
  FakeRun& run = run_of(query("run_id"));
  const std::string limit = query("max_results");
  std::size_t page = limit.empty() ? 0 : std::stoul(limit);
  if (limit.empty() && since(3, 17)) page = std::size_t{1} << 30;
  if (options_.history_page > 0) page = std::min(page, options_.history_page);
  std::vector<FakePoint> points;
  for (const FakePoint& point : run.points) {
    if (point.key == query("metric_key")) points.push_back(point);
  }
  std::sort(points.begin(), points.end(), [](const FakePoint& a, const FakePoint& b) {
    return std::tie(a.time_ms, a.step, a.value) < std::tie(b.time_ms, b.step, b.value);
  });
  const std::string token = query("page_token");
  const std::size_t from = token.empty() ? 0 : std::stoul(token);
  json list = json::array();
  for (std::size_t i = from; i < std::min(from + page, points.size()); ++i) {
    json value = points[i].value;
    if (points[i].is_nan) value = "NaN";
    list.push_back({{"key", points[i].key},
                    {"value", value},
                    {"timestamp", points[i].time_ms},
                    {"step", points[i].step}});
  }
  json answer = {{"metrics", list}};
  if (from + page < points.size()) answer["next_page_token"] = std::to_string(from + page);
  return answer;
}

json Api::log_inputs() {
  FakeRun& run = active_run(text(body_, "run_id"));
  for (const json& input : body_.at("datasets")) {
    const json& dataset = input.at("dataset");
    if (code_points(text(dataset, "digest")) > 36) bad_value("digest too long");
    run.inputs.emplace(text(dataset, "name") + "@" + text(dataset, "digest"), input);
  }
  return json::object();
}

}  // namespace cifarpipe::testing::fake
