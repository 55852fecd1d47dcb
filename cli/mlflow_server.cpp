#include "cli/mlflow_server.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>

#include "cli/stop_signals.hpp"
#include "pipeline/file_ops.hpp"

extern char** environ;

namespace cifarpipe::cli {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

constexpr auto kStartTime = std::chrono::seconds(180);  // A cold disk and a migration are slow.
constexpr auto kStopTime = std::chrono::seconds(8);
constexpr std::size_t kLastLines = 6;

sigset_t watched() {
  sigset_t signals = stop_signals();
  sigaddset(&signals, SIGCHLD);
  return signals;
}

bool is_program(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error) && access(file.c_str(), X_OK) == 0;
}

struct Address {
  addrinfo* info = nullptr;
  Address(const std::string& host, int port, int flags) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = flags | AI_NUMERICSERV;
    if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &info) != 0)
      info = nullptr;
  }
  ~Address() {
    if (info != nullptr) freeaddrinfo(info);
  }
  Address(const Address&) = delete;
};

/// Who listens everywhere is reached here.
std::string reached_at(const std::string& host) {
  return host == "0.0.0.0" ? "127.0.0.1" : host == "::" ? "::1" : host;
}

/// What the server's environment is: nothing in it counts its users.
std::vector<std::string> server_environment(const fs::path& program) {
  std::vector<std::string> out = environment_without_mlflow();
  std::string path = "PATH=" + program.parent_path().string();  // With uvicorn, which it starts.
  for (const std::string& variable : out) {
    if (variable.starts_with("PATH=")) path += ":" + variable.substr(5);
  }
  std::erase_if(out, [](const std::string& variable) { return variable.starts_with("PATH="); });
  out.push_back(path);
  // Jobs are for evaluations of language models: three times the processes, for nothing here.
  for (const char* setting : {"MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true",
                              "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"}) {
    out.emplace_back(setting);
  }
  return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// Between fork and exec: only what is safe there. A session of its own, so that one signal reaches
/// all of the server and Ctrl-C on the terminal reaches only us.
[[noreturn]] void become_server(const fs::path& folder, int log, pid_t parent, char** arguments,
                                char** environment) {
  setsid();
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int nothing = open("/dev/null", O_RDONLY);
  if (nothing >= 0) dup2(nothing, STDIN_FILENO);
  dup2(log, STDOUT_FILENO);
  dup2(log, STDERR_FILENO);
  if (chdir(folder.c_str()) == 0) execve(arguments[0], arguments, environment);
  _exit(127);
}

std::string how_it_ended(int status) {
  return WIFEXITED(status) ? fmt::format("exit({})", WEXITSTATUS(status))
                           : fmt::format("signal {}", WTERMSIG(status));
}

}  // namespace

std::vector<std::string> environment_without_mlflow() {
  std::vector<std::string> out;
  for (char** v = environ; *v != nullptr; ++v) {
    const std::string_view variable = *v;
    if (!variable.starts_with("MLFLOW_") && !variable.starts_with("_MLFLOW_")) {
      out.emplace_back(variable);
    }
  }
  return out;
}

SignalQueue::SignalQueue() {
  const sigset_t signals = watched();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
}

SignalQueue::~SignalQueue() {
  const sigset_t signals = watched();
  sigprocmask(SIG_UNBLOCK, &signals, nullptr);
}

int SignalQueue::wait(int milliseconds) {
  const sigset_t signals = watched();
  const timespec time{milliseconds / 1000, (milliseconds % 1000) * 1'000'000L};
  const int signal = sigtimedwait(&signals, nullptr, &time);
  return signal < 0 ? 0 : signal;
}

bool SignalQueue::asks_to_stop(int signal) {
  const sigset_t signals = stop_signals();
  return sigismember(&signals, signal) == 1;
}

fs::path find_mlflow(const std::vector<fs::path>& folders) {
  const char* variable = std::getenv("PATH");
  std::string_view rest = variable == nullptr ? "" : variable;
  while (!rest.empty()) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    const fs::path file = fs::path(rest.substr(0, colon)) / "mlflow";
    if (is_program(file)) return fs::absolute(file);
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
  for (const fs::path& folder : folders) {
    if (is_program(folder / ".venv/bin/mlflow")) return fs::absolute(folder / ".venv/bin/mlflow");
  }
  return {};
}

