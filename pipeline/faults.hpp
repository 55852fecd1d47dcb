// File operations that fail or stop the process at a chosen moment, for tests. In a program by the
// environment, without any cost when it is not set:
//   CIFARPIPE_FAULT=fail:N | enospc:N | kill:N, each with @PROGRAM to mean one program only
//   CIFARPIPE_FAULT_COUNT=FILE   a line "PROGRAM PID N OPERATION PATH" for each operation
// The N-th operation of each process counts, from 1. Any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "pipeline/file_ops.hpp"

namespace cifarpipe {

struct Fault {
  enum class Kind { none, fail, enospc, kill };
  Kind kind = Kind::none;
  std::uint64_t at = 0;

  /// From "kill:12"; throws an Error (usage) on anything else.
  static Fault parse(std::string_view text);
};

/// Does what `ops` does, but for the operation where the fault lies: that one is done by half
/// (half a file written, one entry of a folder removed) and then fails with EIO, fails with ENOSPC,
/// or kills the process. A full disk stays full: after `enospc` all that needs space fails.
class FaultyFileOps final : public FileOps {
 public:
  FaultyFileOps(FileOps& ops, Fault fault, std::filesystem::path trace = {});

  void make_dirs(const std::filesystem::path& dir) override;
  void write_file(const std::filesystem::path& file, std::string_view text) override;
  void rename(const std::filesystem::path& from, const std::filesystem::path& to) override;
  void sync_file(const std::filesystem::path& file) override;
  void sync_dir(const std::filesystem::path& dir) override;
  void sync_file_system(const std::filesystem::path& dir) override;
  void remove_all(const std::filesystem::path& path) override;
  void symlink(const std::filesystem::path& target, const std::filesystem::path& link) override;
  void chmod(const std::filesystem::path& path, unsigned mode) override;

  /// Operations so far.
  std::uint64_t count() const { return count_; }

 private:
  /// Counts; true if this operation is to fail.
  bool due(std::string_view operation, const std::filesystem::path& path, bool needs_space);
  [[noreturn]] void strike(std::string_view verb, const std::filesystem::path& path) const;

  FileOps& ops_;
  Fault fault_;
  std::filesystem::path trace_;
  std::atomic<std::uint64_t> count_ = 0;
};

/// Null if the environment asks for nothing.
std::unique_ptr<FileOps> faults_from_environment(FileOps& ops);

}  // namespace cifarpipe
