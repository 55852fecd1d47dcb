// How the client speaks to servers that are slow, broken, guarded or not there. Numbers in comments
// are the points of the conformance list of MLflow clients.
#include <atomic>
#include <boost/test/unit_test.hpp>
#include <thread>

#include "tests/unit/fake_certificates.hpp"
#include "tests/unit/mlflow_fixture.hpp"
#include "tests/unit/temp_dir.hpp"
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
using testing::FakeCertificates;
using testing::FakeFault;
using testing::FakeMlflow;
using testing::FakeOptions;
using testing::FakeRequest;
using testing::holds;
using testing::quick_settings;
using testing::seconds_of;
using testing::TempDir;
using Kind = FakeFault::Kind;

const FakeAnswer kHtml{500, "<html><body>Internal Server Error</body></html>", "text/html", {}};

FakeAnswer plain(int status, const std::string& body = "no",
                 const std::vector<std::string>& headers = {}) {
  return {status, body, "text/plain", headers};
}

mlflow::Metric point() {
  mlflow::Metric metric;
  metric.key = "loss";
  metric.value = 0.5;
  metric.step = 1;
  metric.time_ms = 1;
  return metric;
}

/// A server with a run, and a client that has spoken to it.
struct Fixture {
  explicit Fixture(FakeOptions options = {}, Settings settings = {})
      : server(std::move(options)), client(with_uri(std::move(settings), server.uri())) {
    run = client.create_run(client.experiment("try"), "one", 1, {{"uid", "u"}});
    server.forget_requests();
  }
  static Settings with_uri(Settings settings, const std::string& uri) {
    settings.uri = uri;
    settings.retries = 4;
    settings.backoff_factor = settings.backoff_jitter = 0;
    return settings;
  }
  void log() { client.log_batch(run.id, {point()}); }
  std::size_t tries() { return server.count("log-batch"); }

  FakeMlflow server;
  Client client;
  RemoteRun run;
};

BOOST_AUTO_TEST_SUITE(mlflow_transport)

// Reaching it.

BOOST_AUTO_TEST_CASE(below_a_prefix_and_over_ipv6) {  // 1
  FakeOptions options;
  options.prefix = "/mlf";
  Fixture f(options);
  f.client.put_artifact_text(f.run, "a", "x");
  BOOST_TEST(f.server.data().artifacts.size() == 1u);
  FakeOptions six;
  six.ipv6 = true;
  std::optional<FakeMlflow> server;
  try {
    server.emplace(six);
  } catch (const std::exception&) {
    BOOST_TEST_MESSAGE("no IPv6 here");
    return;
  }
  Client client(quick_settings(server->uri()));
  BOOST_TEST(client.experiment("e") == "1");
}

BOOST_AUTO_TEST_CASE(what_the_server_is) {  // 2
  const auto of = [](const std::string& version) {
    FakeOptions options;
    options.version = version;
    FakeMlflow server(options);
    Client client(quick_settings(server.uri()));
    BOOST_TEST(client.server().version == version);
    client.server();
    BOOST_TEST(server.count("/version") == 1u);
    return client.server();
  };
  mlflow::Server server = of("3.17.2");
  BOOST_TEST(server.logged_models);
  BOOST_TEST(server.nan_once);
  BOOST_TEST(server.tag_length == 8000u);
  server = of("3.1.4.dev0");
  BOOST_TEST(server.logged_models);
  BOOST_TEST(!server.nan_once);
  server = of("2.22.1");
  BOOST_TEST(!server.logged_models);
  BOOST_TEST(server.tag_length == 8000u);
  BOOST_TEST(server.step_images);
  server = of("2.10.3");
  BOOST_TEST(server.tag_length == 5000u);
  BOOST_TEST(!server.colons_in_keys);
  BOOST_TEST(!server.step_images);
}

BOOST_AUTO_TEST_CASE(nobody_there) {  // 2
  std::string uri;
  {
    FakeMlflow server;
    uri = server.uri();
  }
  Client client(quick_settings(uri));
  const CallError error = call_error([&] { client.server(); });
  BOOST_TEST((error.failure() == Failure::unreachable));
  BOOST_TEST(error.status() == 0);
  BOOST_TEST(holds(error.what(), uri + ": asking for its version failed: no connection"),
             error.what());
}

