// What the client's calls do to a server and make of its answers. Numbers in comments are the
// points of docs/conformance.md.
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>
#include <set>
#include <thread>

#include "tests/unit/mlflow_fixture.hpp"
#include "tracking/mlflow/client.hpp"
#include "tracking/mlflow/names.hpp"

namespace cifarpipe {
namespace {

using mlflow::CallError;
using mlflow::Client;
using mlflow::Failure;
using mlflow::Metric;
using mlflow::Pairs;
using mlflow::RemoteRun;
using nlohmann::json;
using testing::call_error;
using testing::FakeAnswer;
using testing::FakeFault;
using testing::FakeMlflow;
using testing::FakeOptions;
using testing::FakeRun;
using testing::holds;
using testing::point;
using testing::quick_settings;
using testing::version;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::vector<Metric> series(std::size_t count, const std::string& key = "loss") {
  std::vector<Metric> points;
  for (std::size_t i = 0; i < count; ++i) {
    points.push_back(point(key, static_cast<double>(i) / 8, static_cast<std::int64_t>(i) + 1));
  }
  return points;
}

using Fixture = testing::RunOnFake;

BOOST_AUTO_TEST_SUITE(mlflow_client)

// Experiments.

BOOST_AUTO_TEST_CASE(an_experiment_is_made_once) {  // 11, 13
  FakeMlflow server;
  Client client(quick_settings(server.uri()));
  const Pairs tags = {{"mlflow.experimentKind", "custom_model_development"},
                      {"mlflow.note.content", "Über uns"}};
  const std::string id = client.experiment("größe/a b&c", tags);
  BOOST_TEST(client.experiment("größe/a b&c", {{"other", "x"}}) == id);
  BOOST_TEST(server.count("experiments/create") == 1u);
  const auto experiment = server.data().experiments.at(id);
  BOOST_TEST(experiment.name == "größe/a b&c");
  BOOST_TEST(experiment.tags.size() == 2u);
  client.tag_experiment(id, {{"a", "1"}, {"b", "2"}});
  client.tag_experiment(id, {{"a", "3"}});
  BOOST_TEST(server.data().experiments.at(id).tags.at("a") == "3");
}

BOOST_AUTO_TEST_CASE(a_tag_that_another_sets_at_the_same_moment) {  // 13
  FakeMlflow server;
  Client client(quick_settings(server.uri()));
  const std::string id = client.experiment("e", {});
  FakeAnswer there{400,
                   R"({"error_code": "BAD_REQUEST", "message": "(sqlite3.IntegrityError) UNIQUE )"
                   R"(constraint failed: experiment_tags.key"})",
                   "application/json",
                   {}};
  server.fail({FakeFault::Kind::answer, "set-experiment-tag", 1, there});
  client.tag_experiment(id, {{"a", "1"}});
  BOOST_TEST(server.data().experiments.at(id).tags.at("a") == "1");
  server.fail({FakeFault::Kind::answer, "set-experiment-tag", 2, there});
  BOOST_CHECK_THROW(client.tag_experiment(id, {{"a", "2"}}), CallError);
}

BOOST_AUTO_TEST_CASE(two_who_make_the_same_experiment) {  // 11
  FakeMlflow server;
  std::set<std::string> ids;
  std::mutex mutex;
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; ++i) {
    threads.emplace_back([&] {
      Client client(quick_settings(server.uri()));
      const std::string id = client.experiment("same");
      const std::lock_guard lock(mutex);
      ids.insert(id);
    });
  }
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(ids.size() == 1u);
  // The race itself: somebody was there between the look and the creation.
  Client client(quick_settings(server.uri()));
  server.intercept = [&](const testing::FakeRequest& request) -> std::optional<FakeAnswer> {
    if (request.path.find("get-by-name") == std::string::npos || server.count("get-by-name") > 1) {
      return std::nullopt;
    }
    return FakeAnswer{
        404, R"({"error_code":"RESOURCE_DOES_NOT_EXIST","message":"no"})", "application/json", {}};
  };
  server.forget_requests();
  BOOST_TEST(client.experiment("same") == *ids.begin());
  BOOST_TEST(server.count("experiments/create") == 1u);
}

