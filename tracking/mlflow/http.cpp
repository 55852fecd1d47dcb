#include "tracking/mlflow/http.hpp"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <mutex>
#include <thread>

#include "pipeline/error.hpp"
#include "pipeline/file_ops.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe::mlflow {
namespace {

using Clock = std::chrono::steady_clock;

constexpr long kConnectTimeoutMs = 5000;
constexpr long kMaxRedirects = 5;
// The server closes what was idle for 5 s; a connection that old may break under a request.
constexpr long kKeptConnectionS = 4;
constexpr int kStopPollMs = 100;
constexpr std::size_t kLongestBody = std::size_t{256} << 20;

void start_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// The end of a sentence on what libcurl met.
std::string problem_text(int code, const char* detail, const Request& request) {
  const auto with_detail = [&](const std::string& text) {
    return *detail == '\0' ? text : text + " (" + one_line(detail, 200) + ")";
  };
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return "the host's name cannot be resolved";
    case CURLE_COULDNT_RESOLVE_PROXY:
      return "the proxy's name cannot be resolved";
    case CURLE_COULDNT_CONNECT:
      return with_detail("no connection");
    case CURLE_OPERATION_TIMEDOUT:
      return request.timeout_s > 0 ? fmt::format("no answer within {} s", request.timeout_s)
                                   : "it stood still for a minute";
    case CURLE_GOT_NOTHING:
      return "the connection was closed without an answer";
    case CURLE_PARTIAL_FILE:
      return "the answer broke off";
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
      return with_detail("the connection broke");
    case CURLE_PEER_FAILED_VERIFICATION:
      return with_detail(
          "its certificate is not trusted; name its CA in "
          "MLFLOW_TRACKING_SERVER_CERT_PATH");
    case CURLE_SSL_CACERT_BADFILE:
      return with_detail("the CA file (MLFLOW_TRACKING_SERVER_CERT_PATH) cannot be used");
    case CURLE_SSL_CERTPROBLEM:
      return with_detail(
          "the client certificate (MLFLOW_TRACKING_CLIENT_CERT_PATH) cannot be "
          "used");
    case CURLE_SSL_CONNECT_ERROR:
      return with_detail("no TLS connection (does the server speak https?)");
    case CURLE_TOO_MANY_REDIRECTS:
      return fmt::format("it redirects more than {} times", kMaxRedirects);
    case CURLE_UNSUPPORTED_PROTOCOL:
      return "it redirects to an address that is not followed (from https only to https)";
    default:
      return with_detail(curl_easy_strerror(static_cast<CURLcode>(code)));
  }
}

bool is_final(int code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_CERTPROBLEM || code == CURLE_TOO_MANY_REDIRECTS ||
         code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_URL_MALFORMAT;
}

bool before_sending(int code) {
  return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY ||
         code == CURLE_COULDNT_CONNECT || code == CURLE_SSL_CONNECT_ERROR || is_final(code);
}

template <class Value>
void option(void* easy, CURLoption name, Value value) {
  const CURLcode code = curl_easy_setopt(static_cast<CURL*>(easy), name, value);
  // Secrets may be among the values: only the number is said.
  if (code != CURLE_OK)
    throw Error(fmt::format("libcurl refuses its option {}", static_cast<int>(name)));
}

}  // namespace

/// What libcurl's callbacks see of one request.
struct Http::Transfer {
  Response response;
  Descriptor file;
  std::uint64_t from = 0;
  std::uint64_t length = 0;
  std::uint64_t left = 0;
  std::string file_problem;
  char detail[CURL_ERROR_SIZE] = "";

  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) {
    std::string& body = static_cast<Transfer*>(self)->response.body;
    if (body.size() + size > kLongestBody) return 0;
    body.append(data, size);
    return size;
  }
  static std::size_t on_read(char* buffer, std::size_t, std::size_t size, void* self) {
    auto* transfer = static_cast<Transfer*>(self);
    const std::size_t wanted = std::min<std::uint64_t>(size, transfer->left);
    ssize_t n = 0;
    do {
      n = ::read(transfer->file.get(), buffer, wanted);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
      transfer->left -= static_cast<std::uint64_t>(n);
      return static_cast<std::size_t>(n);
    }
    transfer->file_problem = "the file cannot be read";
    return CURL_READFUNC_ABORT;
  }
  static int on_seek(void* self, curl_off_t offset, int origin) {
    auto* transfer = static_cast<Transfer*>(self);  // libcurl begins anew: from the start only.
    const bool good = origin == SEEK_SET && offset == 0 && transfer->rewind();
    return good ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL;
  }
  bool rewind() {
    left = length;
    return ::lseek(file.get(), static_cast<off_t>(from), SEEK_SET) >= 0;
  }
  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) {
    const std::string line(data, size);
    if (line.rfind("HTTP/", 0) == 0) static_cast<Transfer*>(self)->response.etag.clear();
    if (lower(line.substr(0, 5)) == "etag:") {
      static_cast<Transfer*>(self)->response.etag = one_line(line.substr(5), 300);
    }
    return size;
  }
};

