#include "cli/workplace.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstdlib>

#include "pipeline/file_ops.hpp"
#include "pipeline/provenance.hpp"

namespace cifarpipe::cli {
namespace fs = std::filesystem;
namespace {

fs::path new_folder() {
  std::error_code error;
  const fs::path temporary = fs::temp_directory_path(error);
  if (error) {
    const char* named = std::getenv("TMPDIR");
    throw Error(fmt::format("there is no folder '{}' for what is laid out{}; name another one with "
                            "TMPDIR or --dir",
                            named != nullptr ? named : "/tmp",
                            named != nullptr ? ", which TMPDIR names" : ""),
                ErrorKind::environment);
  }
  std::string name = (temporary / "cifarpipe-reproduce-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw file_error("create the folder", name, errno);
  return name;
}

fs::path given_folder(const std::string& dir) {
  const fs::path path = fs::absolute(dir).lexically_normal();
  std::error_code error;
  if (fs::exists(path, error) && (!fs::is_directory(path, error) || !fs::is_empty(path, error))) {
    throw Error(fmt::format("'{}' is not an empty folder: --dir wants a new or an empty one", dir),
                ErrorKind::usage);
  }
  fs::create_directories(path, error);
  if (error) throw file_error("create the folder", path, error.value());
  return path;
}

std::vector<std::string> without_hooks(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(),
                   {"-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false"});
  return arguments;
}

}  // namespace

Workplace::Workplace(const std::string& dir)
    : path_(dir.empty() ? new_folder() : given_folder(dir)), keep_(!dir.empty()) {}

Workplace::~Workplace() {
  if (keep_) return;
  if (!repository_.empty()) {
    run_git(repository_, {"worktree", "remove", "--force", "--force", files().string()});
  }
  file_ops().try_remove_all(path_);
  // One that git could not remove is gone by now, and git may forget it.
  if (!repository_.empty()) run_git(repository_, {"worktree", "prune"});
}

void Workplace::lay_out(const fs::path& repository, const std::string& commit,
                        const fs::path& changes) {
  const std::string to = files().string();
  repository_ = repository;
  if (!run_git(repository,
               without_hooks({"worktree", "add", "--quiet", "--force", "--detach", to, commit}))) {
    repository_.clear();
    file_ops().try_remove_all(files());
    const bool cloned =
        run_git(repository, without_hooks({"clone", "--quiet", "--shared", "--no-checkout",
                                           fs::absolute(repository).string(), to})) &&
        run_git(to, without_hooks({"checkout", "--quiet", "--detach", commit}));
    if (!cloned) {
      throw Error(fmt::format("git cannot lay commit {} of {} out in {}", commit.substr(0, 12),
                              repository.string(), to),
                  ErrorKind::environment);
    }
  }
  std::error_code error;
  if (!fs::exists(changes, error)) return;
  if (!run_git(to, {"apply", "--whitespace=nowarn", fs::absolute(changes).string()})) {
    throw Error(
        fmt::format("the recorded changes in {} cannot be applied to commit {}; --here runs the "
                    "recorded configuration on the files as they are now",
                    changes.string(), commit.substr(0, 12)),
        ErrorKind::environment);
  }
}

fs::path repository_with(const std::string& commit, const std::vector<fs::path>& candidates) {
  for (const fs::path& candidate : candidates) {
    if (run_git(candidate, {"cat-file", "-e", commit + "^{commit}"})) return candidate;
  }
  return {};
}

}  // namespace cifarpipe::cli
