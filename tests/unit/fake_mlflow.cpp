#include "tests/unit/fake_mlflow.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <csignal>
#include <sstream>
#include <stdexcept>

#include "tracking/mlflow/text.hpp"

namespace cifarpipe::testing {
namespace {

constexpr std::size_t kKeptBody = 4 << 20;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

std::string base64(const std::string& text) {
  std::string out(4 * ((text.size() + 2) / 3) + 1, '\0');
  const int n = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                reinterpret_cast<const unsigned char*>(text.data()),
                                static_cast<int>(text.size()));
  out.resize(static_cast<std::size_t>(n));
  return out;
}

std::string header(const FakeRequest& request, const std::string& name) {
  const auto found = request.headers.find(name);
  return found == request.headers.end() ? "" : found->second;
}

std::shared_ptr<void> tls_context(const FakeOptions& options) {
  if (options.tls_certificate.empty()) return nullptr;
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  bool good =
      SSL_CTX_use_certificate_chain_file(context.get(), options.tls_certificate.c_str()) == 1;
  good = good &&
         SSL_CTX_use_PrivateKey_file(context.get(), options.tls_key.c_str(), SSL_FILETYPE_PEM) == 1;
  if (!options.tls_client_ca.empty()) {
    good = good && SSL_CTX_load_verify_locations(context.get(), options.tls_client_ca.c_str(),
                                                 nullptr) == 1;
    SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  if (!good) throw std::runtime_error("the fake MLflow's certificate cannot be used");
  return context;
}

void parse_target(const std::string& target, const std::string& prefix, FakeRequest& request) {
  const std::size_t mark = std::min(target.find('?'), target.size());
  request.raw_path = target.substr(0, mark);
  if (!prefix.empty() && request.raw_path.rfind(prefix + "/", 0) == 0) {
    request.raw_path.erase(0, prefix.size());
  } else if (!prefix.empty()) {
    request.raw_path = "/nothing" + request.raw_path;
  }
  request.path = mlflow::percent_decoded(request.raw_path);
  std::istringstream pairs(target.substr(std::min(mark + 1, target.size())));
  for (std::string pair; std::getline(pairs, pair, '&');) {
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string value = pair.substr(std::min(equals + 1, pair.size()));
    request.query[mlflow::percent_decoded(pair.substr(0, equals))] = mlflow::percent_decoded(value);
  }
}

}  // namespace

struct FakeMlflow::Connection {
  int fd = -1;
  SSL* ssl = nullptr;
  std::thread thread;
  std::atomic<bool> done{false};

  ~Connection() {
    if (ssl != nullptr) SSL_free(ssl);
    if (fd >= 0) ::close(fd);
  }
  ssize_t receive(char* buffer, std::size_t size) {
    if (ssl != nullptr) return SSL_read(ssl, buffer, static_cast<int>(size));
    return ::recv(fd, buffer, size, 0);
  }
  bool transmit(const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t n = ssl != nullptr
                            ? SSL_write(ssl, text.data() + at, static_cast<int>(text.size() - at))
                            : ::send(fd, text.data() + at, text.size() - at, MSG_NOSIGNAL);
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
    }
    return true;
  }
};

FakeRun* FakeData::run(const std::string& id) {
  for (FakeRun& run : runs) {
    if (run.id == id) return &run;
  }
  return nullptr;
}

FakeModel* FakeData::model(const std::string& id) {
  for (FakeModel& model : models) {
    if (model.id == id) return &model;
  }
  return nullptr;
}

FakeMlflow::FakeMlflow(FakeOptions options) : options_(std::move(options)) {
  ::signal(SIGPIPE, SIG_IGN);  // SSL_write has no flag for that.
  data_.experiments["0"].name = "Default";
  tls_ = tls_context(options_);
  start();
}

FakeMlflow::~FakeMlflow() {
  stop();
}

std::string FakeMlflow::uri() const {
  return std::string(tls_ ? "https://" : "http://") + (options_.ipv6 ? "[::1]:" : "127.0.0.1:") +
         std::to_string(port_) + options_.prefix;
}

