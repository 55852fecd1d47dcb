#include "stages/download/http_transfer.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <memory>
#include <mutex>

#include "stages/download/archive.hpp"

namespace cifarpipe::download {
namespace {

using Clock = std::chrono::steady_clock;

constexpr long kMaxRedirects = 10;
constexpr std::int64_t kErrorPageLimit = 1 << 16;
constexpr int kPollMs = 200;

void start_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

std::string_view trimmed(std::string_view text) {
  const auto from = text.find_first_not_of(" \t\r\n");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t\r\n") - from + 1);
}

std::int64_t number_in(std::string_view text) {
  return std::strtoll(std::string(text).c_str(), nullptr, 10);
}

bool is_https(const std::string& url) {
  return lower(url.substr(0, 8)) == "https://";
}

/// Failures of a moment: the network, or a server that is busy.
bool worth_another_try(int code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_HTTP2:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2_STREAM:
    case CURLE_WEIRD_SERVER_REPLY:
      return true;
    default:
      return false;
  }
}

bool worth_another_try(long status) {
  return status == 408 || status == 425 || status == 429 || status == 500 || status == 502 ||
         status == 503 || status == 504;
}

}  // namespace

Transfer::Transfer(const HttpRequest& request, const HttpEvents& events, PartialFile& partial)
    : request_(request), events_(events), partial_(partial), name_(shown_url(request.url)) {
  start_curl();
}

std::size_t Transfer::on_header(char* data, std::size_t, std::size_t size, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  transfer->last_byte_ = Clock::now();
  transfer->header({data, size});
  return size;
}

void Transfer::header(std::string_view line) {
  line = trimmed(line);
  if (line.rfind("HTTP/", 0) == 0) {  // Also after a redirect: only the last answer counts.
    answer_ = {};
    const std::size_t space = std::min(line.find(' '), line.size());
    answer_.status = static_cast<long>(number_in(line.substr(space)));
    answer_.reason = printable(trimmed(line.substr(space)));
    return;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = lower(line.substr(0, colon));
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "etag") answer_.etag = value;
  if (name == "last-modified") answer_.last_modified = value;
  if (name == "location") answer_.location = value;
  if (name == "content-length") answer_.length = number_in(value);
  if (name == "content-range" && value.rfind("bytes ", 0) == 0) {
    const std::string_view range = value.substr(6);
    answer_.range_start = range.rfind('*', 0) == 0 ? -1 : number_in(range);
    const std::size_t slash = range.find('/');
    if (slash != std::string_view::npos && range.substr(slash + 1) != "*") {
      answer_.range_total = number_in(range.substr(slash + 1));
    }
  }
}

std::size_t Transfer::on_body(char* data, std::size_t, std::size_t size, void* self) {
  auto* transfer = static_cast<Transfer*>(self);
  transfer->last_byte_ = Clock::now();
  try {
    if (!transfer->body_begun_) transfer->body_kept_ = transfer->begin_body();
    if (!transfer->body_kept_) {
      transfer->skipped_ += static_cast<std::int64_t>(size);
      return transfer->skipped_ > kErrorPageLimit ? 0 : size;
    }
    transfer->check_size(transfer->partial_.size() + static_cast<std::int64_t>(size));
    transfer->partial_.append(data, size);
    return size;
  } catch (const Error& error) {
    transfer->failure_ = error;
    return 0;
  }
}

void Transfer::check_size(std::int64_t total) const {
  if (total > request_.max_bytes) {
    throw Error(fmt::format("{} is larger than max_bytes = {} ({})", name_, request_.max_bytes,
                            size_text(request_.max_bytes)));
  }
}

bool Transfer::begin_body() {
  body_begun_ = true;
  if (answer_.status == 200) {
    const std::int64_t total = std::max<std::int64_t>(answer_.length, 0);
    check_size(total);
    check_free_space(request_.file.parent_path(), total, "downloading " + name_);
    partial_.restart(answer_.etag, answer_.last_modified, total);
    last_size_ = 0;
    return true;
  }
  if (answer_.status != 206) return false;
  const bool other_version =
      !answer_.etag.empty() && !partial_.etag().empty() && answer_.etag != partial_.etag();
  const bool other_size =
      answer_.range_total >= 0 && partial_.total() > 0 && answer_.range_total != partial_.total();
  if (asked_from_ == 0 || answer_.range_start != asked_from_ || other_version || other_size) {
    unusable_ = fmt::format("{} answered with another part than the one asked for", name_);
    partial_.restart("", "", 0);
    return false;
  }
  const std::int64_t rest = std::max<std::int64_t>(answer_.length, 0);
  check_size(asked_from_ + rest);
  check_free_space(request_.file.parent_path(), rest, "downloading " + name_);
  return true;
}

void Transfer::set_options(void* easy, void* headers, char* problem) {
  curl_easy_setopt(easy, CURLOPT_URL, request_.url.c_str());
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, problem);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, kMaxRedirects);
  const bool https_only = is_https(request_.url) && !request_.pinned;
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, https_only ? "https" : "http,https");
#else
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS, CURLPROTO_HTTP | CURLPROTO_HTTPS);
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS,
                   https_only ? CURLPROTO_HTTPS : CURLPROTO_HTTP | CURLPROTO_HTTPS);
#endif
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "cifarpipe");
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(request_.timeout_s));
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &Transfer::on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
}

