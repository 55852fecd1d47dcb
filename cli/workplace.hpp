// A folder in which a recorded state is laid out again: the repository's files as they were, a
// store of its own beside them. Gone with its owner unless it is to be kept. One thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cifarpipe::cli {

class Workplace {
 public:
  /// `dir`: a new or an empty folder, which then stays; empty: one in the folder for temporary
  /// files. Throws an Error (usage) if `dir` is in use.
  explicit Workplace(const std::string& dir);
  Workplace(const Workplace&) = delete;
  ~Workplace();

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path files() const { return path_ / "files"; }  ///< The repository's.
  std::filesystem::path runs() const { return path_ / "runs"; }    ///< The store.
  void keep() { keep_ = true; }
  bool kept() const { return keep_; }

  /// Puts `commit` of the repository at `repository` into files(), as a worktree, or as a clone
  /// where that one cannot be written, and applies the patch in `changes` if there is such a file.
  /// Hooks do not run. Throws an Error (environment).
  void lay_out(const std::filesystem::path& repository, const std::string& commit,
               const std::filesystem::path& changes);

 private:
  std::filesystem::path path_;
  std::filesystem::path repository_;  ///< That has files() as a worktree; empty: none.
  bool keep_ = false;
};

/// The first of `candidates` that lies in a repository which has `commit`; empty: none.
std::filesystem::path repository_with(const std::string& commit,
                                      const std::vector<std::filesystem::path>& candidates);

}  // namespace cifarpipe::cli