void FakeMlflow::start() {
  if (listener_ >= 0) return;
  sockaddr_in four{};
  sockaddr_in6 six{};
  four.sin_family = AF_INET;
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  four.sin_port = htons(static_cast<std::uint16_t>(port_));
  six.sin6_family = AF_INET6;
  six.sin6_addr = in6addr_loopback;
  six.sin6_port = four.sin_port;
  auto* address =
      options_.ipv6 ? reinterpret_cast<sockaddr*>(&six) : reinterpret_cast<sockaddr*>(&four);
  socklen_t size = options_.ipv6 ? sizeof six : sizeof four;
  listener_ = ::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (listener_ < 0 || ::bind(listener_, address, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, address, &size) != 0) {
    throw std::runtime_error("no socket for the fake MLflow");
  }
  port_ = ntohs(options_.ipv6 ? six.sin6_port : four.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

void FakeMlflow::stop() {
  if (listener_ < 0) return;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  listener_ = -1;
  for (Connection& connection : connections_) {
    ::shutdown(connection.fd, SHUT_RDWR);
    connection.thread.join();
  }
  connections_.clear();
}

void FakeMlflow::accept_all() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (auto at = connections_.begin(); at != connections_.end();) {
      if (at->done) at->thread.join();
      at = at->done ? connections_.erase(at) : std::next(at);
    }
    Connection& connection = connections_.emplace_back();
    connection.fd = fd;
    const int number = ++connection_count_;
    connection.thread = std::thread([this, &connection, number] {
      serve(connection, number);
      ::shutdown(connection.fd, SHUT_RDWR);
      connection.done = true;
    });
  }
}

void FakeMlflow::serve(Connection& connection, int number) {
  if (tls_) {
    connection.ssl = SSL_new(static_cast<SSL_CTX*>(tls_.get()));
    SSL_set_fd(connection.ssl, connection.fd);
    if (SSL_accept(connection.ssl) != 1) return;
  }
  while (talk(connection, number)) {
  }
}

/// One request; true if another may follow.
bool FakeMlflow::talk(Connection& connection, int number) {
  std::string text;
  char buffer[16384];
  while (text.find("\r\n\r\n") == std::string::npos) {
    const ssize_t n = connection.receive(buffer, sizeof buffer);
    if (n <= 0) return false;
    text.append(buffer, static_cast<std::size_t>(n));
  }
  FakeRequest request;
  request.connection = number;
  std::istringstream lines(text.substr(0, text.find("\r\n\r\n") + 2));
  text.erase(0, text.find("\r\n\r\n") + 4);
  std::string line;
  std::getline(lines, line);
  std::string target;
  std::istringstream(line) >> request.method >> target;
  parse_target(target, options_.prefix, request);
  while (std::getline(lines, line) && line != "\r") {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::string value = line.substr(colon + 1);
    while (!value.empty() && (value.back() == '\r' || value.back() == ' ')) value.pop_back();
    request.headers[lower(line.substr(0, colon))] =
        value.substr(std::min(value.find_first_not_of(' '), value.size()));
  }
  if (connection.ssl != nullptr) {
    if (X509* peer = SSL_get1_peer_certificate(connection.ssl)) {
      char name[200] = "";
      X509_NAME_get_text_by_NID(X509_get_subject_name(peer), NID_commonName, name, sizeof name);
      request.client_name = name;
      X509_free(peer);
    }
  }
  const auto fault = next_fault(request);
  const auto is = [&fault](FakeFault::Kind kind) { return fault && fault->kind == kind; };
  const auto note = [&] {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    changed_.notify_all();
  };
  if (is(FakeFault::Kind::early)) {
    note();
    send(connection, fault->answer, fault->kind);
    ::shutdown(connection.fd, SHUT_WR);
    while (connection.receive(buffer, sizeof buffer) > 0) {
      // Closing with something unread would take the answer back.
    }
    return false;
  }
  const bool whole = read_body(connection, text, request);
  note();
  if (!whole) return false;
  if (is(FakeFault::Kind::hang)) {
    pollfd gone{connection.fd, POLLRDHUP, 0};
    ::poll(&gone, 1, -1);
    return false;
  }
  if (is(FakeFault::Kind::close)) return false;
  std::optional<FakeAnswer> own;
  if (intercept) own = intercept(request);
  if (!own && is(FakeFault::Kind::answer)) own = fault->answer;
  const FakeAnswer answer = own ? *own : usual(request);
  if (is(FakeFault::Kind::lose)) return false;
  send(connection, answer, fault ? fault->kind : FakeFault::Kind::answer);
  return !is(FakeFault::Kind::cut);
}