BOOST_AUTO_TEST_CASE(the_answer_to_a_new_experiment_is_lost) {
  FakeMlflow server;
  server.fail({FakeFault::Kind::lose, "experiments/create"});
  Client client(quick_settings(server.uri()));
  BOOST_TEST(client.experiment("e") == "1");
  BOOST_TEST(server.data().experiments.size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_deleted_experiment) {  // 12
  FakeMlflow server;
  Client client(quick_settings(server.uri()));
  const std::string id = client.experiment("gone");
  server.edit([&](testing::FakeData& data) { data.experiments[id].deleted = true; });
  const CallError error = call_error([&] { client.experiment("gone"); });
  BOOST_TEST((error.failure() == Failure::refused));
  BOOST_TEST(holds(error.what(), "it was deleted there"), error.what());
  BOOST_TEST(holds(error.what(), "restore --experiment-id " + id), error.what());
}

// Runs.

BOOST_AUTO_TEST_CASE(a_run_from_its_beginning_to_its_end) {  // 14, 17, 19, 20
  Fixture f;
  BOOST_TEST(f.run.name == "one");
  BOOST_TEST(f.run.status == "RUNNING");
  BOOST_TEST(f.run.start_ms == 1700000000000);
  BOOST_TEST(f.run.artifact_uri == "mlflow-artifacts:/1/" + f.run.id + "/artifacts");
  f.client.update_run(f.run.id, "KILLED", 1700000000500, "");
  BOOST_TEST(f.remote().status == "KILLED");
  BOOST_TEST(f.remote().end_ms == 1700000000500);
  BOOST_TEST(f.remote().name == "one");
  f.client.update_run(f.run.id, "RUNNING", std::nullopt, "two");
  BOOST_TEST(f.remote().status == "RUNNING");
  BOOST_TEST(f.remote().name == "two");
  BOOST_TEST(f.remote().tags.at("mlflow.runName") == "two");
  const auto read = f.client.run(f.run.id);
  BOOST_REQUIRE(read.has_value());
  BOOST_TEST(read->name == "two");
  BOOST_TEST(
      (std::find(read->tags.begin(), read->tags.end(),
                 std::make_pair(std::string("uid"), std::string("u1"))) != read->tags.end()));
  BOOST_TEST(!f.client.run("0123").has_value());
}

BOOST_AUTO_TEST_CASE(a_name_that_the_server_gave) {  // 15
  Fixture f;
  const RemoteRun run = f.client.create_run("1", "", 5, {});
  BOOST_TEST(!run.name.empty());
  BOOST_TEST(run.name == f.server.data().run(run.id)->name);
}

BOOST_AUTO_TEST_CASE(runs_by_a_tag) {  // 16
  Fixture f;
  const auto make = [&](const std::string& name, std::int64_t start, const Pairs& tags) {
    return f.client.create_run("1", name, start, tags).id;
  };
  const std::string parent = "mlflow.parentRunId";
  const std::string b = make("b", 200, {{parent, f.run.id}});
  const std::string a = make("a", 100, {{parent, f.run.id}});
  const std::string deleted = make("c", 300, {{parent, f.run.id}});
  make("d", 400, {{parent, "other"}});
  f.client.delete_run(deleted);
  const auto children = f.client.runs_with_tag("1", parent, f.run.id);
  BOOST_REQUIRE(children.size() == 2u);
  BOOST_TEST(children[0].id == a);
  BOOST_TEST(children[1].id == b);
  BOOST_TEST(f.client.runs_with_tag("0", parent, f.run.id).empty());
  make("quote", 500, {{"q", "it's"}});
  BOOST_TEST(f.client.runs_with_tag("1", "q", "it's").size() == 1u);
  BOOST_TEST(
      (call_error([&] { f.client.runs_with_tag("1", "q", "'\""); }).failure() == Failure::refused));
}

BOOST_AUTO_TEST_CASE(deleted_runs_take_nothing) {  // 21
  Fixture f;
  f.client.delete_run(f.run.id);
  BOOST_TEST(f.client.run(f.run.id)->deleted);
  const CallError error = call_error([&] { f.client.log_batch(f.run.id, series(1)); });
  BOOST_TEST((error.failure() == Failure::refused));
  BOOST_TEST(error.code() == "INVALID_PARAMETER_VALUE");
  f.client.restore_run(f.run.id);
  f.client.log_batch(f.run.id, series(1));
  BOOST_TEST(f.remote().points.size() == 1u);
}

// Metrics, parameters, tags.

BOOST_AUTO_TEST_CASE(everything_arrives_in_requests_of_the_right_size) {  // 22, 23, 30
  Fixture f;
  Pairs params;
  Pairs tags;
  for (int i = 0; i < 250; ++i) params.emplace_back("p" + std::to_string(i), std::to_string(i));
  for (int i = 0; i < 101; ++i) tags.emplace_back("t" + std::to_string(i), "");
  f.client.log_batch(f.run.id, series(2001), params, tags);
  const FakeRun remote = f.remote();
  BOOST_TEST(remote.points.size() == 2001u);
  BOOST_TEST(remote.params.size() == 250u);
  BOOST_TEST(remote.params.at("p7") == "7");
  BOOST_TEST(remote.tags.size() == 101u + 2u);
  BOOST_TEST(f.server.count("log-batch") == 3u);
  f.client.log_batch(f.run.id, {});
  BOOST_TEST(f.server.count("log-batch") == 3u);
}

BOOST_AUTO_TEST_CASE(sent_again_nothing_changes) {  // 25
  for (const char* text : {"3.17.2", "2.22.1", "2.10.3"}) {
    Fixture f(version(text));
    std::vector<Metric> points = series(20);
    points.push_back(point("inf", kInfinity, 1));
    points.push_back(point("nan", kNan, 1));
    const Pairs params = {{"lr", "0.1"}};
    f.client.log_batch(f.run.id, points, params, {{"t", "1"}});
    const FakeRun once = f.remote();
    BOOST_TEST(once.points.size() == 22u);
    f.client.log_batch(f.run.id, points, params, {{"t", "1"}});
    points.push_back(point("nan", kNan, 2));
    points.push_back(point("new", 1, 2));
    f.client.log_batch(f.run.id, points, params, {{"t", "1"}});
    FakeRun twice = f.remote();
    BOOST_TEST(twice.points.size() == 24u, text);
    twice.points.resize(22);
    BOOST_TEST((std::set(twice.points.begin(), twice.points.end()) ==
                std::set(once.points.begin(), once.points.end())));
  }
}

BOOST_AUTO_TEST_CASE(numbers_that_are_none) {  // 26
  Fixture f;
  f.client.log_batch(f.run.id,
                     {point("a", kNan, 1), point("b", kInfinity, 2), point("c", -kInfinity, 3)}, {},
                     {{"last", "1"}});
  const FakeRun remote = f.remote();
  BOOST_TEST(remote.points.size() == 3u);
  for (const auto& p : remote.points) BOOST_TEST(p.time_ms == 1000);  // None was misread as 0 at 0.
  BOOST_TEST(remote.tags.at("last") == "1");
  const auto history = f.client.history(f.run.id, "a");
  BOOST_REQUIRE(history.size() == 1u);
  BOOST_TEST(std::isnan(history[0].value));
  BOOST_TEST(f.client.history(f.run.id, "c")[0].value < -1.7e308);
}

BOOST_AUTO_TEST_CASE(old_servers_that_stumble_over_what_they_have) {  // 25
  FakeOptions options = version("2.10.3");
  options.duplicates_fail = true;
  Fixture f(options);
  std::vector<Metric> points;
  for (int i = 0; i < 300; ++i) points.push_back(point("m" + std::to_string(i), i, 1));
  f.client.log_batch(f.run.id, std::vector<Metric>(points.begin(), points.begin() + 90));
  f.client.log_batch(f.run.id, points, {}, {{"t", "1"}});
  BOOST_TEST(f.remote().points.size() == 300u);
  BOOST_TEST(f.remote().tags.at("t") == "1");
}

BOOST_AUTO_TEST_CASE(a_proxy_that_lets_little_through) {
  FakeOptions options;
  options.body_limit = 20000;
  Fixture f(options);
  f.client.log_batch(f.run.id, series(3000));
  BOOST_TEST(f.remote().points.size() == 3000u);
  f.server.forget_requests();
  f.client.log_batch(f.run.id, series(3000, "other"));  // What was learned is kept.
  BOOST_TEST(f.remote().points.size() == 6000u);
  for (const auto& request : f.server.requests()) BOOST_TEST(request.body_size <= 40000u);
  FakeOptions narrow;
  narrow.body_limit = 300;
  Fixture g(narrow);
  const CallError error = call_error([&] {
    g.client.log_batch(g.run.id, {}, {{"p", std::string(400, 'x')}});
  });
  BOOST_TEST(error.status() == 413);
  BOOST_TEST((error.failure() == Failure::refused));
  BOOST_TEST(holds(error.what(), "client_max_body_size"), error.what());
}

BOOST_AUTO_TEST_CASE(a_parameter_cannot_change) {  // 27
  Fixture f;
  f.client.log_batch(f.run.id, {}, {{"lr", "0.1"}});
  f.client.log_batch(f.run.id, {}, {{"lr", "0.1"}});
  const CallError error = call_error([&] {
    f.client.log_batch(f.run.id, series(1), {{"lr", "0.2"}});
  });
  BOOST_TEST((error.failure() == Failure::refused));
  BOOST_TEST(holds(error.what(), "Changing param values is not allowed"), error.what());
  BOOST_TEST(f.remote().params.at("lr") == "0.1");
  BOOST_TEST(f.server.count("log-batch") == 3u);  // Not tried again.
}

BOOST_AUTO_TEST_CASE(what_was_made_to_fit_is_taken) {  // 28, 29
  for (const char* text : {"3.17.2", "2.10.3"}) {
    Fixture f(version(text));
    const mlflow::Server& server = f.client.server();
    std::string wide;
    for (int i = 0; i < 9000; ++i) wide += "😀";
    const Pairs odd = {{"größe:a", wide}, {"/a//b/../c", "1"},          {"a#b", ""},
                       {"a_b", "2"},      {std::string(300, 'k'), "3"}, {"x@\n", "4"}};
    f.client.log_batch(f.run.id, {}, mlflow::fit_params(odd, server).pairs,
                       mlflow::fit_tags(odd, server).pairs);
    BOOST_TEST(f.remote().params.size() == 6u);
    const std::string key = server.colons_in_keys ? "größe:a" : "größe_a";
    BOOST_TEST(f.remote().tags.at(key) == mlflow::fit_tags(odd, server).pairs[0].second);
    BOOST_TEST(f.remote().params.at("a_b") == "2");
  }
}

BOOST_AUTO_TEST_CASE(steps_beyond_doubles) {  // 32
  Fixture f;
  const std::int64_t big = (std::int64_t{1} << 53) + 1;
  f.client.log_batch(f.run.id, {point("a", 1, big), point("a", 2, -5, 900)});
  const auto history = f.client.history(f.run.id, "a");
  BOOST_REQUIRE(history.size() == 2u);
  BOOST_TEST(history[0].step == -5);
  BOOST_TEST(history[1].step == big);
}

BOOST_AUTO_TEST_CASE(history_in_pages) {  // 34
  FakeOptions options;
  options.history_page = 600;
  Fixture f(options);
  f.client.log_batch(f.run.id, series(1000));
  const auto history = f.client.history(f.run.id, "loss");
  BOOST_REQUIRE(history.size() == 1000u);
  for (std::size_t i = 0; i < history.size(); ++i) {
    BOOST_TEST(history[i].step == static_cast<std::int64_t>(i) + 1);
  }
  BOOST_TEST(f.server.count("get-history") == 2u);
  BOOST_TEST(f.client.history(f.run.id, "none").empty());
  for (const auto& request : f.server.requests()) {
    if (holds(request.path, "get-history")) BOOST_TEST(request.query.count("max_results") == 1u);
  }
}

BOOST_AUTO_TEST_CASE(many_clients_at_once) {  // 35
  FakeMlflow server;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&server, i] {
      Client client(quick_settings(server.uri()));
      const RemoteRun run = client.create_run(client.experiment("e"), "r", 1, {});
      for (int k = 0; k < 20; ++k) {
        client.log_batch(run.id, series(50, "m" + std::to_string(k)));
      }
      if (i % 2 == 0) client.update_run(run.id, "FINISHED", 2, "");
    });
  }
  for (std::thread& thread : threads) thread.join();
  BOOST_TEST(server.data().runs.size() == 8u);
  for (const FakeRun& run : server.data().runs) BOOST_TEST(run.points.size() == 1000u);
}

BOOST_AUTO_TEST_CASE(datasets) {  // 37, 38
  Fixture f;
  const mlflow::DatasetInput train = {
      "cifar10-train", "0123abcd", "http", R"({"url":"http://x"})", "{}", "", "training"};
  mlflow::DatasetInput test = train;
  test.name = "cifar10-test";
  test.context = "testing";
  test.schema = "";
  f.client.log_inputs(f.run.id, {train, test});
  f.client.log_inputs(f.run.id, {train, test});
  f.client.log_inputs(f.run.id, {});
  BOOST_TEST(f.server.count("log-inputs") == 2u);
  const auto inputs = f.remote().inputs;
  BOOST_REQUIRE(inputs.size() == 2u);
  const json& stored = inputs.at("cifar10-train@0123abcd");
  BOOST_TEST(stored["tags"][0]["key"] == "mlflow.data.context");
  BOOST_TEST(stored["tags"][0]["value"] == "training");
  BOOST_TEST(stored["dataset"]["schema"] == "{}");
  BOOST_TEST(!stored["dataset"].contains("profile"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
