#include "tracking/mlflow/settings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <map>

#include "pipeline/error.hpp"
#include "pipeline/variables.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mlflow {
namespace {

namespace fs = std::filesystem;

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

[[noreturn]] void usage(const std::string& message) {
  throw Error(message, ErrorKind::usage);
}

/// Where a tracking URI came from and what it is, for sentences about it.
struct Address {
  std::string text;
  std::string source;

  [[noreturn]] void refuse(const std::string& why) const {
    usage(fmt::format("the MLflow address '{}'{} {}", shown_uri(text), source, why));
  }
};

void check_port(const Address& address, const std::string& port) {
  int number = 0;
  const char* end = port.data() + port.size();
  const auto read = std::from_chars(port.data(), end, number);
  if (read.ec != std::errc() || read.ptr != end || number < 1 || number > 65535) {
    address.refuse("has a port that is no number from 1 to 65535");
  }
}

void check_host(const Address& address, const std::string& host) {
  if (!host.empty() && host.front() == '[') {
    const std::size_t close = host.find(']');
    const bool digits = close != std::string::npos && close > 1 &&
                        host.find_first_not_of("0123456789abcdefABCDEF:.%[", 0) == close;
    if (!digits) address.refuse("has brackets without an IPv6 address in them");
    if (close + 1 == host.size()) return;
    if (host[close + 1] != ':') address.refuse("goes on oddly behind ']'");
    check_port(address, host.substr(close + 2));
    return;
  }
  const std::size_t colon = host.find(':');
  if (std::count(host.begin(), host.end(), ':') > 1) {
    address.refuse("has an IPv6 address without brackets: write http://[::1]:5000");
  }
  if (colon == 0 || host.empty()) address.refuse("names no host");
  if (colon == std::string::npos) return;
  check_port(address, host.substr(colon + 1));
}

/// Sets uri, and user and password from its user-info.
void read_address(const Address& address, Settings& settings) {
  const std::string& text = address.text;
  const bool odd = std::any_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) <= ' ' || c == '\x7f' || c == '\\' || c == '"';
  });
  if (odd) address.refuse("holds a space or another character that no address has");
  const std::size_t colon = text.find("://");
  const std::string scheme = colon == std::string::npos ? "" : lower(text.substr(0, colon));
  if (scheme != "http" && scheme != "https") {
    address.refuse(
        "is not a server's: only http:// and https:// can be written to (`mlflow server "
        "--backend-store-uri …` serves such a store; give its address)");
  }
  if (text.find_first_of("?#") != std::string::npos) {
    address.refuse(
        "has a '?' or '#' part: give the server's address alone, as in "
        "http://host:5000");
  }
  const std::size_t begin = colon + 3;
  const std::size_t slash = std::min(text.find('/', begin), text.size());
  std::string host = text.substr(begin, slash - begin);
  const std::size_t at = host.rfind('@');
  if (at != std::string::npos) {
    const std::string who = host.substr(0, at);
    const std::size_t split = std::min(who.find(':'), who.size());
    settings.user = percent_decoded(who.substr(0, split));
    settings.password = split < who.size() ? percent_decoded(who.substr(split + 1)) : std::string();
    host.erase(0, at + 1);
  }
  check_host(address, host);
  settings.uri = scheme + "://" + host + text.substr(slash);
  while (settings.uri.back() == '/') settings.uri.pop_back();
}

/// The section [mlflow] of ~/.mlflow/credentials; empty without the file.
std::map<std::string, std::string> stored_credentials(const fs::path& home) {
  std::map<std::string, std::string> values;
  if (home.empty()) return values;
  std::ifstream file(home / ".mlflow" / "credentials");
  std::string line;
  std::string section;
  while (std::getline(file, line)) {
    line = trimmed(line);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      section = trimmed(line.substr(1, line.find(']') - 1));
      continue;
    }
    const std::size_t equals = line.find_first_of("=:");
    if (section != "mlflow" || equals == std::string::npos) continue;
    values[lower(trimmed(line.substr(0, equals)))] = trimmed(line.substr(equals + 1));
  }
  return values;
}

void read_login(const Variables& variables, const fs::path& home, Settings& settings) {
  settings.token = variables.header_text("MLFLOW_TRACKING_TOKEN");
  if (!settings.user.empty()) return;  // The address's own.
  auto stored = stored_credentials(home);
  const auto pick = [&](const char* name) {
    const std::string value = variables.text(name);
    return value.empty() ? stored[lower(name)] : value;
  };
  settings.user = pick("MLFLOW_TRACKING_USERNAME");
  settings.password = pick("MLFLOW_TRACKING_PASSWORD");
  if (settings.user.empty()) settings.password.clear();
}

