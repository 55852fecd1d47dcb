// Every file operation that the store's promises rest on, behind one small interface, so that a
// test can make the n-th of them fail or stop the process there (faults.hpp). Any thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/error.hpp"

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
  /// All that is on the file system of `dir`, in one step: what thousands of files need, each of
  /// which would wait for the device. From Linux 5.8 on it tells of failed writes, as fsync does.
  virtual void sync_file_system(const std::filesystem::path& dir) = 0;
  /// What is not there is removed already.
  virtual void remove_all(const std::filesystem::path& path) = 0;
  virtual void symlink(const std::filesystem::path& target, const std::filesystem::path& link) = 0;
  virtual void chmod(const std::filesystem::path& path, unsigned mode) = 0;

  /// tmp + fsync + rename + fsync of the folder: readers see the old text or the new one.
  void replace_file(const std::filesystem::path& file, std::string_view text);
  /// A link with `target` at `link`, replacing what link is there, in one step.
  void replace_symlink(const std::filesystem::path& target, const std::filesystem::path& link);
  /// Makes a folder with all that is below it durable; its own entry is so after
  /// `sync_dir(parent)`.
  void sync_tree(const std::filesystem::path& dir);
  /// For the way out of a failure: removes what it can and never throws.
  void try_remove_all(const std::filesystem::path& path) noexcept;
};

/// The real one. All throw Error with the path and the reason; a full disk has kind environment.
FileOps& real_file_ops();
/// What this process uses: the real one, or, when CIFARPIPE_FAULT is set ("fail:N", "enospc:N",
/// "kill:N": at the N-th operation), one with that fault.
FileOps& file_ops();

std::string read_text_file(const std::filesystem::path& file);

/// The Error for a failed system call on a file: "cannot <verb> 'FILE': <reason>"; for a full disk
/// a sentence of its own, kind environment.
Error file_error(std::string_view verb, const std::filesystem::path& file, int error_number);

/// Owns an open file; -1 for none.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// open(2) with O_CLOEXEC, again after EINTR. Throws Error.
Descriptor open_file(const std::filesystem::path& file, int flags, unsigned mode = 0644);

}  // namespace cifarpipe