Http::Http(const Settings& settings, const std::atomic<bool>* stop)
    : settings_(settings), stop_(stop) {
  start_curl();
  multi_ = curl_multi_init();
  easy_ = curl_easy_init();
  if (multi_ == nullptr || easy_ == nullptr) throw Error("libcurl cannot start");
}

Http::~Http() {
  curl_easy_cleanup(easy_);
  curl_multi_cleanup(multi_);
}

void Http::wait(double seconds) const {
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(seconds));
  while (!stopped()) {
    const auto left = end - Clock::now();
    if (left <= Clock::duration::zero()) return;
    std::this_thread::sleep_for(std::min<Clock::duration>(
        left, std::chrono::milliseconds(stop_ == nullptr ? 1000 : kStopPollMs)));
  }
}

void Http::set_connection(const Request& request) {
  option(easy_, CURLOPT_URL, request.url.c_str());
  option(easy_, CURLOPT_NOSIGNAL, 1L);
  option(easy_, CURLOPT_HTTP_VERSION, long{CURL_HTTP_VERSION_1_1});
  option(easy_, CURLOPT_USERAGENT,
         fmt::format("cifarpipe/{} libcurl/{}", CIFARPIPE_VERSION, LIBCURL_VERSION).c_str());
  option(easy_, CURLOPT_TCP_NODELAY, 1L);
  option(easy_, CURLOPT_TCP_KEEPALIVE, 1L);
  option(easy_, CURLOPT_TCP_KEEPIDLE, 30L);
  option(easy_, CURLOPT_TCP_KEEPINTVL, 10L);
  option(easy_, CURLOPT_MAXAGE_CONN, kKeptConnectionS);
  option(easy_, CURLOPT_FRESH_CONNECT, request.fresh ? 1L : 0L);
  const long timeout_ms = std::lround(request.timeout_s * 1000);
  option(easy_, CURLOPT_CONNECTTIMEOUT_MS,
         timeout_ms > 0 ? std::min(timeout_ms, kConnectTimeoutMs) : kConnectTimeoutMs);
  option(easy_, CURLOPT_TIMEOUT_MS, timeout_ms);
  if (timeout_ms == 0) {
    option(easy_, CURLOPT_LOW_SPEED_LIMIT, 1000L);
    option(easy_, CURLOPT_LOW_SPEED_TIME, 60L);
  }
  option(easy_, CURLOPT_FOLLOWLOCATION, settings_.follow_redirects ? 1L : 0L);
  option(easy_, CURLOPT_MAXREDIRS, kMaxRedirects);
  // Else a POST would go on as a GET, and succeed without having done anything.
  option(easy_, CURLOPT_POSTREDIR, long{CURL_REDIR_POST_ALL});
  const bool https = lower(request.url.substr(0, 8)) == "https://";
#if LIBCURL_VERSION_NUM >= 0x075500
  option(easy_, CURLOPT_PROTOCOLS_STR, "http,https");
  option(easy_, CURLOPT_REDIR_PROTOCOLS_STR, https ? "https" : "http,https");
#else
  option(easy_, CURLOPT_PROTOCOLS, long{CURLPROTO_HTTP | CURLPROTO_HTTPS});
  option(easy_, CURLOPT_REDIR_PROTOCOLS,
         https ? long{CURLPROTO_HTTPS} : long{CURLPROTO_HTTP | CURLPROTO_HTTPS});
#endif
#if LIBCURL_VERSION_NUM >= 0x075700
  option(easy_, CURLOPT_QUICK_EXIT, 1L);  // Does not wait for a resolver that hangs.
#endif
  if (is_loopback(request.url)) option(easy_, CURLOPT_PROXY, "");  // It could not know the way.
  if (settings_.insecure_tls || request.insecure_tls) {
    option(easy_, CURLOPT_SSL_VERIFYPEER, 0L);
    option(easy_, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  if (!settings_.ca.empty()) {
    std::error_code ignored;
    const bool folder = std::filesystem::is_directory(settings_.ca, ignored);
    option(easy_, folder ? CURLOPT_CAPATH : CURLOPT_CAINFO, settings_.ca.c_str());
  }
  if (!settings_.client_cert.empty() && request.credentials) {
    option(easy_, CURLOPT_SSLCERT, settings_.client_cert.c_str());
    option(easy_, CURLOPT_SSLKEY, settings_.client_cert.c_str());
  }
}

void Http::set_body(const Request& request, Transfer& transfer) {
  if (!request.file.empty()) {
    transfer.file = open_file(request.file, O_RDONLY);
    struct stat info {};
    if (::fstat(transfer.file.get(), &info) != 0) throw system_error("fstat", errno);
    transfer.from = request.file_from;
    transfer.length =
        request.file_length.value_or(static_cast<std::uint64_t>(info.st_size) - request.file_from);
    if (!transfer.rewind()) throw system_error("lseek", errno);
    option(easy_, CURLOPT_UPLOAD, 1L);
    option(easy_, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    option(easy_, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(transfer.length));
    option(easy_, CURLOPT_READFUNCTION, &Transfer::on_read);
    option(easy_, CURLOPT_READDATA, &transfer);
    option(easy_, CURLOPT_SEEKFUNCTION, &Transfer::on_seek);
    option(easy_, CURLOPT_SEEKDATA, &transfer);
    option(easy_, CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
    option(easy_, CURLOPT_EXPECT_100_TIMEOUT_MS, 300L);
  } else if (request.method != "GET") {
    option(easy_, CURLOPT_POST, 1L);
    option(easy_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    option(easy_, CURLOPT_POSTFIELDS, request.body.c_str());
    option(easy_, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

Response Http::send(const Request& request) {
  Transfer transfer;
  curl_easy_reset(easy_);
  set_connection(request);
  try {
    set_body(request, transfer);
  } catch (const Error& error) {
    transfer.response.problem = error.what();
    transfer.response.sent = false;
    transfer.response.final = true;
    return transfer.response;
  }
  curl_slist* list = nullptr;
  for (const std::string& header : request.headers) {
    list = curl_slist_append(list, header.c_str());
  }
  if (!request.sign.empty()) {
    option(easy_, CURLOPT_AWS_SIGV4, request.sign.c_str());
    option(easy_, CURLOPT_USERPWD, request.sign_with.c_str());
  } else if (request.credentials && !settings_.user.empty()) {
    option(easy_, CURLOPT_HTTPAUTH, long{CURLAUTH_BASIC});
    option(easy_, CURLOPT_USERNAME, settings_.user.c_str());
    option(easy_, CURLOPT_PASSWORD, settings_.password.c_str());
  } else if (request.credentials && !settings_.token.empty()) {
    list = curl_slist_append(list, ("Authorization: Bearer " + settings_.token).c_str());
  }
  if (request.credentials && !workspace.empty()) {
    list = curl_slist_append(list, ("X-MLFLOW-WORKSPACE: " + workspace).c_str());
  }
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(list, curl_slist_free_all);
  option(easy_, CURLOPT_HTTPHEADER, headers.get());
  option(easy_, CURLOPT_ERRORBUFFER, transfer.detail);
  option(easy_, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  option(easy_, CURLOPT_WRITEDATA, &transfer);
  option(easy_, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  option(easy_, CURLOPT_HEADERDATA, &transfer);

  const int code = perform();
  Response& response = transfer.response;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &response.status);
  curl_off_t retry_after = 0;
  curl_easy_getinfo(easy_, CURLINFO_RETRY_AFTER, &retry_after);
  response.retry_after_s = static_cast<double>(retry_after);
  char* text = nullptr;
  curl_easy_getinfo(easy_, CURLINFO_CONTENT_TYPE, &text);
  if (text != nullptr)
    response.type = lower(std::string(text).substr(0, std::string(text).find(';')));
  text = nullptr;
  curl_easy_getinfo(easy_, CURLINFO_REDIRECT_URL, &text);
  if (text != nullptr) response.location = shown_uri(text);
  if (code < 0) {
    response.stopped = true;
  } else if (code != CURLE_OK) {
    response.problem = transfer.file_problem.empty() ? problem_text(code, transfer.detail, request)
                                                     : transfer.file_problem;
    // Many servers that miss a client's certificate say no more than this (TLS 1.3).
    const bool broken =
        code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR;
    if (broken && request.credentials && settings_.client_cert.empty() &&
        request.url.rfind("https:", 0) == 0) {
      response.problem += "; does it want a certificate (MLFLOW_TRACKING_CLIENT_CERT_PATH)?";
    }
    response.final = is_final(code) || !transfer.file_problem.empty();
    response.sent = !before_sending(code);
  }
  curl_easy_reset(easy_);  // Nothing may point into what goes out of scope here.
  return std::move(response);
}

/// The result of the transfer, or -1 when it was stopped.
int Http::perform() {
  if (stopped()) return -1;
  if (curl_multi_add_handle(multi_, easy_) != CURLM_OK) throw Error("libcurl cannot start");
  int code = -1;
  bool finished = false;
  while (!finished && !stopped()) {
    int running = 0;
    curl_multi_perform(multi_, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      code = message->data.result;
      finished = true;
    }
    if (!finished) {
      curl_multi_poll(multi_, nullptr, 0, stop_ == nullptr ? 1000 : kStopPollMs, nullptr);
    }
  }
  curl_multi_remove_handle(multi_, easy_);
  return code;
}

std::string authority_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  if (scheme == std::string::npos) return "";
  std::string text = url.substr(scheme + 3, url.find_first_of("/?#", scheme + 3) - scheme - 3);
  return lower(text.substr(text.rfind('@') + 1));
}

std::string host_of(const std::string& url) {
  const std::string text = authority_of(url);
  const std::size_t bracket = text.find(']');
  return text.substr(0, bracket == std::string::npos ? text.find(':') : bracket + 1);
}

bool is_loopback(const std::string& url) {
  const std::string host = host_of(url);
  const bool number = host.find_first_not_of("0123456789.") == std::string::npos;
  return host == "localhost" || host == "[::1]" || (number && host.rfind("127.", 0) == 0);
}

}  // namespace cifarpipe::mlflow
