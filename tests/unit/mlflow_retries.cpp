// What the client does when a server fails, is slow, or hangs: what is tried again, what is made
// once, and how every wait ends. Numbers in comments are the points of docs/conformance.md.
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <thread>

#include "tests/unit/mlflow_fixture.hpp"
#include "tracking/mlflow/client.hpp"

namespace cifarpipe {
namespace {

using mlflow::CallError;
using mlflow::Client;
using mlflow::Failure;
using mlflow::RemoteRun;
using mlflow::Settings;
using testing::call_error;
using testing::FakeAnswer;
using testing::FakeFault;
using testing::FakeMlflow;
using testing::FakeOptions;
using testing::FakeRequest;
using testing::holds;
using testing::plain;
using testing::quick_settings;
using testing::seconds_of;
using Fixture = testing::RunOnFake;
using Kind = FakeFault::Kind;

const FakeAnswer kHtml{500, "<html><body>Internal Server Error</body></html>", "text/html", {}};

BOOST_AUTO_TEST_SUITE(mlflow_retries)

// Trying again.

BOOST_AUTO_TEST_CASE(which_answers_are_tried_again) {  // 7
  Fixture f;
  for (const int status : {408, 429, 500, 502, 503, 504}) {
    f.server.forget_requests();
    f.server.fail({Kind::answer, "log-batch", 2, plain(status)});
    f.log();
    BOOST_TEST(f.tries() == 3u, status);
  }
  for (const int status : {400, 404, 405, 409, 413, 501}) {
    f.server.forget_requests();
    f.server.fail({Kind::answer, "log-batch", 1, plain(status)});
    const CallError error = call_error([&] { f.log(); });
    BOOST_TEST(error.status() == status);
    BOOST_TEST(f.tries() == 1u, status);
    const bool unsupported = status == 404 || status == 405 || status == 501;
    BOOST_TEST((error.failure() == (unsupported ? Failure::unsupported : Failure::refused)));
  }
}

BOOST_AUTO_TEST_CASE(not_for_ever) {
  Fixture f;
  f.server.fail({Kind::answer, "log-batch", -1, plain(503, "later")});
  CallError error = call_error([&] { f.log(); });
  BOOST_TEST(f.tries() == 5u);
  BOOST_TEST((error.failure() == Failure::unreachable));
  BOOST_TEST(error.status() == 503);
  f.server.heal();
  f.server.forget_requests();
  f.server.fail({Kind::answer, "log-batch", -1, kHtml});  // May be due to the request itself.
  error = call_error([&] { f.log(); });
  BOOST_TEST(f.tries() == 4u);
}

BOOST_AUTO_TEST_CASE(when_to_come_back) {  // 7
  Fixture f;
  f.server.fail({Kind::answer, "log-batch", 1, plain(429, "slow down", {"Retry-After: 2"})});
  const double seconds = seconds_of([&] { f.log(); });
  BOOST_TEST(seconds >= 2);
  BOOST_TEST(seconds < 5);
  f.server.forget_requests();
  f.server.fail({Kind::answer, "log-batch", 1, plain(503, "tomorrow", {"Retry-After: 86400"})});
  const CallError error = call_error([&] { f.log(); });
  BOOST_TEST(f.tries() == 1u);
  BOOST_TEST(holds(error.what(), "asks to come back only in 86400 s"), error.what());
  Settings careless;
  careless.respect_retry_after = false;
  Fixture g({}, careless);
  g.server.fail({Kind::answer, "log-batch", 1, plain(503, "tomorrow", {"Retry-After: 86400"})});
  g.log();
  BOOST_TEST(g.tries() == 2u);
}

BOOST_AUTO_TEST_CASE(answers_that_do_not_come_whole) {  // 9
  Fixture f;
  for (const Kind kind : {Kind::close, Kind::lose, Kind::cut, Kind::slow, Kind::early}) {
    f.server.forget_requests();
    f.server.fail({kind, "log-batch", 1});
    f.log();
    BOOST_TEST(f.server.data().run(f.run.id)->points.size() == 1u);
  }
  for (const char* body : {"<html>Welcome, please log in</html>", "{\"run\":", "OK", "[]"}) {
    f.server.forget_requests();
    f.server.fail({Kind::answer, "runs/get", -1, {200, body, "application/json", {}}});
    const CallError error = call_error([&] { f.client.run(f.run.id); });
    BOOST_TEST((error.failure() == Failure::unreachable));
    BOOST_TEST(holds(error.what(), "not MLflow's"), error.what());
    BOOST_TEST(!holds(error.what(), "Welcome"), error.what());
    BOOST_TEST(f.server.count("runs/get") == 4u);
    f.server.heal();
  }
}

BOOST_AUTO_TEST_CASE(html_is_no_message) {  // 9
  Fixture f;
  for (const int status : {400, 404, 500}) {
    f.server.fail({Kind::answer, "log-batch", -1, {status, kHtml.body, "text/html", {}}});
    const CallError error = call_error([&] { f.log(); });
    BOOST_TEST(!holds(error.what(), "<"), error.what());
    BOOST_TEST(error.code() == "");
    f.server.heal();
  }
}

BOOST_AUTO_TEST_CASE(messages_hold_no_sql_and_no_secrets) {
  FakeOptions options;
  options.token = "hushhush";
  Settings settings;
  settings.token = "hushhush";
  Fixture f(options, settings);
  f.server.fail(
      {Kind::answer,
       "log-batch",
       1,
       {400,
        R"({"error_code":"BAD_REQUEST","message":"token hushhush is bad\nline (sqlite3.X) [SQL: INSERT]"})",
        "application/json",
        {}}});
  const CallError error = call_error([&] { f.log(); });
  BOOST_TEST(error.code() == "BAD_REQUEST");
  BOOST_TEST(holds(error.what(), "BAD_REQUEST: token *** is bad line"), error.what());
  BOOST_TEST(!holds(error.what(), "SQL"), error.what());
  BOOST_TEST(!holds(error.what(), "\n"), error.what());
}

BOOST_AUTO_TEST_CASE(a_run_is_created_once) {  // 8
  for (const Kind kind : {Kind::lose, Kind::cut}) {
    Fixture f;  // Its connection is a kept one: on such libcurl sends again by itself.
    f.server.fail({kind, "runs/create"});
    const CallError error = call_error([&] { f.client.create_run("1", "two", 1, {{"uid", "x"}}); });
    BOOST_TEST((error.failure() == Failure::unreachable));
    BOOST_TEST(f.server.count("runs/create") == 1u);
    BOOST_TEST(f.server.data().runs.size() == 2u);
    BOOST_TEST(f.client.runs_with_tag("1", "uid", "x").size() == 1u);
  }
  Fixture f;
  for (const int status : {500, 502, 503, 504, 408}) {  // Nobody knows what they did.
    f.server.fail({Kind::answer, "runs/create", 1, plain(status)});
    call_error([&] { f.client.create_run("1", "x", 1, {}); });
  }
  BOOST_TEST(f.server.count("runs/create") == 5u);
  f.server.forget_requests();
  f.server.fail({Kind::answer, "runs/create", 2, plain(429)});  // Nothing was done.
  f.client.create_run("1", "x", 1, {});
  BOOST_TEST(f.server.count("runs/create") == 3u);
}

BOOST_AUTO_TEST_CASE(a_read_timeout_after_the_run_was_made) {  // 8
  FakeMlflow server;
  Settings settings = quick_settings(server.uri());
  settings.request_timeout_s = 1;
  Client client(settings);
  client.experiment("e");
  server.intercept = [&server](const FakeRequest& request) -> std::optional<FakeAnswer> {
    if (!holds(request.path, "runs/create")) return std::nullopt;
    server.edit([](testing::FakeData& data) {
      data.runs.emplace_back();
      data.runs.back().id = "made";
      data.runs.back().experiment_id = "1";
      data.runs.back().tags["uid"] = "x";
    });
    server.wait_for("runs/search", 1);
    return FakeAnswer{};
  };
  const CallError error = call_error([&] { client.create_run("1", "r", 1, {}); });
  BOOST_TEST(holds(error.what(), "no answer within 1 s"), error.what());
  const auto found = client.runs_with_tag("1", "uid", "x");
  BOOST_REQUIRE(found.size() == 1u);
  BOOST_TEST(found[0].id == "made");
  BOOST_TEST(server.count("runs/create") == 1u);
}

BOOST_AUTO_TEST_CASE(a_model_is_created_once) {
  Fixture f;
  f.server.fail({Kind::lose, "logged-models"});
  call_error([&] { f.client.create_model("1", "m", f.run.id, {}, {{"uid", "x"}}); });
  BOOST_TEST(f.server.data().models.size() == 1u);
  BOOST_TEST(f.client.models_with_tag("1", "uid", "x").size() == 1u);
  f.client.create_registered_model("m");
  f.server.fail({Kind::lose, "model-versions/create"});
  call_error([&] {
    f.client.create_model_version("m", "models:/m", f.run.id, "m", {{"uid", "x"}});
  });
  BOOST_TEST(f.server.data().registered.at("m").versions.size() == 1u);
  BOOST_TEST(f.client.model_version_with_tag("m", "uid", "x").value() == "1");
}

BOOST_AUTO_TEST_CASE(a_server_that_restarts) {
  Fixture f;
  f.server.stop();
  Settings settings = quick_settings(f.server.uri());
  settings.retries = 0;
  Client client(settings);
  BOOST_TEST((call_error([&] { client.server(); }).failure() == Failure::unreachable));
  BOOST_TEST((call_error([&] { f.log(); }).failure() == Failure::unreachable));
  f.server.start();
  f.log();
  BOOST_TEST(f.server.data().run(f.run.id)->points.size() == 1u);
}

// Stopping.

BOOST_AUTO_TEST_CASE(the_stop_flag_ends_every_wait) {
  const auto stopped_after = [](FakeMlflow& server, const std::string& path, Client& client,
                                std::atomic<bool>& stop, const std::function<void()>& act) {
    std::chrono::steady_clock::time_point set;
    std::thread stopper([&] {
      server.wait_for(path, 1);
      set = std::chrono::steady_clock::now();
      stop = true;
    });
    const CallError error = call_error(act);
    const auto end = std::chrono::steady_clock::now();
    stopper.join();
    BOOST_TEST((error.failure() == Failure::stopped));
    BOOST_TEST(std::chrono::duration<double>(end - set).count() < 1);
    // From now on nothing is begun.
    server.forget_requests();
    BOOST_TEST((call_error([&] { client.experiment("e"); }).failure() == Failure::stopped));
    BOOST_TEST(server.requests().empty());
  };
  for (const bool waiting : {false, true}) {
    FakeMlflow server;
    std::atomic<bool> stop{false};
    Client client(quick_settings(server.uri()), &stop);
    client.server();
    if (waiting) {
      server.fail({Kind::answer, "experiments", -1, plain(503, "", {"Retry-After: 60"})});
    } else {
      server.fail({Kind::hang, "experiments", -1});
    }
    stopped_after(server, "experiments", client, stop, [&] { client.experiment("e"); });
  }
  FakeMlflow server;  // An upload, which has no time limit.
  std::atomic<bool> stop{false};
  Client client(quick_settings(server.uri()), &stop);
  const RemoteRun run = client.create_run(client.experiment("e"), "r", 1, {});
  server.fail({Kind::hang, "mlflow-artifacts", -1});
  stopped_after(server, "mlflow-artifacts", client, stop,
                [&] { client.put_artifact_text(run, "a", "x"); });
}

BOOST_AUTO_TEST_CASE(a_hung_call_times_out) {
  FakeMlflow server;
  Settings settings = quick_settings(server.uri());
  settings.request_timeout_s = 0.3;
  settings.retries = 2;
  Client client(settings);
  client.server();
  server.fail({Kind::hang, "experiments", -1});
  const double seconds = seconds_of([&] {
    BOOST_TEST((call_error([&] { client.experiment("e"); }).failure() == Failure::unreachable));
  });
  BOOST_TEST(server.count("experiments") == 3u);
  BOOST_TEST(seconds < 5);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
