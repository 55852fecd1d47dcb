#include "worker/serve.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <deque>
#include <fstream>
#include <mutex>
#include <thread>

#include "worker/job_runner.hpp"

namespace cifarpipe {
namespace {

/// Dies with its supervisor, leaves signals to it, and is the first to go when memory runs out.
void settle_into_process(pid_t parent, std::uint64_t memory_limit) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);  // It died before the line above.
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) signal(s, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  std::ofstream("/proc/self/oom_score_adj") << "1000";
  if (memory_limit > 0) {
    const rlimit limit{memory_limit, memory_limit};
    setrlimit(RLIMIT_DATA, &limit);
  }
  fcntl(kWorkerSocket, F_SETFD, FD_CLOEXEC);
  setvbuf(stdout, nullptr, _IOLBF, 0);  // What a plugin printed before it crashed is worth having.
}

/// Orders as they arrive on the control thread, taken by the stage's thread. A `stop` must reach a
/// stage that is running, so it does not wait in the queue.
class Orders {
 public:
  void receive_all() {
    while (auto order = receive_order(kWorkerSocket)) {
      const std::lock_guard lock(mutex_);
      if (order->command == Command::stop) {
        stop_.request_stop();
      } else {
        queue_.push_back(std::move(*order));
        arrived_.notify_one();
      }
    }
    const std::lock_guard lock(mutex_);
    closed_ = true;
    stop_.request_stop();
    arrived_.notify_one();
  }

  /// The next order; nothing when the supervisor is gone.
  std::optional<Order> next() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return closed_ || !queue_.empty(); });
    if (queue_.empty()) return std::nullopt;
    Order order = std::move(queue_.front());
    queue_.pop_front();
    return order;
  }

  std::stop_token stop() const { return stop_.get_token(); }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Order> queue_;
  std::stop_source stop_;
  bool closed_ = false;
};

}  // namespace

int serve(char** arguments) {
  settle_into_process(std::atoi(arguments[2]), std::strtoull(arguments[3], nullptr, 10));
  EventSender sender(kWorkerSocket);
  std::unique_ptr<RingWriter> ring;
  try {
    ring = RingWriter::create(arguments[1]);
  } catch (const Error& error) {
    fmt::print("{}\n", error.what());
    fflush(stdout);
    return 3;
  }
  // A full ring means that the supervisor is behind; it drains ten times a second.
  ring->set_wait([] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); });
  Event ready;
  ready.kind = Event::Kind::ready;
  ready.text = arguments[1];
  sender.send(ready);

  Orders orders;
  std::thread control([&orders] { orders.receive_all(); });
  PluginLoader loader;
  Lock job_lock;
  while (auto order = orders.next()) {
    if (order->command == Command::release) {
      job_lock.release();
      continue;
    }
    job_lock = Lock::adopt(order->lock_fd);
    run_job(order->job, loader, *ring, sender, orders.stop());
    fflush(stdout);
    fflush(stderr);
  }
  // No destructors: plugins' threads may be anywhere, and all that counts is durable.
  _exit(0);
}

}  // namespace cifarpipe