bool FakeMlflow::read_body(Connection& connection, std::string& text, FakeRequest& request) {
  const std::string length = header(request, "content-length");
  const std::uint64_t size = length.empty() ? 0 : std::stoull(length);
  if (header(request, "expect") == "100-continue" &&
      !connection.transmit("HTTP/1.1 100 Continue\r\n\r\n")) {
    return false;
  }
  const std::size_t kept = request.method == "PUT" ? kKeptBody : std::size_t{1} << 30;
  request.body_size = std::min<std::uint64_t>(text.size(), size);
  request.body = text.substr(0, static_cast<std::size_t>(request.body_size));
  std::vector<char> buffer(1 << 18);
  while (request.body_size < size) {
    const std::size_t part =
        static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size - request.body_size));
    const ssize_t n = connection.receive(buffer.data(), part);
    if (n <= 0) return false;
    request.body_size += static_cast<std::uint64_t>(n);
    const std::size_t room = kept - std::min(kept, request.body.size());
    request.body.append(buffer.data(), std::min(room, static_cast<std::size_t>(n)));
  }
  return true;
}

std::optional<FakeFault> FakeMlflow::next_fault(const FakeRequest& request) {
  const std::lock_guard lock(mutex_);
  for (FakeFault& fault : faults_) {
    if (fault.times == 0 || request.path.find(fault.path) == std::string::npos) continue;
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    if (fault.times > 0) --fault.times;
    return fault;
  }
  return std::nullopt;
}

std::optional<FakeAnswer> FakeMlflow::turned_away(const FakeRequest& request) const {
  const auto text = [](int status, const std::string& body) {
    return FakeAnswer{status, body, "text/html", {"WWW-Authenticate: Basic realm=\"mlflow\""}};
  };
  const bool open = request.path == "/health" || request.path == "/api/3.0/mlflow/server-info" ||
                    request.path.rfind("/signed/", 0) == 0 ||
                    request.path.rfind("/bucket/", 0) == 0;
  const std::string shown = header(request, "authorization");
  if (!open && !options_.user.empty() &&
      shown != "Basic " + base64(options_.user + ":" + options_.password)) {
    return text(401, "You are not authenticated. Please see the documentation.");
  }
  if (!open && !options_.token.empty() && shown != "Bearer " + options_.token) {
    return text(401, "You are not authenticated. Please see the documentation.");
  }
  if (options_.body_limit > 0 && request.body_size > options_.body_limit) {
    return FakeAnswer{413,
                      "<html><head><title>413 Request Entity Too Large</title></head></html>",
                      "text/html",
                      {}};
  }
  return std::nullopt;
}

FakeAnswer FakeMlflow::usual(const FakeRequest& request) {
  if (auto no = turned_away(request)) return *no;
  const std::lock_guard lock(mutex_);
  return answer_of(options_, uri(), data_, request);
}

void FakeMlflow::send(Connection& connection, const FakeAnswer& answer, FakeFault::Kind kind) {
  std::string out = "HTTP/1.1 " + std::to_string(answer.status) + " Fake\r\n";
  out += "Content-Type: " + answer.type + "\r\n";
  for (const std::string& line : answer.headers) out += line + "\r\n";
  out += "Content-Length: " + std::to_string(answer.body.size()) + "\r\n\r\n";
  if (kind == FakeFault::Kind::cut) {
    const std::size_t half = answer.body.size() / 2;
    connection.transmit(half > 0 ? out + answer.body.substr(0, half)
                                 : out.substr(0, out.size() / 2));
    return;
  }
  out += answer.body;
  if (kind != FakeFault::Kind::slow) {
    connection.transmit(out);
    return;
  }
  for (std::size_t at = 0; at < out.size(); at += 16) {
    if (!connection.transmit(out.substr(at, 16))) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void FakeMlflow::fail(FakeFault fault) {
  const std::lock_guard lock(mutex_);
  faults_.push_back(std::move(fault));
}

void FakeMlflow::heal() {
  const std::lock_guard lock(mutex_);
  faults_.clear();
}

FakeData FakeMlflow::data() const {
  const std::lock_guard lock(mutex_);
  return data_;
}

void FakeMlflow::edit(const std::function<void(FakeData&)>& change) {
  const std::lock_guard lock(mutex_);
  change(data_);
}

std::vector<FakeRequest> FakeMlflow::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

std::size_t FakeMlflow::count(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count_if(
      requests_.begin(), requests_.end(),
      [&](const FakeRequest& request) { return request.path.find(path) != std::string::npos; }));
}

void FakeMlflow::forget_requests() {
  const std::lock_guard lock(mutex_);
  requests_.clear();
}

bool FakeMlflow::wait_for(const std::string& path, std::size_t n) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, std::chrono::seconds(10), [&] {
    return std::count_if(requests_.begin(), requests_.end(), [&](const FakeRequest& request) {
             return request.path.find(path) != std::string::npos;
           }) >= static_cast<std::ptrdiff_t>(n);
  });
}

}  // namespace cifarpipe::testing
