#include "tests/data/http_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <stdexcept>

namespace cifarpipe::test {

HttpServer::HttpServer(std::function<HttpAnswer(const HttpQuery&)> answer)
    : answer_(std::move(answer)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 8) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("no socket for the test's server");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

HttpServer::~HttpServer() {
  ::shutdown(listener_, SHUT_RDWR);
  thread_.join();
  ::close(listener_);
}

void HttpServer::serve() {
  for (;;) {
    const int connection = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    talk(connection);
    ::close(connection);
  }
}

void HttpServer::talk(int connection) {
  std::string text;
  char buffer[4096];
  while (text.find("\r\n\r\n") == std::string::npos) {
    const ssize_t n = ::read(connection, buffer, sizeof buffer);
    if (n <= 0) return;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  HttpQuery query;
  std::istringstream lines(text);
  std::string line;
  std::string method;
  std::getline(lines, line);
  std::istringstream(line) >> method >> query.path;
  while (std::getline(lines, line) && line != "\r") {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    std::string value = line.substr(colon + 1);
    while (!value.empty() && (value.back() == '\r' || value.back() == ' ')) value.pop_back();
    query.headers[name] = value.substr(std::min(value.find_first_not_of(' '), value.size()));
  }
  query.number = static_cast<int>(requests.size()) + 1;
  requests.push_back(query);
  const HttpAnswer answer = answer_(query);
  std::string out = "HTTP/1.1 " + answer.status + "\r\nConnection: close\r\n";
  for (const std::string& header : answer.headers) out += header + "\r\n";
  if (!answer.no_length) {
    out += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n";
  }
  out += "\r\n";
  out += answer.drop_after < 0 ? answer.body
                               : answer.body.substr(0, static_cast<std::size_t>(answer.drop_after));
  for (std::size_t at = 0; at < out.size();) {
    const ssize_t n = ::send(connection, out.data() + at, out.size() - at, MSG_NOSIGNAL);
    if (n <= 0) return;
    at += static_cast<std::size_t>(n);
  }
  if (answer.hang_ms > 0) {
    pollfd hung_up{connection, POLLRDHUP, 0};
    ::poll(&hung_up, 1, answer.hang_ms);
  }
}

HttpAnswer serve_file(const HttpQuery& query, const std::string& content, const std::string& etag) {
  HttpAnswer answer;
  answer.headers.push_back("ETag: " + etag);
  answer.body = content;
  const auto range = query.headers.find("range");
  if (range == query.headers.end()) return answer;
  const auto if_range = query.headers.find("if-range");
  if (if_range != query.headers.end() && if_range->second != etag) return answer;
  const std::size_t from = std::stoul(range->second.substr(6));  // "bytes=N-"
  if (from >= content.size()) {
    answer.status = "416 Range Not Satisfiable";
    answer.headers.push_back("Content-Range: bytes */" + std::to_string(content.size()));
    answer.body.clear();
    return answer;
  }
  answer.status = "206 Partial Content";
  answer.headers.push_back("Content-Range: bytes " + std::to_string(from) + "-" +
                           std::to_string(content.size() - 1) + "/" +
                           std::to_string(content.size()));
  answer.body = content.substr(from);
  return answer;
}

}  // namespace cifarpipe::test
