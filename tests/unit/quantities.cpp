#include "tracking/quantities.hpp"

#include <boost/test/unit_test.hpp>

namespace cifarpipe {
namespace {

BOOST_AUTO_TEST_SUITE(quantities)

BOOST_AUTO_TEST_CASE(durations) {
  BOOST_TEST(duration_text(-5) == "0 ms");  // A clock was set back.
  BOOST_TEST(duration_text(485) == "485 ms");
  BOOST_TEST(duration_text(9'449) == "9.4 s");
  BOOST_TEST(duration_text(565'582) == "9 min 25 s");
  BOOST_TEST(duration_text(2 * 3'600'000 + 300'000) == "2 h 05 min");
}

BOOST_AUTO_TEST_CASE(amounts) {
  BOOST_TEST(bytes_text(0) == "0 B");
  BOOST_TEST(bytes_text(812'345) == "812 kB");
  BOOST_TEST(bytes_text(949'698'560) == "950 MB");
  BOOST_TEST(bytes_text(1'250'000'000) == "1.25 GB");
}

BOOST_AUTO_TEST_CASE(moments) {
  BOOST_TEST(time_text(0) == "1970-01-01 00:00:00 UTC");
}

BOOST_AUTO_TEST_CASE(one_of_something_has_no_s) {
  BOOST_TEST(counted(0, "run") == "0 runs");
  BOOST_TEST(counted(1, "run") == "1 run");
  BOOST_TEST(counted(2, "run") == "2 runs");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
