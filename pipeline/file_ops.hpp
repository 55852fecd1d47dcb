// Every file operation that the store's promises rest on, behind one small interface, so that a
// test can make the n-th of them fail or stop the process there (faults.hpp). Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cifarpipe {

class FileOps {
 public:
  virtual ~FileOps() = default;
  virtual void make_dirs(const std::filesystem::path& dir) = 0;
  /// Writes, fsyncs the file; the directory's entry is durable after `sync_dir(parent)`.
  virtual void write_file(const std::filesystem::path& file, std::string_view text) = 0;
  virtual void rename(const std::filesystem::path& from, const std::filesystem::path& to) = 0;
  virtual void sync_file(const std::filesystem::path& file) = 0;
  virtual void sync_dir(const std::filesystem::path& dir) = 0;
  virtual void remove_all(const std::filesystem::path& path) = 0;
  virtual void symlink(const std::filesystem::path& target, const std::filesystem::path& link) = 0;
  virtual void chmod(const std::filesystem::path& path, unsigned mode) = 0;

  /// tmp + fsync + rename + fsync of the folder: readers see the old text or the new one.
  void replace_file(const std::filesystem::path& file, std::string_view text);
  /// A link with `target` at `link`, replacing what link is there, in one step.
  void replace_symlink(const std::filesystem::path& target, const std::filesystem::path& link);
};

/// The real one. All throw Error with the path and the reason; a full disk has kind environment.
FileOps& real_file_ops();
/// What this process uses: the real one, or, when CIFARPIPE_FAULT is set ("fail:N", "enospc:N",
/// "kill:N": at the N-th operation), one with that fault.
FileOps& file_ops();

std::string read_text_file(const std::filesystem::path& file);

}  // namespace cifarpipe
