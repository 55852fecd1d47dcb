#include "pipeline/provenance.hpp"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "pipeline/secrets.hpp"
#include "pipeline/untracked.hpp"

extern char** environ;

namespace cifarpipe {
namespace {

/// The changes of tracked files, without what the settings of whoever calls would make of them.
void add_changes(GitState& state) {
  constexpr std::size_t kMost = 16'000'000;  // More than anybody writes; less than a data set.
  std::vector<std::string> diff = {
      "-c",         "diff.noprefix=false", "-c",           "diff.mnemonicPrefix=false",
      "-c",         "diff.relative=false", "diff",         "HEAD",
      "--no-color", "--no-ext-diff",       "--no-textconv"};
  std::vector<std::string> binary = diff;
  binary.emplace_back("--binary");
  auto changes = run_git(state.top, binary, kMost);
  if (!changes) {
    changes = run_git(state.top, diff, kMost);
    if (!changes) state.missing = "changes of more than 16 MB";
  }
  state.dirty = !changes || !changes->empty();
  state.diff = without_unsafe_parts(changes.value_or(""), state.missing);
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return;
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

std::optional<std::string> run_git(const std::filesystem::path& folder,
                                   std::vector<std::string> arguments, std::size_t most) {
  arguments.insert(arguments.begin(), {"git", "-C", folder.string()});
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return std::nullopt;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, "git", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  std::string out;
  if (error == 0) {
    char buffer[65536];
    ssize_t n = 0;
    while (out.size() <= most &&
           ((n = read(ends[0], buffer, sizeof(buffer))) > 0 || (n < 0 && errno == EINTR))) {
      if (n > 0) out.append(buffer, static_cast<std::size_t>(n));
    }
  }
  close(ends[0]);
  if (error != 0) return std::nullopt;
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  // One that had more to say was ended by the closed pipe.
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || out.size() > most) return std::nullopt;
  return out;
}

GitState git_state(const std::filesystem::path& folder, const std::filesystem::path& except) {
  GitState state;
  const auto head =
      run_git(folder, {"rev-parse", "--show-toplevel", "HEAD", "--abbrev-ref", "HEAD"});
  const std::vector<std::string> lines = head ? printable_lines(*head) : std::vector<std::string>{};
  if (lines.size() != 3) return state;
  state.top = lines[0];
  state.commit = lines[1];
  state.branch = lines[2];
  const auto remote = run_git(folder, {"remote", "get-url", "origin"});
  if (remote) state.remote = without_userinfo(printable_lines(*remote).front());
  add_changes(state);
  UntrackedFiles untracked = untracked_files(state.top, except);
  state.diff += untracked.patch;
  if (!untracked.left_out.empty()) {
    state.missing += (state.missing.empty() ? "" : "; ") + untracked.left_out;
  }
  return state;
}

std::vector<std::string> printable_lines(std::string_view text) {
  std::vector<std::string> lines(1);
  for (const char c : text) {
    if (c == '\n') {
      lines.emplace_back();
    } else if (c == '\t') {
      lines.back() += "  ";
    } else {
      lines.back() += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  }
  while (lines.size() > 1 && lines.back().empty()) lines.pop_back();
  return lines;
}

std::string shell_line(const std::vector<std::string>& arguments) {
  std::string out;
  for (const std::string& a : arguments) {
    if (!out.empty()) out += ' ';
    const bool plain = !a.empty() && a.find_first_not_of(
                                         "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                         "0123456789_-./=:,+@%") == std::string::npos;
    if (plain) {
      out += a;
    } else {
      std::string escaped = a;
      replace_all(escaped, "'", "'\\''");
      out += "'" + escaped + "'";
    }
  }
  return out;
}

}  // namespace cifarpipe
