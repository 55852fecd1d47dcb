#include "stages/download/http.hpp"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "pipeline/error.hpp"
#include "stages/download/archive.hpp"
#include "stages/download/http_partial.hpp"
#include "stages/download/http_transfer.hpp"

namespace cifarpipe::download {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kLongestWaitMs = 60 * 1000;
constexpr int kLongestRetryAfterS = 300;
constexpr std::int64_t kWorthATry = 1 << 20;

void wait_for(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, time, [] { return false; });
  if (stop.stop_requested()) throw Interrupted();
}

}  // namespace

std::string shown_url(std::string_view url) {
  std::string text(url.substr(0, url.find_first_of("?#")));
  const std::size_t host = text.find("://");
  if (host == std::string::npos) return printable(text);
  const std::size_t path = text.find('/', host + 3);
  const std::size_t at = text.rfind('@', path);
  if (at != std::string::npos && at > host) text.erase(host + 3, at - host - 2);
  return printable(text) + (url.find('?') == std::string_view::npos ? "" : "?…");
}

void discard_partial(const std::filesystem::path& file) {
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  std::filesystem::remove(note_of(file), ignored);
}

HttpResult fetch(const HttpRequest& request, const HttpEvents& events,
                 const std::stop_token& stop) {
  PartialFile partial(request.file, request.url, request.pinned);
  HttpResult result;
  result.resumed_at = partial.size();
  int failures = 0;
  int wait_ms = request.first_wait_ms;
  while (!partial.complete()) {
    if (stop.stop_requested()) throw Interrupted();
    const std::int64_t before = partial.size();
    Transfer transfer(request, events, partial);
    const TransferOutcome outcome = transfer.run(stop);
    result.final_url = outcome.final_url;
    if (outcome.done) break;
    if (!outcome.again) throw Error(outcome.problem);
    if (partial.size() - before >= kWorthATry) {
      failures = 0;
      wait_ms = request.first_wait_ms;
    }
    if (++failures > request.retries) {
      throw Error(fmt::format("{}; gave up after {} {}", outcome.problem, failures,
                              failures == 1 ? "try" : "tries"));
    }
    if (outcome.retry_after_s > kLongestRetryAfterS) {
      throw Error(fmt::format("{}, and asks to come back only in {} s", outcome.problem,
                              outcome.retry_after_s));
    }
    const int ms = std::max(wait_ms, outcome.retry_after_s * 1000);
    if (events.warn) {
      events.warn(fmt::format("{}; try {} of {} in {:.1f} s", outcome.problem, failures + 1,
                              request.retries + 1, ms / 1000.0));
    }
    wait_for(std::chrono::milliseconds(ms), stop);
    wait_ms = std::min(wait_ms * 2, kLongestWaitMs);
  }
  partial.sync();
  result.etag = partial.etag();
  result.bytes = partial.size();
  return result;
}

}  // namespace cifarpipe::download