BOOST_AUTO_TEST_CASE(a_version_that_never_comes) {  // 2
  FakeMlflow server;
  server.fail({Kind::hang, "/version"});
  Client client(quick_settings(server.uri()));
  const double seconds = seconds_of([&] {
    const CallError error = call_error([&] { client.server(); });
    BOOST_TEST((error.failure() == Failure::unreachable));
    BOOST_TEST(holds(error.what(), "no answer within 3 s"), error.what());
  });
  BOOST_TEST(seconds < 6);
  BOOST_TEST(server.count("/version") == 1u);
  BOOST_TEST(client.server().version == "3.17.2");  // Asked again when it is needed.
}

BOOST_AUTO_TEST_CASE(another_server_than_an_mlflow) {  // 9
  FakeMlflow server;
  server.fail({Kind::answer, "", -1, {404, "<html>Not Found</html>", "text/html", {}}});
  Client client(quick_settings(server.uri()));
  const CallError error = call_error([&] { client.experiment("e"); });
  BOOST_TEST((error.failure() == Failure::unsupported));
  BOOST_TEST(holds(error.what(), "the address is not an MLflow's"), error.what());
}

BOOST_AUTO_TEST_CASE(every_request_says_who_asks) {
  Fixture f;
  f.log();
  const FakeRequest request = f.server.requests().back();
  BOOST_TEST(holds(request.headers.at("user-agent"), "cifarpipe/"));
  BOOST_TEST(request.headers.at("content-type") == "application/json");
  BOOST_TEST(request.headers.count("expect") == 0u);
  BOOST_TEST(request.headers.count("origin") == 0u);
  BOOST_TEST(request.headers.count("x-mlflow-workspace") == 0u);
  BOOST_TEST(request.headers.count("content-length") == 1u);
}

BOOST_AUTO_TEST_CASE(one_connection_is_kept) {
  Fixture f;
  for (int i = 0; i < 5; ++i) f.log();
  for (const FakeRequest& request : f.server.requests()) {
    BOOST_TEST(request.connection == f.server.requests().front().connection);
  }
}

// Logins.

BOOST_AUTO_TEST_CASE(names_passwords_and_tokens) {  // 3
  FakeOptions guarded;
  guarded.user = "ann";
  guarded.password = "hushhush";
  FakeMlflow server(guarded);
  Settings settings = quick_settings(server.uri());
  CallError error = call_error([&] { Client(settings).experiment("e"); });
  BOOST_TEST((error.failure() == Failure::denied));
  BOOST_TEST(holds(error.what(), "MLFLOW_TRACKING_USERNAME"), error.what());
  settings.user = "ann";
  settings.password = "wrongwrong";
  server.forget_requests();
  error = call_error([&] { Client(settings).experiment("e"); });
  BOOST_TEST((error.failure() == Failure::denied));
  BOOST_TEST(holds(error.what(), "refuses the user 'ann'"), error.what());
  BOOST_TEST(!holds(error.what(), "wrongwrong"), error.what());
  BOOST_TEST(server.count("get-by-name") == 1u);  // 6: once.
  settings.password = "hushhush";
  settings.token = "also";  // The name wins.
  Client client(settings);
  BOOST_TEST(client.experiment("e") == "1");
  BOOST_TEST(client.server().version == "3.17.2");

  FakeOptions with_token;
  with_token.token = "t0k3n";
  FakeMlflow other(with_token);
  settings = quick_settings(other.uri());
  settings.token = "wrong-token";
  error = call_error([&] { Client(settings).experiment("e"); });
  BOOST_TEST(holds(error.what(), "refuses the token"), error.what());
  BOOST_TEST(!holds(error.what(), "wrong-token"), error.what());
  settings.token = "t0k3n";
  BOOST_TEST(Client(settings).experiment("e") == "1");
}

BOOST_AUTO_TEST_CASE(https) {  // 4
  const TempDir dir;
  const FakeCertificates files(dir.path());
  FakeOptions options;
  options.tls_certificate = files.certificate;
  options.tls_key = files.key;
  FakeMlflow server(options);
  Settings settings = quick_settings(server.uri());
  CallError error = call_error([&] { Client(settings).experiment("e"); });
  BOOST_TEST((error.failure() == Failure::denied));
  BOOST_TEST(holds(error.what(), "certificate is not trusted"), error.what());
  settings.ca = files.ca;
  BOOST_TEST(Client(settings).experiment("e") == "1");
  settings.ca = "";
  settings.insecure_tls = true;
  BOOST_TEST(Client(settings).experiment("e") == "1");

  options.tls_client_ca = files.ca;
  FakeMlflow strict(options);
  settings = quick_settings(strict.uri());
  settings.ca = files.ca;
  call_error([&] { Client(settings).experiment("e"); });
  settings.client_cert = files.client;
  BOOST_TEST(Client(settings).experiment("e") == "1");
  BOOST_TEST(strict.requests().back().client_name == "ann");
}

