// How `cifarpipe sync` looks: a bar on a terminal while it goes on, and at the end a line a server,
// with what was refused and the way out. Main thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tracking/mirror.hpp"

namespace cifarpipe::cli {

/// What became of one server.
struct SyncOutcome {
  std::string uri;
  std::string version;
  std::size_t runs = 0;  ///< That were looked at, or were to be.
  MirrorCounts sent;
  MirrorCounts left;
  std::vector<Parked> parked;
  std::vector<std::string> busy;     ///< Runs that another process was sending.
  std::vector<std::string> notices;  ///< What was changed to fit.
  std::string error;                 ///< Why it ended early; "" it did not.
  bool complete() const { return left.none() && parked.empty() && busy.empty() && error.empty(); }
};

/// On stdout.
void print_sync(const std::vector<SyncOutcome>& outcomes, bool dry_run, bool color);
void print_sync_json(const std::vector<SyncOutcome>& outcomes);

/// One line on stderr, drawn again; without a terminal a line every ten seconds. Off: nothing.
class SyncProgress {
 public:
  SyncProgress(bool live, bool off) : live_(live), off_(off) {}
  ~SyncProgress() { erase(); }
  void begin(const std::string& uri, std::size_t runs, std::int64_t points);
  /// Before each run.
  void run(std::size_t number, const std::string& name);
  void sent(const MirrorCounts& counts);
  void erase();

 private:
  void draw();

  bool live_;
  bool off_;
  bool drawn_ = false;
  std::string uri_;
  std::string name_;
  std::size_t runs_ = 0;
  std::size_t run_ = 0;
  std::int64_t points_ = 0;
  MirrorCounts counts_;
  std::chrono::steady_clock::time_point last_;
};

}  // namespace cifarpipe::cli
