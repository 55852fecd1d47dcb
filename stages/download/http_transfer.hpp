// One try at a download: one request, its redirects and its answer. Used by http.cpp. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "pipeline/error.hpp"
#include "stages/download/http.hpp"
#include "stages/download/http_partial.hpp"

namespace cifarpipe::download {

struct TransferOutcome {
  bool done = false;
  bool again = false;  ///< Another try may succeed.
  std::string problem;
  int retry_after_s = 0;
  std::string final_url;
};

class Transfer {
 public:
  Transfer(const HttpRequest& request, const HttpEvents& events, PartialFile& partial);

  /// Throws what no other try can heal (a full disk, too large a file) and Interrupted.
  TransferOutcome run(const std::stop_token& stop);

 private:
  struct Answer {
    long status = 0;
    std::string reason;
    std::string etag;
    std::string last_modified;
    std::string location;
    std::int64_t length = -1;
    std::int64_t range_start = -1;
    std::int64_t range_total = -1;
  };

  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self);
  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self);
  void header(std::string_view line);
  /// False: this answer brings nothing to keep.
  bool begin_body();
  void check_size(std::int64_t total) const;
  void set_options(void* easy, void* headers, char* problem);
  int perform(void* easy, const std::stop_token& stop);
  void report(std::chrono::steady_clock::time_point now);
  TransferOutcome judge(int code, const char* problem, long retry_after) const;

  const HttpRequest& request_;
  const HttpEvents& events_;
  PartialFile& partial_;
  std::string name_;
  std::int64_t asked_from_ = 0;
  Answer answer_;
  bool body_begun_ = false;
  bool body_kept_ = false;
  std::int64_t skipped_ = 0;
  std::optional<std::string> unusable_;  ///< Why the partial file was dropped during this try.
  std::optional<Error> failure_;         ///< From a callback: exceptions must not cross libcurl.
  bool silent_ = false;                  ///< The server sent nothing for `timeout_s`.
  std::chrono::steady_clock::time_point last_byte_{};
  std::chrono::steady_clock::time_point last_report_{};
  std::int64_t last_size_ = 0;
  double rate_ = 0;
};

}  // namespace cifarpipe::download
