// The client against a real server, where one is named: CIFARPIPE_TEST_MLFLOW=http://…, as
// tests/e2e/tracking_client.py does; without it there is nothing to do here. What the fake was made
// after, checked at the source. Numbers in comments are the points of docs/conformance.md.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "pipeline/random_id.hpp"
#include "tests/unit/mlflow_fixture.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/mlflow/client.hpp"
#include "tracking/mlflow/names.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe {
namespace {

using mlflow::CallError;
using mlflow::Client;
using mlflow::Failure;
using mlflow::Metric;
using mlflow::Pairs;
using mlflow::RemoteRun;
using testing::call_error;
using testing::holds;
using testing::TempDir;

const char* real_uri() {
  return std::getenv("CIFARPIPE_TEST_MLFLOW");
}

Metric point(const std::string& key, double value, std::int64_t step) {
  Metric metric;
  metric.key = key;
  metric.value = value;
  metric.step = step;
  metric.time_ms = 1700000000000 + (std::abs(step) < 100000 ? std::abs(step) : 1);
  return metric;
}

/// A run in an experiment of its own.
struct Fixture {
  Fixture() : client(testing::quick_settings(real_uri() == nullptr ? "http://none" : real_uri())) {
    if (real_uri() == nullptr) return;
    experiment = client.experiment("größe/a b & c " + random_id(), {{"mlflow.note.content", "ü"}});
    run = client.create_run(experiment, "one", 1700000000000, {{"uid", uid}});
  }
  std::string param(const std::string& key) {
    const RemoteRun remote = *client.run(run.id);
    for (const auto& pair : remote.params) {
      if (pair.first == key) return pair.second;
    }
    return "(none)";
  }

