// HTTP as an MLflow client needs it, over libcurl: one connection that is kept, every wait ended by
// the stop flag, bodies from memory or from a file, always with their length. Says what came back
// and judges nothing; caller.hpp does. One thread an object.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tracking/mlflow/settings.hpp"

namespace cifarpipe::mlflow {

struct Request {
  std::string method = "GET";
  std::string url;
  std::string body;
  std::filesystem::path file;                ///< Sent instead of `body` if given; read as it goes.
  std::uint64_t file_from = 0;               ///< Where in the file to begin,
  std::optional<std::uint64_t> file_length;  ///< and how much of it to send; all of it.
  /// "Name: value"; "Name:" takes away one that libcurl adds.
  std::vector<std::string> headers;
  bool credentials = true;  ///< Login and workspace; not for addresses of other servers.
  /// On a connection of its own. On a kept one that breaks before an answer libcurl sends the
  /// request again by itself, which must not happen to one that creates something.
  bool fresh = false;
  double timeout_s = 30;  ///< For all of it. 0: none, but less than 1 kB/s for 60 s ends it.
  bool insecure_tls = false;
  std::string sign;       ///< "aws:amz:REGION:SERVICE" with the key below; "" not signed.
  std::string sign_with;  ///< "key:secret"
};

struct Response {
  long status = 0;
  std::string body;
  std::string type;      ///< Of the content, lower case, without parameters.
  std::string location;  ///< Of a redirect that was not followed.
  std::string etag;      ///< As it stands, with quotes.
  double retry_after_s = 0;
  std::string
      problem;         ///< Why there is no whole answer, as the end of a sentence; "" there is one.
  bool sent = true;    ///< False: nothing can have reached the server.
  bool final = false;  ///< The problem will not go away by itself (certificates, a file).
  bool stopped = false;
};

class Http {
 public:
  /// Both are borrowed; `stop` may be null.
  Http(const Settings& settings, const std::atomic<bool>* stop);
  ~Http();
  Http(const Http&) = delete;

  /// Throws Error only if libcurl itself cannot be started.
  Response send(const Request& request);
  bool stopped() const { return stop_ != nullptr && stop_->load(std::memory_order_relaxed); }
  /// Waits, unless stopped.
  void wait(double seconds) const;

  std::string workspace;  ///< Sent with every request that has credentials; "" none.

 private:
  struct Transfer;
  void set_connection(const Request& request);
  void set_body(const Request& request, Transfer& transfer);
  int perform();

  const Settings& settings_;
  const std::atomic<bool>* stop_;
  void* multi_ = nullptr;
  void* easy_ = nullptr;
};

/// "host:port" (as the URL has it, lower case) without user-info; and the host alone.
std::string authority_of(const std::string& url);
std::string host_of(const std::string& url);
/// Whether the address leads to this machine.
bool is_loopback(const std::string& url);

}  // namespace cifarpipe::mlflow
