#include "tracking/mlflow/caller.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "tracking/mlflow/retry.hpp"
#include "tracking/mlflow/text.hpp"
#include "tracking/mlflow/wire.hpp"

namespace cifarpipe::mlflow {
namespace {

constexpr std::size_t kLongestQuote = 240;
constexpr const char* kThere = "it is there already";

bool is_success(const Response& response) {
  return response.problem.empty() && response.status >= 200 && response.status < 300;
}

bool is_html(const Response& response) {
  const std::size_t from = response.body.find_first_not_of(" \t\r\n");
  return response.type == "text/html" && (from == std::string::npos || response.body[from] == '<');
}

bool without_artifacts(const Response& response) {
  return response.status == 503 && response.body.find("serve-artifacts") != std::string::npos;
}

bool is_host_check(const Response& response) {
  return response.status == 403 && response.body.find("Invalid Host header") != std::string::npos;
}

/// Databases say it in their own words.
bool names_duplicate(const std::string& text) {
  for (const char* mark :
       {"UNIQUE constraint", "IntegrityError", "duplicate key", "Duplicate entry"}) {
    if (text.find(mark) != std::string::npos) return true;
  }
  return false;
}

void replace_all(std::string& text, const std::string& what, const std::string& with) {
  if (what.size() < 3) return;  // Would tear words apart, and is no secret.
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), with);
    at += with.size();
  }
}

}  // namespace

Caller::Caller(const Settings& settings, const std::atomic<bool>* stop)
    : settings_(settings), http_(settings, stop), random_(std::random_device{}()) {}

std::string Caller::url(const std::string& path, const Pairs& query) const {
  std::string out = settings_.uri + path;
  char separator = '?';
  for (const auto& pair : query) {
    out += separator + percent_encoded(pair.first) + '=' + percent_encoded(pair.second);
    separator = '&';
  }
  return out;
}

nlohmann::json Caller::json(const Call& call) {
  return json(call, call.body.is_null() ? std::string() : dumped(call.body));
}

nlohmann::json Caller::json(const Call& call, const std::string& body) {
  Request request;
  request.method = call.method;
  request.url = url(call.path, call.query);
  request.body = body;
  request.fresh = !call.repeat;
  request.timeout_s = settings_.request_timeout_s;
  if (call.method != "GET") request.headers.push_back("Content-Type: application/json");
  // libcurl asks first for what is long, and some proxies never answer that.
  request.headers.push_back("Expect:");
  std::optional<nlohmann::json> answer;
  attempt(call.what, request, call.repeat, [&](const Response& response) {
    answer = is_html(response) ? std::nullopt : parsed(response.body);
    return answer.has_value();
  });
  return std::move(*answer);
}

Response Caller::exchange(const std::string& what, const Request& request, bool repeat) {
  return attempt(what, request, repeat, [](const Response&) { return true; });
}

Response Caller::probe(const std::string& path, double timeout_s) {
  Request request;
  request.url = url(path);
  request.timeout_s = std::min(timeout_s, settings_.request_timeout_s);
  for (int repeats = 0;; ++repeats) {
    Response response = http_.send(request);
    const bool throttled = response.problem.empty() && response.status == 429;
    if (!response.stopped && throttled && again(response, false, true, repeats)) continue;
    if (response.stopped) stop("asking for its version");
    return response;
  }
}

Response Caller::attempt(const std::string& what, const Request& request, bool repeat,
                         const std::function<bool(const Response&)>& usable) {
  for (int repeats = 0;; ++repeats) {
    Response response = http_.send(request);
    if (response.stopped) stop(what);
    const bool good = is_success(response) && usable(response);
    if (good) return response;
    if (!again(response, is_success(response), repeat, repeats)) fail(what, request, response);
    if (http_.stopped()) stop(what);
  }
}

bool Caller::again(const Response& response, bool nonsense, bool repeat, int repeats) {
  const bool no_answer = !response.problem.empty();
  bool may = false;
  int limit = settings_.retries;
  if (no_answer) {
    may = !response.final && (repeat || !response.sent);
  } else if (nonsense || response.status == 500) {
    may = repeat;
    limit = std::min(limit, kRepeatsOfBadAnswers);
  } else if (worth_repeating(response.status) && !without_artifacts(response)) {
    // 429 says that nothing was done.
    may = repeat || response.status == 429;
  }
  if (!may || repeats >= limit) return false;
  const double chance = std::uniform_real_distribution<double>(0, 1)(random_);
  double seconds = backoff_s(repeats + 1, settings_, chance);
  if (settings_.respect_retry_after && !no_answer) {
    // Longer than anyone here would wait: whoever called comes back later.
    if (response.retry_after_s > kLongestWaitS) return false;
    seconds = std::max(seconds, response.retry_after_s);
  }
  http_.wait(seconds);
  return true;
}

