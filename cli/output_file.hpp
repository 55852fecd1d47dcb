// A file that a command writes where somebody asked for it: there whole or not at all, and never in
// place of what somebody else wrote. Main thread.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace cifarpipe::cli {

/// How the files that a command writes are known again: it replaces those and no others.
struct OwnFiles {
  std::string_view command;                  ///< "`cifarpipe report`"
  std::vector<std::string_view> beginnings;  ///< Each of them begins with one of these.
};

/// "-" and /dev/stdout: no file, what the command prints.
bool means_stdout(const std::string& path);

/// Throws Error (usage) unless `file` can be the name of a new file, or is an earlier one of
/// `own`, or an empty one: said before the work that fills it.
void require_own_or_nothing(const std::filesystem::path& file, const OwnFiles& own);

class OutputFile {
 public:
  /// Begins to write beside `file`; a pipe or a device is written itself. Throws Error as
  /// require_own_or_nothing does, and (environment) if nothing can be written there.
  OutputFile(const std::filesystem::path& file, const OwnFiles& own);
  /// Leaves nothing behind unless committed.
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;

  std::ostream& stream() { return out_; }
  /// No more is written; what was there still is. Throws Error (environment) if something could not
  /// be written.
  void close();
  /// Closes it and puts it in place of what was there. Throws Error (environment).
  void commit();

 private:
  [[noreturn]] void refuse(const std::string& problem) const;

  std::filesystem::path file_;
  std::filesystem::path part_;  // Empty: file_ itself is written.
  std::ofstream out_;
  bool closed_ = false;
  bool done_ = false;
};

}  // namespace cifarpipe::cli
