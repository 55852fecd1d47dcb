#include "pipeline/worker_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include "pipeline/random_id.hpp"

extern char** environ;

namespace cifarpipe {
namespace {

/// Threads and kernels are decided by the key, never by what a shell happens to export.
bool decides_numerics(std::string_view variable) {
  for (const std::string_view prefix :
       {"OMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "GOMP_", "KMP_", "OPENBLAS_", "TORCH_"}) {
    if (variable.substr(0, prefix.size()) == prefix) return true;
  }
  return false;
}

std::vector<char*> worker_environment() {
  std::vector<char*> variables;
  for (char** v = environ; *v != nullptr; ++v) {
    if (!decides_numerics(*v)) variables.push_back(*v);
  }
  variables.push_back(nullptr);
  return variables;
}

struct SpawnSettings {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    // INT, TERM and HUP stay blocked until the worker ignores them: a Ctrl-C to the group must
    // reach the supervisor alone, which then asks its workers to stop.
    sigset_t blocked;
    sigemptyset(&blocked);
    for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&blocked, s);
    posix_spawnattr_setsigmask(&attributes, &blocked);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
};

/// dup2 onto itself would leave O_CLOEXEC set; a descriptor above the target avoids that.
int move_up(int fd) {
  const int moved = fcntl(fd, F_DUPFD_CLOEXEC, kWorkerSocket + 1);
  close(fd);
  return moved;
}

}  // namespace

std::unique_ptr<WorkerProcess> WorkerProcess::spawn(const WorkerOptions& options) {
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess);
  int sockets[2];
  int pipe_ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0 ||
      pipe2(pipe_ends, O_CLOEXEC) != 0) {
    throw Error(fmt::format("cannot make a channel to a worker: {}", std::strerror(errno)),
                ErrorKind::environment);
  }
  worker->socket_ = move_up(sockets[0]);
  worker->output_ = move_up(pipe_ends[0]);
  const int child_socket = move_up(sockets[1]);
  const int child_output = move_up(pipe_ends[1]);
  fcntl(worker->output_, F_SETFL, O_NONBLOCK);
  worker->ring_file_ = options.rings_dir / (random_id() + ".ring");

  SpawnSettings settings;
  posix_spawn_file_actions_addopen(&settings.actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&settings.actions, child_output, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&settings.actions, child_output, STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&settings.actions, child_socket, kWorkerSocket);
  std::string parent = std::to_string(getpid());
  std::string limit = std::to_string(options.memory_limit);
  std::string program = options.executable.string();
  std::string ring = worker->ring_file_.string();
  char* arguments[] = {program.data(), ring.data(), parent.data(), limit.data(), nullptr};
  std::vector<char*> environment = worker_environment();
  const int error = posix_spawn(&worker->pid_, program.c_str(), &settings.actions,
                                &settings.attributes, arguments, environment.data());
  close(child_socket);
  close(child_output);
  if (error != 0) {
    worker->pid_ = -1;
    throw Error(fmt::format("cannot start the worker {}: {}", program, std::strerror(error)),
                ErrorKind::environment);
  }
  return worker;
}

WorkerProcess::~WorkerProcess() {
  if (socket_ >= 0) close(socket_);
  if (output_ >= 0) close(output_);
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
}

RingReader* WorkerProcess::ring() {
  if (!ring_ && std::filesystem::exists(ring_file_)) ring_ = RingReader::open(ring_file_);
  return ring_.get();
}

std::vector<std::string> WorkerProcess::read_output() {
  std::vector<std::string> lines;
  char buffer[65536];
  while (output_ >= 0) {
    const ssize_t n = read(output_, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;  // Nothing more for now.
    if (n == 0) {
      close(output_);
      output_ = -1;
      break;
    }
    pending_.append(buffer, static_cast<std::size_t>(n));
    if (pending_.size() > (1u << 20)) pending_ += '\n';  // A line without end must not pile up.
    if (n < static_cast<ssize_t>(sizeof(buffer))) break;
  }
  std::size_t begin = 0;
  for (std::size_t end; (end = pending_.find('\n', begin)) != std::string::npos; begin = end + 1) {
    lines.push_back(pending_.substr(begin, end - begin));
  }
  pending_.erase(0, begin);
  if (output_ < 0 && !pending_.empty()) {
    lines.push_back(std::move(pending_));
    pending_.clear();
  }
  return lines;
}

void WorkerProcess::kill(int signal) {
  if (pid_ > 0) ::kill(pid_, signal);
}

std::string WorkerProcess::wait_end() {
  if (pid_ <= 0) return "ended";
  int status = 0;
  while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  if (WIFEXITED(status)) return fmt::format("exit({})", WEXITSTATUS(status));
  killed_ = WTERMSIG(status) == SIGKILL;
  const char* name = sigabbrev_np(WTERMSIG(status));
  return name != nullptr ? fmt::format("SIG{}", name) : fmt::format("signal {}", WTERMSIG(status));
}

}  // namespace cifarpipe
