#include "stages/preprocess/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace cifarpipe::preprocess {

void for_each_block(std::size_t blocks, int threads, const std::function<void(std::size_t)>& work,
                    const std::function<void(double)>& check) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex failure_mutex;
  const auto run = [&](bool calling) {
    try {
      for (std::size_t block = next++; block < blocks; block = next++) {
        if (calling) check(static_cast<double>(block) / static_cast<double>(blocks));
        work(block);
      }
    } catch (...) {
      next = blocks;
      const std::lock_guard lock(failure_mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> helpers;
    const auto most = std::min(blocks, static_cast<std::size_t>(std::max(threads, 1)));
    for (std::size_t t = 1; t < most; ++t) helpers.emplace_back(run, false);
    run(true);
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace cifarpipe::preprocess
