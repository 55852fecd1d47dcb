// What a run was made of: the commit of the folder that holds its file, with what was changed
// since, the command line, the host. Secrets never get this far in clear. Stateless: any thread.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace cifarpipe {

struct GitState {
  std::string commit;  ///< Empty: no git repository, or no git.
  std::string branch;
  bool dirty = false;
  std::string diff;  ///< Of tracked files against the commit.
};

/// Asks git about the repository that `folder` is in. Never fails: nothing known is an answer.
GitState git_state(const std::filesystem::path& folder);

/// The address of the repository's origin, as git has it; "" if there is none.
std::string repository_url(const std::filesystem::path& folder);

/// What a plugin says, fit for a terminal and a log: control characters as '?', one line a line.
std::vector<std::string> printable_lines(std::string_view text);

/// The command line as a person could type it again.
std::string shell_line(const std::vector<std::string>& arguments);

}  // namespace cifarpipe
