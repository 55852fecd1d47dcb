// The process in which a reproduction runs, watched through its JSON lines.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cli/reproduce.hpp"
#include "cli/runs.hpp"
#include "cli/say.hpp"
#include "cli/stop_signals.hpp"
#include "pipeline/file_ops.hpp"

extern char** environ;

namespace cifarpipe::cli {
namespace {

using nlohmann::json;

/// What a mirror would be told by is left out: a reproduction is no run for others to see.
std::vector<std::string> environment() {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (std::strncmp(*entry, "MLFLOW_", 7) != 0) variables.emplace_back(*entry);
  }
  return variables;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (std::string& text : texts) out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

/// In the child, where only system calls are allowed: becomes the program.
[[noreturn]] void become(char* const* argv, char* const* env, int out, int errors, pid_t parent) {
  setpgid(0, 0);  // So that Ctrl-C reaches it once, through us: a second one would kill.
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(127);
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(errors, STDERR_FILENO);
  const sigset_t signals = stop_signals();
  sigprocmask(SIG_UNBLOCK, &signals, nullptr);
  execve(argv[0], argv, env);
  _exit(127);
}

class Watcher {
 public:
  Watcher(bool live, ReproductionEnd& end) : live_(live), end_(end) {}
  ~Watcher() { draw(""); }

  void take(std::string_view bytes) {
    rest_ += bytes;
    for (std::size_t at; (at = rest_.find('\n')) != std::string::npos; rest_.erase(0, at + 1)) {
      const json line = json::parse(rest_.substr(0, at), nullptr, false);
      if (line.is_object()) event(line);
    }
  }

 private:
  void event(const json& line) {
    const std::string what = line.value("event", "");
    const std::string stage = line.value("stage", "");
    if (what == "started") {
      draw(stage);
    } else if (what == "progress") {
      const double total = line.value("total", 0.0);
      draw(fmt::format("{}  {:.0f}{} {}  {}", stage, line.value("done", 0.0),
                       total > 0 ? fmt::format("/{:.0f}", total) : "", line.value("unit", ""),
                       line.value("text", "")));
    } else if (what == "ended" && line.value("status", "") == "failed" && end_.failure.empty()) {
      end_.failure = fmt::format("{} failed: {}", stage, line.value("message", ""));
    }
  }

  void draw(const std::string& text) {
    if (!live_) return;
    winsize size{};
    const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20;
    const std::size_t width = known ? size.ws_col - 1u : 79u;
    say("\r\x1b[K{}", text.empty() ? "" : text_cut("  " + text, width));
    std::fflush(stderr);
  }

  bool live_;
  ReproductionEnd& end_;
  std::string rest_;
};

/// Until the child's stdout ends.
void watch(pid_t child, int out, int signals, Watcher& watcher, ReproductionEnd& end) {
  for (;;) {
    pollfd fds[] = {{out, POLLIN, 0}, {signals, POLLIN, 0}};
    if (poll(fds, 2, -1) < 0 && errno != EINTR) throw system_error("poll", errno);
    signalfd_siginfo info;
    if ((fds[1].revents & POLLIN) != 0 && read(signals, &info, sizeof info) == sizeof info) {
      end.signal = static_cast<int>(info.ssi_signo);
      kill(child, end.signal);
    }
    if (fds[0].revents == 0) continue;
    char buffer[65'536];
    const ssize_t n = read(out, buffer, sizeof buffer);
    if (n > 0) watcher.take({buffer, static_cast<std::size_t>(n)});
    if (n == 0 || (n < 0 && errno != EINTR)) return;
  }
}

}  // namespace

ReproductionEnd carry_out(const std::vector<std::string>& command,
                          const std::filesystem::path& errors, bool live) {
  std::vector<std::string> arguments = command;
  std::vector<std::string> variables = environment();
  const std::vector<char*> argv = pointers(arguments);
  const std::vector<char*> env = pointers(variables);
  const Descriptor log = open_file(errors, O_WRONLY | O_CREAT | O_TRUNC);
  const sigset_t stop = stop_signals();
  const Descriptor signals(signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK));
  int ends[2];
  if (signals.get() < 0 || pipe2(ends, O_CLOEXEC) != 0) throw system_error("a pipe", errno);
  const Descriptor out(ends[0]);
  Descriptor in(ends[1]);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) throw system_error("cannot start a process", errno);
  if (child == 0) become(argv.data(), env.data(), in.get(), log.get(), parent);
  in = Descriptor();  // What is left of it is the child's: its end is the end of the lines.
  ReproductionEnd end;
  {
    Watcher watcher(live, end);
    watch(child, out.get(), signals.get(), watcher, end);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  end.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (end.exit_code == 127) {
    throw Error(fmt::format("cannot start {}", command.front()), ErrorKind::environment);
  }
  return end;
}

}  // namespace cifarpipe::cli