BOOST_AUTO_TEST_CASE(refused_by_the_servers_guards) {  // 5, 6
  Fixture f;
  f.server.fail({Kind::answer, "log-batch", 1,
                 plain(403, "Invalid Host header - possible DNS rebinding attack detected")});
  CallError error = call_error([&] { f.log(); });
  BOOST_TEST((error.failure() == Failure::denied));
  BOOST_TEST(holds(error.what(), "--allowed-hosts '127.0.0.1:"), error.what());
  f.server.fail({Kind::answer, "log-batch", 1, plain(403, "Permission denied")});
  error = call_error([&] { f.log(); });
  BOOST_TEST((error.failure() == Failure::denied));
  BOOST_TEST(holds(error.what(), "it answered 403 (Permission denied)"), error.what());
  f.server.fail({Kind::answer, "log-batch", 1, plain(401, "You are not authenticated.")});
  BOOST_TEST((call_error([&] { f.log(); }).failure() == Failure::denied));
  BOOST_TEST(f.tries() == 3u);
}

BOOST_AUTO_TEST_CASE(workspaces) {  // 10
  FakeOptions options;
  Settings settings;
  settings.workspace = "team a";
  FakeMlflow without;
  Settings named = quick_settings(without.uri());
  named.workspace = "team a";
  const CallError error = call_error([&] { Client(named).experiment("e"); });
  BOOST_TEST((error.failure() == Failure::refused));
  BOOST_TEST(holds(error.what(), "has no workspaces"), error.what());
  for (const FakeRequest& request : without.requests()) {
    BOOST_TEST(request.headers.count("x-mlflow-workspace") == 0u);
  }
  options.workspaces = true;
  Fixture f(options, settings);
  f.log();
  f.client.put_artifact_text(f.run, "a", "x");
  for (const FakeRequest& request : f.server.requests()) {
    BOOST_TEST(request.headers.at("x-mlflow-workspace") == "team a");
  }
}

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

// Redirects.

BOOST_AUTO_TEST_CASE(redirects) {
  FakeOptions options;
  options.token = "hushhush";
  Settings settings;
  settings.token = "hushhush";
  Fixture f(options, settings);
  FakeMlflow other;
  const std::string uri = other.uri();
  const auto to = [](const std::string& where) {
    return FakeAnswer{302, "", "text/html", {"Location: " + where}};
  };
  // Within the server a POST stays one.
  f.server.fail(
      {Kind::answer, "log-batch", 1, to(f.server.uri() + "/api/2.0/mlflow/runs/log-batch")});
  f.log();
  BOOST_TEST(f.tries() == 2u);
  BOOST_TEST(f.server.requests().back().method == "POST");
  BOOST_TEST(f.server.data().run(f.run.id)->points.size() == 1u);
  // Elsewhere the login does not go along.
  f.server.fail({Kind::answer, "log-batch", 1, to(uri + "/api/2.0/mlflow/runs/log-batch")});
  const CallError error = call_error([&] { f.log(); });
  BOOST_TEST((error.failure() == Failure::missing));
  BOOST_TEST(other.requests().back().headers.count("authorization") == 0u);
  // Round and round.
  f.server.fail(
      {Kind::answer, "log-batch", -1, to(f.server.uri() + "/api/2.0/mlflow/runs/log-batch")});
  BOOST_TEST(holds(call_error([&] { f.log(); }).what(), "redirects more than"));

  settings.follow_redirects = false;
  Fixture g({}, settings);
  g.server.fail({Kind::answer, "log-batch", 1, to("http://ann:pw@elsewhere/login?token=x")});
  const CallError refused = call_error([&] { g.log(); });
  BOOST_TEST((refused.failure() == Failure::refused));
  BOOST_TEST(holds(refused.what(), "redirects to 'http://elsewhere/login' (302)"), refused.what());
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