void read_tls(const Variables& variables, Settings& settings) {
  settings.insecure_tls = variables.flag("MLFLOW_TRACKING_INSECURE_TLS", false);
  settings.ca = variables.existing_path("MLFLOW_TRACKING_SERVER_CERT_PATH");
  if (settings.insecure_tls && !settings.ca.empty()) {
    usage(
        "MLFLOW_TRACKING_INSECURE_TLS is set beside MLFLOW_TRACKING_SERVER_CERT_PATH: a "
        "certificate is either checked or it is not, so unset one of them");
  }
  if (settings.ca.empty() && !settings.insecure_tls) {
    settings.ca = variables.existing_path("REQUESTS_CA_BUNDLE");
  }
  settings.client_cert = variables.existing_path("MLFLOW_TRACKING_CLIENT_CERT_PATH");
  if (variables.flag("MLFLOW_TRACKING_AWS_SIGV4", false)) {
    usage(
        "MLFLOW_TRACKING_AWS_SIGV4 is set, but requests to MLflow cannot be signed by this "
        "program: unset it and use a token or a name and password");
  }
}

void read_storage(const Variables& variables, Settings& settings) {
  settings.aws_key = variables.header_text("AWS_ACCESS_KEY_ID");
  settings.aws_secret = variables.header_text("AWS_SECRET_ACCESS_KEY");
  settings.aws_session = variables.header_text("AWS_SESSION_TOKEN");
  for (const char* name : {"AWS_DEFAULT_REGION", "AWS_REGION"}) {
    const std::string region = variables.header_text(name);
    if (!region.empty()) settings.aws_region = region;
  }
  settings.s3_endpoint = variables.header_text("MLFLOW_S3_ENDPOINT_URL");
  while (!settings.s3_endpoint.empty() && settings.s3_endpoint.back() == '/') {
    settings.s3_endpoint.pop_back();
  }
  if (!settings.s3_endpoint.empty() && lower(settings.s3_endpoint).rfind("http", 0) != 0) {
    usage(
        fmt::format("MLFLOW_S3_ENDPOINT_URL is '{}': an address with http:// or https:// is "
                    "expected",
                    shown_uri(settings.s3_endpoint)));
  }
  settings.s3_insecure_tls = variables.flag("MLFLOW_S3_IGNORE_TLS", false);
  settings.multipart = variables.flag("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", false);
  const auto bytes = [&](const char* name, std::uint64_t otherwise) {
    return static_cast<std::uint64_t>(
        variables.number(name, static_cast<double>(otherwise), 1, 1e15));
  };
  settings.multipart_minimum =
      bytes("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", settings.multipart_minimum);
  settings.multipart_chunk = bytes("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", settings.multipart_chunk);
}

}  // namespace

std::string shown_uri(const std::string& uri) {
  std::string text = uri;
  const std::size_t scheme = text.find("://");
  const std::size_t host = scheme == std::string::npos ? 0 : scheme + 3;
  // The last '@', wherever it is: a password may hold '/', '?' and '#' that nobody encoded.
  const std::size_t at = text.rfind('@');
  if (at != std::string::npos && at >= host) text.erase(host, at + 1 - host);
  return one_line(text.substr(0, text.find_first_of("?#")), 300);
}

Settings settings_from(const std::string& uri, const Environment& environment,
                       const std::filesystem::path& home) {
  const Variables variables(environment);
  Address address{trimmed(uri), ""};
  if (address.text.empty()) {
    address = {trimmed(variables.text("MLFLOW_TRACKING_URI")), " (MLFLOW_TRACKING_URI)"};
  }
  Settings settings;
  if (address.text.empty()) return settings;
  read_address(address, settings);
  read_login(variables, home, settings);
  read_tls(variables, settings);
  read_storage(variables, settings);
  settings.workspace = variables.header_text("MLFLOW_WORKSPACE");
  settings.experiment = variables.text("MLFLOW_EXPERIMENT_NAME");
  settings.experiment_id = variables.text("MLFLOW_EXPERIMENT_ID");
  settings.run_name = variables.text("MLFLOW_RUN_NAME");
  settings.run_id = variables.text("MLFLOW_RUN_ID");
  settings.retries = variables.whole_number("MLFLOW_HTTP_REQUEST_MAX_RETRIES", 7, 0, 1000);
  settings.backoff_factor = variables.number("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", 2, 0, 3600);
  settings.backoff_jitter = variables.number("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", 1, 0, 3600);
  settings.request_timeout_s = variables.number("MLFLOW_HTTP_REQUEST_TIMEOUT", 30, 0.1, 86400);
  settings.respect_retry_after =
      variables.flag("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", settings.respect_retry_after);
  settings.follow_redirects =
      variables.flag("MLFLOW_ALLOW_HTTP_REDIRECTS", settings.follow_redirects);
  return settings;
}

}  // namespace cifarpipe::mlflow
