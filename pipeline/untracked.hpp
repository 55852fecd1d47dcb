// What goes into the patch beside the changes that git tells of: files that it does not know yet,
// such as a new configuration or a list of labels. And what does not: what is large, binary or
// looks like a secret. Stateless: any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace cifarpipe {

struct UntrackedFiles {
  std::string patch;     ///< For `git apply`: each file as a new one.
  std::string left_out;  ///< The files that are not in it and why, for people; empty: none.
};

/// The untracked and not ignored files of the repository at `top`, but for those below `except`.
/// Text files of less than 100 kB, 1 MB of them and 500 at most.
UntrackedFiles untracked_files(const std::filesystem::path& top,
                               const std::filesystem::path& except);

/// A patch of git's without the files of which it holds no content ("Binary files … differ": it
/// could not be applied) and those that may hold a secret; they are added to `left_out`.
std::string without_unsafe_parts(const std::string& patch, std::string& left_out);

/// One file as git shows a new one. `name`: relative to the top, '/'-separated, without control
/// characters, quotes and backslashes.
std::string new_file_patch(std::string_view name, std::string_view text, bool executable);

/// Whether a file's name or its text (a private key, `password = …`) says that it holds a secret.
/// Guesses on the safe side: a file that stays out is named, one that gets in is kept.
bool may_hold_secret(std::string_view name, std::string_view text);

}  // namespace cifarpipe
