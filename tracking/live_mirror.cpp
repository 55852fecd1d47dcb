#include "tracking/live_mirror.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <memory>

#include "pipeline/error.hpp"

namespace cifarpipe {

using mlflow::CallError;
using mlflow::Failure;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kFirstPause{5'000};  // After the server could not be reached; then doubled,
constexpr milliseconds kLongestPause{60'000};
constexpr milliseconds kLastPause{300};  // and while the command waits for the end.
constexpr int kShare = 100;              // Of the time, at most one part is spent looking.

milliseconds cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return milliseconds(time.tv_sec * 1000 + time.tv_nsec / 1'000'000);
}

/// Changes whenever another connection, of any process, has committed.
std::int64_t changes_of(Database& db) {
  Statement version(db, "PRAGMA data_version");
  version.step();
  return version.integer(0);
}

}  // namespace

LiveMirror::LiveMirror(LiveMirrorOptions options)
    : options_(std::move(options)), due_(options_.runs) {
  // A call that failed is not repeated for minutes in one go: this loop does that, and can be told
  // that the end has come.
  options_.settings.retries = std::min(options_.settings.retries, 1);
  thread_ = std::thread([this] { loop(); });
}

LiveMirror::~LiveMirror() {
  stop();
  delete news_.load();
}

std::optional<std::string> LiveMirror::news() {
  const std::unique_ptr<std::string> text(news_.exchange(nullptr));
  return text ? std::optional<std::string>(*text) : std::nullopt;
}

void LiveMirror::tell(const std::string& sentence) {
  const std::unique_ptr<std::string> untold(news_.exchange(nullptr));
  auto text = std::make_unique<std::string>(untold ? *untold + "\n" + sentence : sentence);
  news_.store(text.release());
}

void LiveMirror::finish() {
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  wake_.notify_all();
}

void LiveMirror::stop() {
  stop_ = true;
  finish();
  if (thread_.joinable()) thread_.join();
}

void LiveMirror::wait(milliseconds time, bool last) {
  std::unique_lock lock(mutex_);
  wake_.wait_for(lock, time, [&] { return stop_.load() || (finishing_ && !last); });
}

void LiveMirror::loop() {
  pthread_setname_np(pthread_self(), "mirror");  // For top -H, and for bench/outage.
  try {
    Database db(options_.runs_dir / "cifarpipe.db");
    const Store store(options_.runs_dir, file_ops());
    mlflow::Client client(options_.settings, &stop_);
    MirrorOptions options;
    options.retry_parked = true;  // The first time; then not again and again.
    options.adopt_run = options_.runs.empty() ? "" : options_.runs.front();
    options.adopt_remote = options_.settings.run_id;
    Mirror mirror(db, store, client, options);
    milliseconds pause = kFirstPause;
    std::int64_t seen = -1;
    for (;;) {
      bool last = false;
      {
        const std::lock_guard lock(mutex_);
        last = finishing_;
      }
      if (stop_) break;
      const milliseconds before = cpu_time();
      const std::int64_t changes = changes_of(db);
      // Another chance at the end for what the server failed at.
      if (last && !was_last_ && mirror.has_put_off()) mirror.retry_parked(true);
      was_last_ = last;
      const bool reached = (changes == seen && !last) || look(mirror, last);
      mirror.retry_parked(false);
      for (const std::string& sentence : mirror.take_notices()) tell("MLflow: " + sentence);
      if (!reached) {
        mirror.forget_answers();
        seen = -1;
        wait(last ? kLastPause : pause, last);
        pause = std::min(2 * pause, kLongestPause);
        continue;
      }
      if (last && due_.empty()) break;
      seen = changes;
      pause = kFirstPause;
      wait(last ? kLastPause : std::max(options_.interval, kShare * (cpu_time() - before)), last);
    }
  } catch (const CallError& error) {
    if (error.failure() != Failure::stopped) {
      tell(
          fmt::format("{}; this run goes on without it, and `cifarpipe sync` sends all of it later",
                      error.what()));
    }
  } catch (const std::exception& error) {
    tell(fmt::format("nothing more is sent to MLflow: {}; `cifarpipe sync` does it later",
                     error.what()));
  }
  done_ = true;
}

bool LiveMirror::look(Mirror& mirror, bool last) {
  bool reached = true;
  try {
    std::vector<std::string> left;
    for (std::size_t i = 0; i < due_.size(); ++i) {
      // Before it is brought: what it is then, the server knows.
      const bool ended = mirror.has_ended(due_[i]);
      const bool mine = bring(mirror, due_[i], reached);
      if (!mine || (!ended && !last)) left.push_back(due_[i]);
      if (stop_) return true;
    }
    due_ = std::move(left);
    return reached;
  } catch (const CallError& error) {
    if (error.failure() != Failure::unreachable) throw;
    tell_away(error.what());
    return false;
  }
}

/// One run; a server that fails at it may well take the next.
bool LiveMirror::bring(Mirror& mirror, const std::string& run, bool& reached) {
  try {
    return mirror.bring(run);
  } catch (const CallError& error) {
    if (!error.of_one_call()) throw;
    tell_away(error.what());
    reached = false;
    return false;
  }
}

void LiveMirror::tell_away(const std::string& why) {
  if (told_away_) return;
  tell(
      fmt::format("{}; this run goes on, and what is missing there is sent when the server is "
                  "back or by `cifarpipe sync`",
                  why));
  told_away_ = true;
}

}  // namespace cifarpipe
