// Fetches one file over http or https into a partial file that a later try, or a later process,
// goes on with. Everything happens on the calling thread; the stop token may be set from any.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

namespace cifarpipe::download {

struct HttpRequest {
  std::string url;
  /// Where the bytes go; beside it `<file>.state` says which version of which URL they are of.
  std::filesystem::path file;
  /// With a digest that is checked afterwards, a server without ETag or date may be resumed too,
  /// and a redirect may lead from https to http.
  bool pinned = false;
  std::int64_t max_bytes = std::int64_t{4} << 30;
  int retries = 5;           ///< After the first try. Tries that bring a megabyte do not count.
  int timeout_s = 30;        ///< To connect, and for any byte to arrive.
  int first_wait_ms = 1000;  ///< Doubles with each try, up to a minute.
};

struct HttpEvents {
  /// `total` 0 = unknown; `rate` in bytes a second.
  std::function<void(std::int64_t done, std::int64_t total, double rate)> progress;
  std::function<void(std::string_view line)> warn;
};

struct HttpResult {
  std::string etag;  ///< As the server wrote it; may be empty.
  std::string final_url;
  std::int64_t bytes = 0;
  std::int64_t resumed_at = 0;  ///< How many bytes were there from before.
};

/// Returns when the whole file is there. Throws Error in one sentence, or Interrupted when `stop`
/// is requested; both leave the partial file, for the next try, unless it cannot be of use.
HttpResult fetch(const HttpRequest& request, const HttpEvents& events, const std::stop_token& stop);

/// Forgets what an earlier `fetch` left.
void discard_partial(const std::filesystem::path& file);

/// Without user, password and query: for messages and records.
std::string shown_url(std::string_view url);

}  // namespace cifarpipe::download