TransferOutcome Transfer::run(const std::stop_token& stop) {
  const std::unique_ptr<CURL, void (*)(CURL*)> easy(curl_easy_init(), curl_easy_cleanup);
  if (!easy) throw Error("libcurl cannot start");
  curl_slist* list = nullptr;
  if (partial_.resumable()) {
    asked_from_ = partial_.size();
    const std::string validator = partial_.validator();
    if (!validator.empty()) list = curl_slist_append(list, ("If-Range: " + validator).c_str());
    curl_easy_setopt(easy.get(), CURLOPT_RANGE, fmt::format("{}-", asked_from_).c_str());
  } else if (partial_.size() > 0) {
    partial_.restart("", "", 0);
  }
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(list, curl_slist_free_all);
  char problem[CURL_ERROR_SIZE] = "";
  set_options(easy.get(), headers.get(), problem);
  last_size_ = partial_.size();
  last_byte_ = last_report_ = Clock::now();

  const int code = perform(easy.get(), stop);
  // An empty body never reaches on_body.
  if (code == CURLE_OK && !failure_ && !body_begun_ && !silent_) {
    try {
      body_kept_ = begin_body();
    } catch (const Error& error) {
      failure_ = error;
    }
  }
  if (failure_) {
    if (failure_->kind() != ErrorKind::environment) partial_.restart("", "", 0);
    throw Error(*failure_);
  }
  curl_off_t retry_after = 0;
  curl_easy_getinfo(easy.get(), CURLINFO_RETRY_AFTER, &retry_after);
  TransferOutcome outcome = judge(code, problem, static_cast<long>(retry_after));
  char* url = nullptr;
  curl_easy_getinfo(easy.get(), CURLINFO_EFFECTIVE_URL, &url);
  outcome.final_url = url == nullptr ? request_.url : url;
  return outcome;
}

int Transfer::perform(void* easy, const std::stop_token& stop) {
  const std::unique_ptr<CURLM, CURLMcode (*)(CURLM*)> multi(curl_multi_init(), curl_multi_cleanup);
  if (!multi) throw Error("libcurl cannot start");
  // Asked for from any thread: the poll below ends at once.
  const std::stop_callback wake(stop, [&multi] { curl_multi_wakeup(multi.get()); });
  curl_multi_add_handle(multi.get(), easy);
  int code = CURLE_OK;
  bool finished = false;
  while (!finished && !stop.stop_requested()) {
    int running = 0;
    curl_multi_perform(multi.get(), &running);
    const Clock::time_point now = Clock::now();
    report(now);
    // libcurl's own limit is on the mean over several seconds, so that it comes late.
    if (now - last_byte_ > std::chrono::seconds(request_.timeout_s)) {
      silent_ = true;
      break;
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      code = message->data.result;
      finished = true;
    }
    if (!finished) curl_multi_poll(multi.get(), nullptr, 0, kPollMs, nullptr);
  }
  curl_multi_remove_handle(multi.get(), easy);
  if (!finished && !silent_) throw Interrupted();
  return code;
}

void Transfer::report(Clock::time_point now) {
  const std::chrono::duration<double> passed = now - last_report_;
  if (passed.count() < 0.25 || !events_.progress) return;
  const double rate = static_cast<double>(partial_.size() - last_size_) / passed.count();
  rate_ = rate_ > 0 ? 0.8 * rate_ + 0.2 * rate : rate;
  last_report_ = now;
  last_size_ = partial_.size();
  events_.progress(partial_.size(), partial_.total(), rate_);
}

TransferOutcome Transfer::judge(int code, const char* problem, long retry_after) const {
  TransferOutcome outcome;
  outcome.retry_after_s = static_cast<int>(std::clamp(retry_after, 0L, 1000000L));
  if (unusable_) {
    outcome.again = true;
    outcome.problem = *unusable_;
  } else if (silent_) {
    outcome.again = true;
    outcome.problem = fmt::format("{} sent nothing for {} s", name_, request_.timeout_s);
  } else if (code == CURLE_TOO_MANY_REDIRECTS) {
    outcome.problem = fmt::format("{} redirects more than {} times", name_, kMaxRedirects);
  } else if (code == CURLE_UNSUPPORTED_PROTOCOL && answer_.status / 100 == 3) {
    const std::string target = shown_url(answer_.location);
    outcome.problem =
        is_https(request_.url) && lower(target.substr(0, 7)) == "http://"
            ? fmt::format(
                  "{} redirects from https to {}: that is followed only with a sha256 or "
                  "md5 to check the file by",
                  name_, target)
            : fmt::format("{} redirects to {}: only http and https are followed", name_, target);
  } else if (body_kept_ && code == CURLE_OK) {
    outcome.done = partial_.total() == 0 || partial_.complete();
    outcome.again = !outcome.done;
    outcome.problem =
        fmt::format("{} ended after {} of {} bytes", name_, partial_.size(), partial_.total());
  } else if (answer_.status == 416 && asked_from_ > 0) {
    // The file is shorter now than what is here of it: another version.
    partial_.restart("", "", 0);
    outcome.again = true;
    outcome.problem = fmt::format("{} has changed since the download began", name_);
  } else if (answer_.status != 0 && !body_kept_ &&
             (code == CURLE_OK || code == CURLE_WRITE_ERROR)) {
    outcome.again = worth_another_try(answer_.status);
    outcome.problem = fmt::format("{} answered {}", name_, answer_.reason);
  } else {
    outcome.again = worth_another_try(code);
    const char* text = *problem != '\0' ? problem : curl_easy_strerror(static_cast<CURLcode>(code));
    outcome.problem = fmt::format("{} could not be read ({})", name_, text);
  }
  return outcome;
}

}  // namespace cifarpipe::download
