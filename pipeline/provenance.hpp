// What a run was made of: the commit of the folder that holds its file, with what was changed
// since, the command line, the host. Secrets never get this far in clear. Stateless: any thread.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace cifarpipe {

struct GitState {
  std::string commit;  ///< Empty: no git repository, or no git.
  std::string branch;
  std::string remote;  ///< URL of "origin", without user-info; empty: none.
  std::string top;     ///< The repository's uppermost folder, absolute.
  bool dirty = false;  ///< Tracked files are not as in the commit.
  /// What `git apply` turns the commit's files into these with: changes of tracked files, and small
  /// untracked text files as new ones (untracked.hpp).
  std::string diff;
  std::string missing;  ///< What of the state is not in `diff`, for people; empty: nothing.
};

/// Asks git about the repository that `folder` is in. Never fails: nothing known is an answer.
/// Untracked files below `except` (the store, which may lie in the repository) do not count.
GitState git_state(const std::filesystem::path& folder, const std::filesystem::path& except = {});

/// What `git -C folder arguments…` prints; nothing if it fails, prints more than `most` bytes, or
/// is not there. Its errors are not heard, its input is empty.
std::optional<std::string> run_git(const std::filesystem::path& folder,
                                   std::vector<std::string> arguments,
                                   std::size_t most = 64'000'000);

/// What a plugin says, fit for a terminal and a log: control characters as '?', one line a line.
std::vector<std::string> printable_lines(std::string_view text);

/// The command line as a person could type it again.
std::string shell_line(const std::vector<std::string>& arguments);

}  // namespace cifarpipe
