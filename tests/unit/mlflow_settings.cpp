// Numbers in comments are the points of docs/conformance.md.
#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "pipeline/error.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/mlflow/settings.hpp"

namespace cifarpipe {
namespace {

using mlflow::Settings;
using testing::TempDir;
using Values = std::map<std::string, std::string>;

Environment environment(const Values& values) {
  return [values](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

Settings read(const std::string& uri, const Values& values = {},
              const std::filesystem::path& home = {}) {
  return mlflow::settings_from(uri, environment(values), home);
}

std::string refusal(const std::string& uri, const Values& values = {}) {
  try {
    read(uri, values);
  } catch (const Error& error) {
    BOOST_TEST(error.exit_code() == 2);
    return error.what();
  }
  BOOST_ERROR("'" << uri << "' was taken");
  return "";
}

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

BOOST_AUTO_TEST_SUITE(mlflow_settings)

BOOST_AUTO_TEST_CASE(addresses) {  // 1
  const std::pair<const char*, const char*> kAddresses[] = {
      {"http://host:5000", "http://host:5000"},
      {"http://host:5000/", "http://host:5000"},
      {"https://host/mlf/", "https://host/mlf"},
      {"HTTP://host/a/b", "http://host/a/b"},
      {"http://[::1]:5000/mlf", "http://[::1]:5000/mlf"},
      {"http://[fd00::2]", "http://[fd00::2]"},
      {" http://host:1 ", "http://host:1"},
      {"http://ann:s%40c%3Aret@host:5000/x", "http://host:5000/x"},
  };
  for (const auto& address : kAddresses) BOOST_TEST(read(address.first).uri == address.second);
  const Settings settings = read("http://a%6en:s%40c%3Aret@host");
  BOOST_TEST(settings.user == "ann");
  BOOST_TEST(settings.password == "s@c:ret");
  BOOST_TEST(read("").empty());
  BOOST_TEST(read("", {{"MLFLOW_TRACKING_URI", "http://env:1/"}}).uri == "http://env:1");
  BOOST_TEST(read("http://to:2", {{"MLFLOW_TRACKING_URI", "http://env:1/"}}).uri == "http://to:2");
  // Nothing to say about variables that nobody will use.
  BOOST_TEST(read("", {{"MLFLOW_HTTP_REQUEST_TIMEOUT", "long"}}).empty());
}

BOOST_AUTO_TEST_CASE(addresses_that_cannot_be) {
  const std::pair<const char*, const char*> kAddresses[] = {
      {"sqlite:///mlflow.db", "only http:// and https://"},
      {"file:/tmp/mlruns", "only http:// and https://"},
      {"./mlruns", "only http:// and https://"},
      {"databricks", "only http:// and https://"},
      {"host:5000", "only http:// and https://"},
      {"http://", "names no host"},
      {"http:///mlf", "names no host"},
      {"http://:5000", "names no host"},
      {"http://host:port", "a port that is no number"},
      {"http://host:0", "a port that is no number"},
      {"http://host:70000", "a port that is no number"},
      {"http://::1:5000", "without brackets"},
      {"http://[::1", "brackets without"},
      {"http://[::1]x", "oddly behind"},
      {"http://ho st", "a space"},
      {"http://host/#/experiments/1", "'#' part"},
      {"http://host?x=1", "'?' or"},
  };
  for (const auto& address : kAddresses) {
    const std::string text = refusal(address.first);
    BOOST_TEST(holds(text, address.second), address.first << ": " << text);
    BOOST_TEST(holds(text, "the MLflow address '"), text);
    BOOST_TEST(!holds(text, "\n"));
  }
  BOOST_TEST(holds(refusal("", {{"MLFLOW_TRACKING_URI", "sqlite:///x"}}), "(MLFLOW_TRACKING_URI)"));
}

BOOST_AUTO_TEST_CASE(secrets_are_not_shown) {
  for (const char* address :
       {"ftp://ann:hushhush@host", "http://ann:hushhush@host:port", "http://ann:hush/hushhush@host",
        "http://ann:hush#hushhush@host", "ann:hushhush@host", "http://ann:hushhush@host/?q"}) {
    const std::string text = refusal(address);
    BOOST_TEST(!holds(text, "hush"), text);
  }
  const std::string token = refusal("http://h", {{"MLFLOW_TRACKING_TOKEN", "hushhush\r\nHost: x"}});
  BOOST_TEST(holds(token, "MLFLOW_TRACKING_TOKEN"));
  BOOST_TEST(!holds(token, "hush"));
  BOOST_TEST(mlflow::shown_uri("https://a:b@h/p?token=x") == "https://h/p");
}

BOOST_AUTO_TEST_CASE(logins) {  // 3
  const TempDir home;
  std::filesystem::create_directory(home / ".mlflow");
  std::ofstream(home / ".mlflow/credentials") << "[other]\nmlflow_tracking_username = no\n"
                                                 "# a comment\n[mlflow]\n"
                                                 "mlflow_tracking_username = filed\n"
                                                 "mlflow_tracking_password=p=w\n";
  Settings settings = read("http://h", {}, home.path());
  BOOST_TEST(settings.user == "filed");
  BOOST_TEST(settings.password == "p=w");
  settings = read("http://h", {{"MLFLOW_TRACKING_USERNAME", "env"}}, home.path());
  BOOST_TEST(settings.user == "env");
  BOOST_TEST(settings.password == "p=w");
  settings = read("http://own:pw@h", {{"MLFLOW_TRACKING_USERNAME", "env"}}, home.path());
  BOOST_TEST(settings.user == "own");
  BOOST_TEST(settings.password == "pw");
  settings = read("http://h", {{"MLFLOW_TRACKING_TOKEN", "t"}});
  BOOST_TEST(settings.token == "t");
  BOOST_TEST(settings.user == "");
  BOOST_TEST(read("http://h", {{"MLFLOW_TRACKING_PASSWORD", "alone"}}).password == "");
}

BOOST_AUTO_TEST_CASE(tls) {  // 4
  const TempDir dir;
  std::ofstream(dir / "ca.pem") << "x";
  const std::string ca = (dir / "ca.pem").string();
  BOOST_TEST(read("https://h", {{"MLFLOW_TRACKING_SERVER_CERT_PATH", ca}}).ca == ca);
  BOOST_TEST(read("https://h", {{"REQUESTS_CA_BUNDLE", ca}}).ca == ca);
  BOOST_TEST(read("https://h", {{"MLFLOW_TRACKING_CLIENT_CERT_PATH", ca}}).client_cert == ca);
  BOOST_TEST(read("https://h", {{"MLFLOW_TRACKING_INSECURE_TLS", "TRUE"}}).insecure_tls);
  BOOST_TEST(!read("https://h", {{"MLFLOW_TRACKING_INSECURE_TLS", "0"}}).insecure_tls);
  const std::string both = refusal("https://h", {{"MLFLOW_TRACKING_INSECURE_TLS", "1"},
                                                 {"MLFLOW_TRACKING_SERVER_CERT_PATH", ca}});
  BOOST_TEST(holds(both, "unset one of them"), both);
  BOOST_TEST(holds(refusal("https://h", {{"MLFLOW_TRACKING_SERVER_CERT_PATH", "/no/ca.pem"}}),
                   "MLFLOW_TRACKING_SERVER_CERT_PATH names '/no/ca.pem', which does not exist"));
  BOOST_TEST(
      holds(refusal("https://h", {{"MLFLOW_TRACKING_AWS_SIGV4", "yes"}}), "cannot be signed"));
}

BOOST_AUTO_TEST_CASE(all_the_other_variables) {
  const Settings settings = read("http://h", {{"MLFLOW_WORKSPACE", "team"},
                                              {"MLFLOW_EXPERIMENT_NAME", "e"},
                                              {"MLFLOW_EXPERIMENT_ID", "7"},
                                              {"MLFLOW_RUN_NAME", "r"},
                                              {"MLFLOW_RUN_ID", "abc"},
                                              {"MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3"},
                                              {"MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0.5"},
                                              {"MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0"},
                                              {"MLFLOW_HTTP_REQUEST_TIMEOUT", "7"},
                                              {"MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "False"},
                                              {"MLFLOW_ALLOW_HTTP_REDIRECTS", "no"},
                                              {"AWS_ACCESS_KEY_ID", "key"},
                                              {"AWS_SECRET_ACCESS_KEY", "secret"},
                                              {"AWS_DEFAULT_REGION", "eu-central-1"},
                                              {"MLFLOW_S3_ENDPOINT_URL", "http://minio:9000/"}});
  BOOST_TEST(settings.workspace == "team");
  BOOST_TEST(settings.experiment == "e");
  BOOST_TEST(settings.experiment_id == "7");
  BOOST_TEST(settings.run_name == "r");
  BOOST_TEST(settings.run_id == "abc");
  BOOST_TEST(settings.retries == 3);
  BOOST_TEST(settings.backoff_factor == 0.5);
  BOOST_TEST(settings.backoff_jitter == 0);
  BOOST_TEST(settings.request_timeout_s == 7);
  BOOST_TEST(!settings.respect_retry_after);
  BOOST_TEST(!settings.follow_redirects);
  BOOST_TEST(settings.aws_region == "eu-central-1");
  BOOST_TEST(settings.s3_endpoint == "http://minio:9000");
  const Settings plain = read("http://h", {{"MLFLOW_HTTP_REQUEST_MAX_RETRIES", ""}});
  BOOST_TEST(plain.retries == 7);
  BOOST_TEST(plain.respect_retry_after);
}

BOOST_AUTO_TEST_CASE(values_that_cannot_be) {
  const std::pair<const char*, const char*> kValues[] = {
      {"MLFLOW_HTTP_REQUEST_MAX_RETRIES", "many"},  {"MLFLOW_HTTP_REQUEST_MAX_RETRIES", "-1"},
      {"MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1.5"},   {"MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3x"},
      {"MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "-2"}, {"MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "nan"},
      {"MLFLOW_HTTP_REQUEST_TIMEOUT", "0"},         {"MLFLOW_HTTP_REQUEST_TIMEOUT", "1,5"},
      {"MLFLOW_TRACKING_INSECURE_TLS", "maybe"},    {"MLFLOW_ALLOW_HTTP_REDIRECTS", "2"},
      {"MLFLOW_S3_ENDPOINT_URL", "minio:9000"},
  };
  for (const auto& value : kValues) {
    const std::string text = refusal("http://h", {{value.first, value.second}});
    BOOST_TEST(holds(text, value.first), text);
    BOOST_TEST(holds(text, "expected"), text);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
