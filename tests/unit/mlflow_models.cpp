// Logged models and the registry: what the client's calls do to a server. Numbers in comments are
// the points of docs/conformance.md.
#include <boost/test/unit_test.hpp>
#include <limits>

#include "tests/unit/mlflow_fixture.hpp"
#include "tracking/mlflow/client.hpp"

namespace cifarpipe {
namespace {

using mlflow::CallError;
using mlflow::Failure;
using mlflow::Metric;
using mlflow::Pairs;
using nlohmann::json;
using testing::call_error;
using testing::FakeFault;
using Fixture = testing::RunOnFake;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

BOOST_AUTO_TEST_SUITE(mlflow_models)

BOOST_AUTO_TEST_CASE(a_model_of_3) {  // 49, 51
  Fixture f;
  Pairs params;
  for (int i = 0; i < 230; ++i) params.emplace_back("p" + std::to_string(i), "v");
  const mlflow::LoggedModel model =
      f.client.create_model("1", "resnet9-e020", f.run.id, params, {{"uid", "m"}});
  f.client.put_model_params(model.id, params);
  f.client.put_model_params(model.id, params);  // After an answer that was lost, say.
  BOOST_TEST(model.id.substr(0, 2) == "m-");
  BOOST_TEST(model.status == "LOGGED_MODEL_PENDING");
  f.client.add_model_output(f.run.id, model.id, 20);
  f.client.add_model_output(f.run.id, model.id, 20);
  Metric metric = testing::point("test/accuracy", 0.9, 0);
  metric.model_id = model.id;
  metric.dataset_name = "cifar10-test";
  metric.dataset_digest = "d";
  Metric nan = metric;
  nan.key = "test/nan";
  nan.value = kNan;
  f.client.log_batch(f.run.id, {metric, nan});
  f.client.put_model_text(model, "MLmodel", "{}");
  f.client.finish_model(model.id, true);
  f.client.finish_model(model.id, true);
  const testing::FakeData data = f.server.data();
  BOOST_REQUIRE(data.models.size() == 1u);
  BOOST_TEST(data.models[0].params.size() == 230u);
  BOOST_TEST(data.models[0].status == "LOGGED_MODEL_READY");
  BOOST_REQUIRE(data.models[0].metrics.size() == 1u);
  BOOST_TEST(data.models[0].metrics[0]["dataset_name"] == "cifar10-test");
  BOOST_TEST(f.remote().outputs.at(model.id) == 20);
  BOOST_TEST(f.remote().points.size() == 2u);
  BOOST_TEST(data.artifacts.count("1/models/" + model.id + "/artifacts/MLmodel") == 1u);
  const auto found = f.client.models_with_tag("1", "uid", "m");
  BOOST_REQUIRE(found.size() == 1u);
  BOOST_TEST(found[0].id == model.id);
  BOOST_TEST(found[0].artifact_uri == model.artifact_uri);
  BOOST_TEST(f.client.models_with_tag("1", "uid", "other").empty());
}

BOOST_AUTO_TEST_CASE(a_model_whose_files_did_not_arrive) {  // 50
  Fixture f;
  const auto model = f.client.create_model("1", "m", f.run.id, {}, {});
  f.server.fail({FakeFault::Kind::answer, "mlflow-artifacts", -1});
  const CallError error = call_error([&] { f.client.put_model_text(model, "model.onnx", "x"); });
  BOOST_TEST((error.failure() == Failure::unreachable));
  f.client.finish_model(model.id, false);
  BOOST_TEST(f.server.data().models[0].status == "LOGGED_MODEL_UPLOAD_FAILED");
}

BOOST_AUTO_TEST_CASE(a_model_of_2) {  // 52
  Fixture f(testing::version("2.22.1"));
  BOOST_TEST(!f.client.server().logged_models);
  const CallError error = call_error([&] { f.client.create_model("1", "m", f.run.id, {}, {}); });
  BOOST_TEST((error.failure() == Failure::unsupported));
  BOOST_TEST(f.server.count("logged-models") == 0u);
  const std::string description =
      R"({"run_id":"r","artifact_path":"model","model_uuid":"u1","flavors":{"onnx":{}}})";
  f.client.log_model_json(f.run.id, description);
  f.client.log_model_json(f.run.id, description);
  f.client.log_model_json(f.run.id, R"({"artifact_path":"model","model_uuid":"u2"})");
  const json history = json::parse(f.remote().tags.at("mlflow.log-model.history"));
  BOOST_REQUIRE(history.size() == 2u);
  BOOST_TEST(history[0]["artifact_path"] == "model");
  // Also when it was not known that it arrived.
  f.server.fail({FakeFault::Kind::lose, "log-model"});
  const std::string third = R"({"artifact_path":"m3","model_uuid":"u3"})";
  BOOST_TEST((call_error([&] { f.client.log_model_json(f.run.id, third); }).failure() ==
              Failure::unreachable));
  f.client.log_model_json(f.run.id, third);
  BOOST_TEST(json::parse(f.remote().tags.at("mlflow.log-model.history")).size() == 3u);
}

BOOST_AUTO_TEST_CASE(a_server_that_knows_no_models_after_all) {
  Fixture f;
  f.server.fail({FakeFault::Kind::answer,
                 "logged-models",
                 1,
                 {404, "<!doctype html><h1>Not Found</h1>", "text/html", {}}});
  BOOST_TEST(f.client.server().logged_models);
  BOOST_TEST((call_error([&] { f.client.create_model("1", "m", "", {}, {}); }).failure() ==
              Failure::unsupported));
  BOOST_TEST(!f.client.server().logged_models);
}

BOOST_AUTO_TEST_CASE(the_registry) {  // 56
  Fixture f;
  f.client.create_registered_model("cifar net");
  f.client.create_registered_model("cifar net");
  BOOST_TEST(!f.client.model_version_with_tag("cifar net", "uid", "a").has_value());
  const auto add = [&](const std::string& uid) {
    return f.client.create_model_version("cifar net", "models:/m-1", f.run.id, "m-1",
                                         {{"uid", uid}});
  };
  BOOST_TEST(add("a") == "1");
  BOOST_TEST(add("b") == "2");
  BOOST_TEST(f.client.model_version_with_tag("cifar net", "uid", "b").value() == "2");
  f.client.set_model_alias("cifar net", "champion", "1");
  f.client.set_model_alias("cifar net", "champion", "2");
  const auto model = f.server.data().registered.at("cifar net");
  BOOST_TEST(model.aliases.at("champion") == "2");
  BOOST_TEST(model.versions[0].model_id == "m-1");
  f.server.forget_requests();
  const CallError error = call_error([&] { f.client.set_model_alias("cifar net", "latest", "1"); });
  BOOST_TEST((error.failure() == Failure::refused));
  BOOST_TEST(f.server.count("alias") == 0u);
  BOOST_TEST((call_error([&] { f.client.set_model_alias("none", "a", "1"); }).failure() ==
              Failure::missing));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
