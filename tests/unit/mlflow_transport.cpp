// How the client speaks to servers that are slow, broken, guarded or not there. Numbers in comments
// are the points of docs/conformance.md.
#include <boost/test/unit_test.hpp>

#include "tests/unit/fake_certificates.hpp"
#include "tests/unit/mlflow_fixture.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/mlflow/client.hpp"

namespace cifarpipe {
namespace {

using mlflow::CallError;
using mlflow::Client;
using mlflow::Failure;
using mlflow::Settings;
using testing::call_error;
using testing::FakeAnswer;
using testing::FakeCertificates;
using testing::FakeFault;
using testing::FakeMlflow;
using testing::FakeOptions;
using testing::FakeRequest;
using testing::holds;
using testing::plain;
using testing::quick_settings;
using testing::seconds_of;
using testing::TempDir;
using Fixture = testing::RunOnFake;
using Kind = FakeFault::Kind;

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

BOOST_AUTO_TEST_CASE(a_throttling_server_is_asked_again_what_it_can) {  // 7, 10
  FakeOptions options;
  options.workspaces = true;
  FakeMlflow server(options);
  Settings settings = quick_settings(server.uri());
  settings.workspace = "team";
  server.fail({Kind::answer, "/version", 1, plain(429)});
  server.fail({Kind::answer, "server-info", 2, plain(429)});
  Client client(settings);
  BOOST_TEST(client.server().workspaces);
  BOOST_TEST(server.count("server-info") == 3u);
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

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
