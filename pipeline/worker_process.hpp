// A worker process as the supervisor sees it: its socket, its output, its ring, its end. Spawned
// from the main thread (a worker dies with the thread that made it). One thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/metric_ring.hpp"
#include "pipeline/protocol.hpp"

namespace cifarpipe {

struct WorkerOptions {
  std::filesystem::path executable;  ///< cifarpipe-worker
  std::filesystem::path rings_dir;
  std::uint64_t memory_limit = 0;  ///< Bytes of data a worker may have; 0 = no limit.
};

class WorkerProcess {
 public:
  /// Starts one. Throws Error (environment) if it cannot be started. It is usable at once; orders
  /// wait in the socket until it is up.
  static std::unique_ptr<WorkerProcess> spawn(const WorkerOptions& options);
  /// Kills it if it still lives.
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;

  int socket() const { return socket_; }
  int output() const { return output_; }  ///< Its stdout and stderr; -1 after their end.
  pid_t pid() const { return pid_; }
  const std::filesystem::path& ring_file() const { return ring_file_; }
  std::string ring_name() const { return ring_file_.filename().string(); }
  /// Null until the worker has made it.
  RingReader* ring();

  /// Whole lines of what it printed, as far as it is there. Sets output() to -1 at the end.
  std::vector<std::string> read_output();
  void kill(int signal);
  /// Reaps it. Returns how it ended, as a sentence's part: "SIGSEGV", "exit(0)".
  std::string wait_end();
  /// After wait_end: whether it was killed by SIGKILL, which may mean "out of memory".
  bool was_killed() const { return killed_; }

 private:
  WorkerProcess() = default;

  pid_t pid_ = -1;
  int socket_ = -1;
  int output_ = -1;
  bool killed_ = false;
  std::string pending_;
  std::filesystem::path ring_file_;
  std::unique_ptr<RingReader> ring_;
};

}  // namespace cifarpipe