bool is_free_port(const std::string& host, int& port) {
  const Address address(host, port, AI_PASSIVE);
  if (address.info == nullptr) {
    throw Error(fmt::format("'{}' is no address of this machine", host), ErrorKind::usage);
  }
  const Descriptor fd(socket(address.info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int yes = 1;  // As the server does: what was closed a moment ago is free.
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (bind(fd.get(), address.info->ai_addr, address.info->ai_addrlen) != 0 ||
      listen(fd.get(), 1) != 0) {
    if (errno == EADDRINUSE) return false;
    throw Error(fmt::format("cannot listen on port {} of {}: {}", port, host, std::strerror(errno)),
                ErrorKind::environment);
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  char service[NI_MAXSERV] = "";
  getsockname(fd.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  getnameinfo(reinterpret_cast<sockaddr*>(&bound), size, nullptr, 0, service, sizeof service,
              NI_NUMERICSERV);
  port = std::atoi(service);
  return true;
}

std::string server_url(const std::string& host, int port) {
  const std::string at = reached_at(host);
  const bool v6 = at.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}", v6 ? "[" : "", at, v6 ? "]" : "", port);
}

bool is_healthy(const std::string& host, int port) {
  const Address address(reached_at(host), port, 0);
  if (address.info == nullptr) return false;
  const Descriptor fd(socket(address.info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval second{1, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &second, sizeof second);
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  if (connect(fd.get(), address.info->ai_addr, address.info->ai_addrlen) != 0) return false;
  const std::string request =
      fmt::format("GET /health HTTP/1.0\r\nHost: {}\r\n\r\n", server_url(host, port).substr(7));
  if (send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return false;
  }
  std::string answer;
  char buffer[512];
  for (ssize_t n; answer.size() < 4096 && (n = recv(fd.get(), buffer, sizeof buffer, 0)) > 0;) {
    answer.append(buffer, static_cast<std::size_t>(n));
  }
  return answer.starts_with("HTTP/1.") && answer.substr(8, 5) == " 200 " &&
         answer.find("\r\n\r\nOK") != std::string::npos;
}

MlflowServer::MlflowServer(Options options) : options_(std::move(options)) {
  // Relative places: a path with '?' or '%' in it is no part of a database's URL.
  std::vector<std::string> arguments = {options_.program.string(),
                                        "server",
                                        "--host",
                                        options_.host,
                                        "--port",
                                        std::to_string(options_.port),
                                        "--workers",
                                        "1",
                                        "--backend-store-uri",
                                        "sqlite:///mlflow.db",
                                        "--artifacts-destination",
                                        "./artifacts"};
  std::vector<std::string> environment = server_environment(options_.program);
  const std::vector<char*> argument_list = pointers(arguments);
  const std::vector<char*> variable_list = pointers(environment);
  const Descriptor log_file = open_file(log(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
  const pid_t parent = getpid();
  pid_ = fork();
  if (pid_ < 0) {
    throw Error(fmt::format("cannot start {}: {}", options_.program.string(), std::strerror(errno)),
                ErrorKind::environment);
  }
  if (pid_ == 0) {
    become_server(options_.folder, log_file.get(), parent, const_cast<char**>(argument_list.data()),
                  const_cast<char**>(variable_list.data()));
  }
}

MlflowServer::~MlflowServer() {
  stop();
}

bool MlflowServer::is_alive() {
  if (ended_) return false;
  int status = 0;
  const pid_t ended = waitpid(pid_, &status, WNOHANG);
  if (ended == 0) return true;
  ended_ = true;
  how_ = ended == pid_ ? how_it_ended(status) : "ended";
  return false;
}

bool MlflowServer::wait_until_healthy(SignalQueue& signals) {
  const auto end = steady_clock::now() + kStartTime;
  while (steady_clock::now() < end) {
    // Healthy and alive after that: else another server has the port, and it answered.
    const bool healthy = is_healthy(options_.host, options_.port);
    if (!is_alive()) {
      throw Error("mlflow ended before it answered: " + last_words(), ErrorKind::environment);
    }
    if (healthy) return true;
    if (SignalQueue::asks_to_stop(signals.wait(100))) return false;
  }
  throw Error(fmt::format("mlflow does not answer after {} s: {}",
                          std::chrono::seconds(kStartTime).count(), last_words()),
              ErrorKind::environment);
}

void MlflowServer::stop() {
  if (pid_ <= 0) return;
  // The group, which outlives its first process: a killed server leaves workers that go on
  // answering.
  kill(-pid_, SIGTERM);
  const auto end = steady_clock::now() + kStopTime;
  const auto is_gone = [&] { return !is_alive() && kill(-pid_, 0) != 0 && errno == ESRCH; };
  while (!is_gone()) {
    if (steady_clock::now() >= end) {
      kill(-pid_, SIGKILL);
      if (!ended_) waitpid(pid_, nullptr, 0);
      break;
    }
    usleep(20'000);  // Its children are not ours: nobody tells when they have ended.
  }
  pid_ = -1;
}

std::string MlflowServer::last_words() const {
  std::ifstream in(log(), std::ios::binary);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) lines.push_back(line);
    if (lines.size() > kLastLines) lines.erase(lines.begin());
  }
  std::string out = how_.empty() ? "" : how_ + ", ";
  out += "log in " + log().string();
  for (const std::string& line : lines) out += "\n  " + line;
  return out;
}

}  // namespace cifarpipe::cli
