// Feeds an MLflow server while runs go on, in a thread of its own with a database connection of its
// own: whoever carries the runs out never waits for it, not even for a lock. What it does not
// manage stays in the store for `cifarpipe sync`. Signals that must not reach it are blocked by its
// maker.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "tracking/mirror.hpp"
#include "tracking/mlflow/settings.hpp"

namespace cifarpipe {

struct LiveMirrorOptions {
  std::filesystem::path runs_dir;  ///< With the database in it.
  mlflow::Settings settings;
  std::vector<std::string> runs;  ///< Their ids, parents first.
  /// Between two looks; longer where looking costs more than 1 % of a core.
  std::chrono::milliseconds interval{2000};
};

class LiveMirror {
 public:
  /// Begins at once.
  explicit LiveMirror(LiveMirrorOptions options);
  /// Stops.
  ~LiveMirror();
  LiveMirror(const LiveMirror&) = delete;

  /// What has to be told a person, once, in lines; nothing new: nothing. Never waits.
  std::optional<std::string> news();
  /// The runs have ended: send what is left and be done.
  void finish();
  /// Nothing more will be sent: all is there, or going on is no use.
  bool done() const { return done_.load(); }
  /// Ends the thread, within about 0.2 s whatever the server does.
  void stop();

 private:
  void loop();
  /// One look at each run; false: the server could not be reached.
  bool look(Mirror& mirror, bool last);
  bool bring(Mirror& mirror, const std::string& run, bool& reached);
  void tell_away(const std::string& why);
  void wait(std::chrono::milliseconds time, bool last);
  void tell(const std::string& sentence);

  LiveMirrorOptions options_;
  std::vector<std::string> due_;  // Not yet there with their end.
  bool told_away_ = false;
  bool was_last_ = false;  // The look before was one of the end.
  std::atomic<bool> stop_{false};
  std::atomic<bool> done_{false};
  std::atomic<std::string*> news_{nullptr};
  std::mutex mutex_;  // Of finishing_, for the wake-up.
  std::condition_variable wake_;
  bool finishing_ = false;
  std::thread thread_;
};

}  // namespace cifarpipe
