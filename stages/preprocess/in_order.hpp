// Work that several threads do and one takes in order: `make` runs ahead by a few blocks at most,
// so memory does not grow with the count, and what is taken does not depend on the number of
// threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace cifarpipe::preprocess {

/// Calls make(i) for each i below `count`, on `threads` threads of its own and `block` calls at a
/// time, and take(i, result) on this thread, in order. What `make` throws is thrown here when it is
/// i's turn; what `take` throws ends everything.
template <class Result, class Make, class Take>
void in_order(std::size_t count, std::size_t block, int threads, Make make, Take take) {
  struct Slot {
    std::optional<Result> result;
    std::exception_ptr failure;
  };
  struct Block {
    std::vector<Slot> slots;
    bool done = false;
  };
  const std::size_t blocks = (count + block - 1) / block;
  std::vector<Block> ring(static_cast<std::size_t>(threads) + 2);
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t next = 0;
  std::size_t taken = 0;
  std::atomic<bool> quit = false;  // Also looked at between two calls of a block.
  const auto size_of = [&](std::size_t b) { return std::min(block, count - b * block); };

  const auto work = [&] {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return quit || next >= blocks || next < taken + ring.size(); });
      if (quit || next >= blocks) return;
      const std::size_t b = next++;
      lock.unlock();
      Block& mine = ring[b % ring.size()];
      mine.slots.assign(size_of(b), Slot{});
      for (std::size_t k = 0; k < mine.slots.size(); ++k) {
        if (quit) return;
        try {
          mine.slots[k].result.emplace(make(b * block + k));
        } catch (...) {
          mine.slots[k].failure = std::current_exception();
        }
      }
      lock.lock();
      mine.done = true;
      changed.notify_all();
    }
  };
  struct Ending {  // Before the threads are joined, also when something is thrown.
    std::mutex& mutex;
    std::condition_variable& changed;
    std::atomic<bool>& quit;
    ~Ending() {
      const std::lock_guard lock(mutex);
      quit = true;
      changed.notify_all();
    }
  };
  std::vector<std::jthread> pool;
  const Ending ending{mutex, changed, quit};
  for (int t = 0; t < threads; ++t) pool.emplace_back(work);

  for (std::size_t b = 0; b < blocks; ++b) {
    Block& block_now = ring[b % ring.size()];
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return block_now.done; });
    lock.unlock();
    for (std::size_t k = 0; k < block_now.slots.size(); ++k) {
      Slot& slot = block_now.slots[k];
      if (slot.failure) std::rethrow_exception(slot.failure);
      take(b * block + k, std::move(*slot.result));
    }
    lock.lock();
    block_now.done = false;
    taken = b + 1;
    changed.notify_all();
  }
}

}  // namespace cifarpipe::preprocess
