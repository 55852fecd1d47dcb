#include "cli/stop_signals.hpp"

#include <algorithm>

namespace cifarpipe::cli {

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, s);
  return signals;
}

void block_stop_signals() {
  const sigset_t signals = stop_signals();
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

int next_stop_signal(std::chrono::milliseconds time) {
  const sigset_t signals = stop_signals();
  const timespec wait{time.count() / 1000, time.count() % 1000 * 1'000'000};
  return std::max(0, sigtimedwait(&signals, nullptr, &wait));
}

}  // namespace cifarpipe::cli