  const std::string uid = random_id();
  Client client;
  std::string experiment;
  RemoteRun run;
};

BOOST_FIXTURE_TEST_SUITE(mlflow_real, Fixture)

BOOST_AUTO_TEST_CASE(runs_and_experiments) {  // 11, 12, 15, 16, 17, 20, 21
  if (real_uri() == nullptr) return;
  BOOST_TEST_MESSAGE("MLflow " << client.server().version);
  BOOST_TEST(!client.server().version.empty());
  const std::string name = "e" + uid;
  const std::string id = client.experiment(name);
  BOOST_TEST(client.experiment(name) == id);
  client.tag_experiment(id, {{"k", "v"}});
  const RemoteRun child = client.create_run(experiment, "", 5, {{"mlflow.parentRunId", run.id}});
  BOOST_TEST(!child.name.empty());
  const auto children = client.runs_with_tag(experiment, "mlflow.parentRunId", run.id);
  BOOST_REQUIRE(children.size() == 1u);
  BOOST_TEST(children[0].id == child.id);
  BOOST_TEST(client.runs_with_tag(experiment, "uid", uid).size() == 1u);
  client.update_run(run.id, "KILLED", 1700000001000, "two");
  BOOST_TEST(client.run(run.id)->name == "two");
  BOOST_TEST(client.run(run.id)->status == "KILLED");
  client.update_run(run.id, "RUNNING", std::nullopt, "");
  BOOST_TEST(client.run(run.id)->status == "RUNNING");
  client.delete_run(child.id);
  client.delete_run(child.id);
  BOOST_TEST(client.run(child.id)->deleted);
  BOOST_TEST(client.runs_with_tag(experiment, "mlflow.parentRunId", run.id).empty());
  BOOST_TEST((call_error([&] { client.log_batch(child.id, {point("a", 1, 1)}); }).failure() ==
              Failure::refused));
  client.restore_run(child.id);
  client.log_batch(child.id, {point("a", 1, 1)});
  BOOST_TEST(!client.run(random_id()).has_value());
}

BOOST_AUTO_TEST_CASE(batches) {  // 22, 23, 25, 26, 28, 29, 32, 34
  if (real_uri() == nullptr) return;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  std::vector<Metric> points;
  for (int i = 0; i < 2001; ++i) points.push_back(point("loss", i / 8.0, i));
  points.push_back(point("nan", kNan, 1));
  points.push_back(point("nan", kNan, 2));
  points.push_back(point("inf", kInfinity, 1));
  points.push_back(point("inf", -kInfinity, 2));
  points.push_back(point("far", 0.1, (std::int64_t{1} << 53) + 1));
  points.push_back(point("far", 0.1, -5));
  std::string wide;
  for (int i = 0; i < 9000; ++i) wide += "😀";
  Pairs odd = {{"größe:a", wide}, {"/a//b/../c", "1"},          {"a#b", ""},
               {"a_b", "2"},      {std::string(300, 'k'), "3"}, {"x@\n\t", "4"},
               {"日本 語", "5"}};
  for (int i = 0; i < 240; ++i) odd.emplace_back("p" + std::to_string(i), std::to_string(i));
  const auto params = mlflow::fit_params(odd, client.server());
  const auto tags = mlflow::fit_tags(odd, client.server());
  for (int time = 0; time < 2; ++time) client.log_batch(run.id, points, params.pairs, tags.pairs);
  const auto history = client.history(run.id, "loss");
  BOOST_REQUIRE(history.size() == 2001u);
  for (std::size_t i = 0; i < history.size(); ++i) {
    BOOST_TEST(history[i].value == static_cast<double>(i) / 8);
  }
  BOOST_TEST(client.history(run.id, "nan").size() == 2u);
  BOOST_TEST(std::isnan(client.history(run.id, "nan")[1].value));
  BOOST_TEST(client.history(run.id, "inf").size() == 2u);
  const auto far = client.history(run.id, "far");
  BOOST_REQUIRE(far.size() == 2u);
  BOOST_TEST(std::max(far[0].step, far[1].step) == (std::int64_t{1} << 53) + 1);
  BOOST_TEST(std::min(far[0].step, far[1].step) == -5);
  const RemoteRun remote = *client.run(run.id);
  BOOST_TEST(remote.params.size() == params.pairs.size());
  for (const auto& pair : params.pairs) {
    const bool found =
        std::find(remote.params.begin(), remote.params.end(), pair) != remote.params.end();
    BOOST_TEST(found, pair.first);
  }
  for (const auto& tag : tags.pairs) {
    const bool found = std::find(remote.tags.begin(), remote.tags.end(), tag) != remote.tags.end();
    BOOST_TEST(found, tag.first);
  }
}

BOOST_AUTO_TEST_CASE(a_parameter_cannot_change) {  // 27
  if (real_uri() == nullptr) return;
  client.log_batch(run.id, {}, {{"lr", "0.1"}});
  const CallError error = call_error([&] { client.log_batch(run.id, {}, {{"lr", "0.2"}}); });
  BOOST_TEST((error.failure() == Failure::refused));
  BOOST_TEST(error.code() == "INVALID_PARAMETER_VALUE");
  BOOST_TEST(!holds(error.what(), "SQL"), error.what());
  BOOST_TEST_MESSAGE(error.what());
  BOOST_TEST(param("lr") == "0.1");
}

BOOST_AUTO_TEST_CASE(artifacts) {  // 39, 40, 41
  if (real_uri() == nullptr) return;
  const char* kNames[] = {"a b.txt", "größe/ä.png", "c+d.csv", "100%.md", "~e.toml", "deep/er/f"};
  for (const char* name : kNames) client.put_artifact_text(run, name, name);
  for (const char* name : kNames) {
    const std::string path = name;
    const std::size_t slash = path.rfind('/');
    bool found = false;
    for (const auto& file :
         client.artifacts(run.id, slash == std::string::npos ? "" : path.substr(0, slash))) {
      found = found || (file.path == path && file.size == path.size() && !file.directory);
    }
    BOOST_TEST(found, path);
  }
  const TempDir dir;
  std::ofstream(dir / "big") << std::string(3000000, 'x');
  std::ofstream(dir / "empty") << "";
  client.put_artifact(run, "files/f", dir / "big");
  BOOST_TEST(client.artifacts(run.id, "files").at(0).size == 3000000u);
  client.put_artifact(run, "files/f", dir / "empty");
  BOOST_TEST(client.artifacts(run.id, "files").at(0).size == 0u);
  BOOST_TEST(client.artifacts(run.id, "none").empty());
}

BOOST_AUTO_TEST_CASE(datasets) {  // 38
  if (real_uri() == nullptr) return;
  const mlflow::DatasetInput input = {
      "cifar10-train", uid, "http", R"({"url":"http://x"})", R"({"mlflow_tensorspec":{}})", "{}",
      "training"};
  client.log_inputs(run.id, {input});
  client.log_inputs(run.id, {input});
}

BOOST_AUTO_TEST_CASE(models) {  // 49, 50, 51, 52, 56
  if (real_uri() == nullptr) return;
  const std::string name = "net " + uid;
  if (!client.server().logged_models) {
    const std::string text =
        R"({"run_id":")" + run.id +
        R"(","artifact_path":"model","utc_time_created":"2026-11-22 )"
        R"(18:07:22.606248","model_uuid":"u","flavors":{"onnx":{"data":"m"}}})";
    client.log_model_json(run.id, text);
    client.log_model_json(run.id, text);
    client.put_artifact_text(run, "model/MLmodel", "{}");
    client.create_registered_model(name);
    BOOST_TEST(client.create_model_version(name, run.artifact_uri + "/model", run.id, "",
                                           {{"uid", uid}}) == "1");
    return;
  }
  Pairs params;
  for (int i = 0; i < 130; ++i) params.emplace_back("p" + std::to_string(i), "v");
  const auto model = client.create_model(experiment, mlflow::fitted_model_name("res/net:1.0"),
                                         run.id, params, {{"uid", uid}});
  client.put_model_params(model.id, params);
  client.put_model_params(model.id, params);
  client.add_model_output(run.id, model.id, 20);
  client.add_model_output(run.id, model.id, 20);
  Metric metric = point("test/accuracy", 0.9, 0);
  metric.model_id = model.id;
  metric.dataset_name = "cifar10-test";
  metric.dataset_digest = "0123abcd";
  client.log_batch(run.id, {metric});
  client.log_batch(run.id, {metric});
  client.put_model_text(model, "model.onnx", "x");
  client.put_model_text(model, "MLmodel", "{}");
  client.finish_model(model.id, true);
  client.finish_model(model.id, true);
  const auto found = client.models_with_tag(experiment, "uid", uid);
  BOOST_REQUIRE(found.size() == 1u);
  BOOST_TEST(found[0].id == model.id);
  BOOST_TEST(holds(found[0].status, "READY"), found[0].status);
  const auto half = client.create_model(experiment, "half", run.id, {}, {{"uid", uid + "-half"}});
  client.finish_model(half.id, false);
  const auto marked = client.models_with_tag(experiment, "uid", uid + "-half");
  BOOST_REQUIRE(marked.size() == 1u);
  BOOST_TEST(holds(marked[0].status, "UPLOAD_FAILED"), marked[0].status);
  client.create_registered_model(name);
  client.create_registered_model(name);
  BOOST_TEST(!client.model_version_with_tag(name, "uid", uid).has_value());
  const std::string version =
      client.create_model_version(name, "models:/" + model.id, run.id, model.id, {{"uid", uid}});
  BOOST_TEST(version == "1");
  BOOST_TEST(client.model_version_with_tag(name, "uid", uid).value() == "1");
  client.set_model_alias(name, "champion", version);
  client.set_model_alias(name, "champion", version);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