Failure Caller::kind_of(const Response& response) const {
  const long status = response.status;
  if (!response.problem.empty()) return response.final ? Failure::denied : Failure::unreachable;
  if (without_artifacts(response)) return Failure::refused;
  if (status == 401 || status == 403 || status == 407) return Failure::denied;
  if (status == 404) {
    const std::string code = error_code_of(response);
    return !code.empty() && code != "ENDPOINT_NOT_FOUND" ? Failure::missing : Failure::unsupported;
  }
  if (status == 405 || status == 501) return Failure::unsupported;
  if (worth_repeating(status) || status >= 500 || status < 300) return Failure::unreachable;
  return Failure::refused;
}

std::string Caller::server_says(const Response& response) const {
  if (is_html(response)) return "";
  std::string text = response.body;
  if (const auto object = parsed(response.body)) {
    text = text_of(*object, "message");
    if (text.empty()) text = text_of(*object, "detail");
    const std::string code = text_of(*object, "error_code");
    if (code == "RESOURCE_ALREADY_EXISTS" || names_duplicate(text)) return code + ": " + kThere;
    // Exceptions of the database, with the statement and all values in it, are nobody's business.
    for (const char* mark : {"(sqlite3.", "(psycopg2.", "(pymysql.", "(MySQLdb.", "[SQL:"}) {
      text = text.substr(0, text.find(mark));
    }
    if (!code.empty()) text = code + (text.empty() ? "" : ": " + text);
  }
  replace_all(text, settings_.password, "***");
  replace_all(text, settings_.token, "***");
  return one_line(text, kLongestQuote);
}

std::string Caller::reason(const Request& request, const Response& response) const {
  if (!response.problem.empty()) return response.problem;
  const long status = response.status;
  if (status >= 200 && status < 300) {
    return "it answered something that is not MLflow's (a proxy's page, or a login's?)";
  }
  if (is_host_check(response)) {
    return fmt::format(
        "the server does not answer to this host name (403): start it with --allowed-hosts '{}' "
        "(that list replaces its own: add localhost:* to it)",
        authority_of(request.url));
  }
  if (status == 401) {
    if (!settings_.user.empty()) {
      return fmt::format("the server refuses the user '{}' with this password (401)",
                         one_line(settings_.user, 60));
    }
    return settings_.token.empty()
               ? "the server wants a login (401): set MLFLOW_TRACKING_USERNAME and "
                 "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
               : "the server refuses the token (401, MLFLOW_TRACKING_TOKEN)";
  }
  if (without_artifacts(response)) {
    return "the server takes no artifacts (503): start it without --no-serve-artifacts";
  }
  if (status == 413) {
    return "something before the server takes no body of that length (413): raise the proxy's "
           "limit (nginx: client_max_body_size)";
  }
  if (status >= 300 && status < 400) {
    return fmt::format("it redirects to '{}' ({})", response.location, status);
  }
  std::string text = fmt::format("it answered {}", status);
  const std::string says = server_says(response);
  if (!says.empty()) text += " (" + says + ")";
  if (kind_of(response) == Failure::unsupported) {
    text += ": an older MLflow has no such call, or the address is not an MLflow's";
  }
  if (response.retry_after_s > kLongestWaitS) {
    text += fmt::format(", and asks to come back only in {:.0f} s", response.retry_after_s);
  }
  return text;
}

void Caller::fail(const std::string& what, const Request& request, const Response& response) const {
  const bool own = authority_of(request.url) == authority_of(settings_.uri);
  // Of another server only its name: a signed address is a secret.
  const std::string scheme = request.url.substr(0, request.url.find(':'));
  const std::string where = own ? settings_.uri : scheme + "://" + authority_of(request.url);
  throw CallError(kind_of(response), response.problem.empty() ? response.status : 0,
                  error_code_of(response),
                  fmt::format("{}: {} failed: {}", where, what, reason(request, response)));
}

void Caller::refuse(const std::string& what, const std::string& why) const {
  throw CallError(Failure::refused, 0, "",
                  fmt::format("{}: {} failed: {}", settings_.uri, what, why));
}

void Caller::stop(const std::string& what) const {
  throw CallError(Failure::stopped, 0, "", fmt::format("{}: {} was stopped", settings_.uri, what));
}

std::string error_code_of(const Response& response) {
  if (response.body.empty() || is_html(response)) return "";
  const auto object = parsed(response.body);
  return object ? text_of(*object, "error_code") : "";
}

bool is_duplicate(const CallError& error) {
  return error.status() == 400 &&
         std::string_view(error.what()).find(kThere) != std::string_view::npos;
}

}  // namespace cifarpipe::mlflow
