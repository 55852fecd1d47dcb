// The folder of one run below `runs/`: what a person opens. The truth about results is in the
// store; here are the configuration, the log, links to the results, and the lock that says "alive".
// One thread.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "pipeline/lock.hpp"
#include "pipeline/recorder.hpp"

namespace cifarpipe {

class RunFolder {
 public:
  /// "<time>_<name>_<id>" with everything but [A-Za-z0-9._-] as '-'.
  static std::string folder_name(std::int64_t start_ms, std::string_view name, std::string_view id);
  /// Makes the folder (or goes on with it) and takes its `alive` lock. Throws Error if another
  /// process holds it.
  static RunFolder open(const std::filesystem::path& folder);
  static bool is_alive(const std::filesystem::path& folder);

  const std::filesystem::path& path() const { return path_; }
  /// pipeline.toml, resolved.toml, run.json, changes.diff (if there are any).
  void write(std::string_view name, std::string_view text) const;
  void log(std::string_view line);
  /// stages/NAME → the result, relative.
  void link_stage(const std::string& stage, const std::filesystem::path& result) const;
  /// The sign of life, as the time of the `alive` file; for those who find a dead run later.
  void touch() const;
  void close();

 private:
  std::filesystem::path path_;
  Lock alive_;
  int log_fd_ = -1;

 public:
  RunFolder() = default;
  RunFolder(RunFolder&& other) noexcept;
  RunFolder& operator=(RunFolder&& other) noexcept;
  ~RunFolder();
};

}  // namespace cifarpipe
