// A small HTTP server inside the test, on a free port of 127.0.0.1, that can also misbehave: each
// request goes to the test's own function, which says byte for byte what comes back. It serves one
// connection after the other on a thread of its own; `requests` may be read when nobody is served.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace cifarpipe::test {

struct HttpQuery {
  std::string path;
  std::map<std::string, std::string> headers;  ///< Names in lower case.
  int number = 0;                              ///< Counts all requests, from 1.
};

struct HttpAnswer {
  std::string status = "200 OK";
  std::vector<std::string> headers;  ///< Content-Length is added unless `no_length`.
  std::string body;
  long drop_after = -1;  ///< Closes the connection after so many bytes of the body.
  int hang_ms = 0;       ///< Waits so long after that, or until the other side hangs up.
  bool no_length = false;
};

class HttpServer {
 public:
  explicit HttpServer(std::function<HttpAnswer(const HttpQuery&)> answer);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::vector<HttpQuery> requests;

 private:
  void serve();
  void talk(int connection);

  std::function<HttpAnswer(const HttpQuery&)> answer_;
  int listener_ = -1;
  int port_ = 0;
  std::thread thread_;
};

/// Serves `content` as a good server does, ranges included.
HttpAnswer serve_file(const HttpQuery& query, const std::string& content, const std::string& etag);

}  // namespace cifarpipe::test
