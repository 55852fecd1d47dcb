// Work on several threads, taken in order: for any number of them, and when something fails.
#include "stages/preprocess/in_order.hpp"

#include <atomic>

#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::preprocess;
using namespace cifarpipe::test;

namespace {

std::size_t square(std::size_t i) {
  return i * i;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(in_order)

BOOST_AUTO_TEST_CASE(whatever_the_number_of_threads) {
  for (const std::size_t count : {0u, 1u, 7u, 1000u}) {
    for (const std::size_t block : {1u, 3u, 2000u}) {
      for (const int threads : {1, 2, 5}) {
        std::size_t next = 0;
        preprocess::in_order<std::size_t>(count, block, threads, square,
                                          [&](std::size_t i, std::size_t value) {
                                            BOOST_REQUIRE_EQUAL(i, next++);
                                            BOOST_REQUIRE_EQUAL(value, i * i);
                                          });
        BOOST_CHECK_EQUAL(next, count);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(a_failure_waits_for_its_turn) {
  for (const int threads : {1, 4}) {
    std::size_t taken = 0;
    const auto make = [](std::size_t i) {
      if (i >= 50) throw Error("failed at " + std::to_string(i));
      return i;
    };
    const std::string message = message_of([&] {
      preprocess::in_order<std::size_t>(100, 4, threads, make,
                                        [&](std::size_t, std::size_t) { ++taken; });
    });
    BOOST_CHECK_EQUAL(message, "failed at 50");
    BOOST_CHECK_EQUAL(taken, 50u);
  }
}

BOOST_AUTO_TEST_CASE(runs_ahead_by_a_few_blocks_only) {
  std::atomic<std::size_t> made = 0;
  preprocess::in_order<std::size_t>(
      1000, 2, 3,
      [&](std::size_t i) {
        ++made;
        return i;
      },
      [&](std::size_t i, std::size_t) { BOOST_REQUIRE_LE(made.load(), i + 2 * (3 + 2 + 1)); });
}

BOOST_AUTO_TEST_CASE(who_takes_can_end_it) {
  std::atomic<std::size_t> made = 0;
  const auto make = [&](std::size_t i) {
    ++made;
    return i;
  };
  BOOST_CHECK_THROW(preprocess::in_order<std::size_t>(
                        100000, 10, 4, make, [](std::size_t, std::size_t) { throw Interrupted(); }),
                    Interrupted);
  BOOST_CHECK_LE(made.load(), 10u * 6);
}

BOOST_AUTO_TEST_SUITE_END()
