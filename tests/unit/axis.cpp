#include "tracking/axis.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

namespace cifarpipe {
namespace {

std::string ticks(double low, double high, const AxisOptions& options = {.rounded = true}) {
  std::string out;
  for (const Tick& tick : make_axis(low, high, options).ticks) {
    out += (out.empty() ? "" : " ") + tick.text;
  }
  return out;
}

constexpr AxisOptions kLog{.log = true, .rounded = true};

BOOST_AUTO_TEST_SUITE(axis)

BOOST_AUTO_TEST_CASE(ticks_are_round_and_written_alike) {
  BOOST_TEST(ticks(0.12, 2.31) == "0 0.5 1.0 1.5 2.0 2.5");
  BOOST_TEST(ticks(0.801, 0.8153) == "0.800 0.805 0.810 0.815 0.820");
  BOOST_TEST(ticks(-3, 3) == "-4 -2 0 2 4");
  BOOST_TEST(ticks(0, 50'000) == "0 10k 20k 30k 40k 50k");
  BOOST_TEST(ticks(0, 2.5e6) == "0 0.5M 1.0M 1.5M 2.0M 2.5M");
  BOOST_TEST(ticks(1e-5, 5e-5) == "1e-05 2e-05 3e-05 4e-05 5e-05");
  BOOST_TEST(ticks(0, 4e20) == "0 1e+20 2e+20 3e+20 4e+20");
  BOOST_TEST(ticks(1, 20, {}) == "5 10 15 20");
  BOOST_TEST(ticks(3.1, 3.9, {.most_ticks = 2}) == "3.2 3.4 3.6 3.8");
}

BOOST_AUTO_TEST_CASE(ticks_lie_inside) {
  for (const auto& [low, high] : std::vector<std::pair<double, double>>{
           {0, 1}, {0.3, 0.31}, {-5, 17}, {1e-9, 3e-9}, {0, 123456}, {-1e5, 1e5}, {2, 2}}) {
    const Axis axis = make_axis(low, high, {});
    BOOST_TEST_CONTEXT(low << " to " << high) {
      BOOST_TEST(axis.low < axis.high);
      BOOST_TEST(axis.ticks.size() >= 2u);
      BOOST_TEST(axis.ticks.size() <= 7u);
      for (const Tick& tick : axis.ticks) {
        BOOST_TEST(axis.place(tick.at) >= -1e-9);
        BOOST_TEST(axis.place(tick.at) <= 1 + 1e-9);
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(fractions_as_percentages) {
  BOOST_TEST(ticks(0, 0.9, {.percent = true}) == "0 % 20 % 40 % 60 % 80 %");
  BOOST_TEST(ticks(0.985, 0.998, {.percent = true}) == "98.5 % 99.0 % 99.5 %");
  BOOST_TEST(ticks(0.02, 1, {.log = true, .percent = true}) == "2 % 5 % 10 % 20 % 50 % 100 %");
}

BOOST_AUTO_TEST_CASE(whole_numbers_have_no_halves) {
  BOOST_TEST(ticks(1, 3, {.whole = true}) == "1 2 3");
  BOOST_TEST(ticks(1, 1, {.whole = true}) == "0 1 2");
  BOOST_TEST(ticks(1, 20, {.whole = true}) == "5 10 15 20");
}

BOOST_AUTO_TEST_CASE(one_value_and_the_greatest_ones_have_an_axis) {
  BOOST_TEST(ticks(0.5, 0.5) == "0.45 0.50 0.55");
  BOOST_TEST(ticks(0, 0) == "-1.0 -0.5 0 0.5 1.0");
  BOOST_TEST(!ticks(1, 1 + 1e-15).empty());
  const double greatest = std::numeric_limits<double>::max();
  const double least = std::numeric_limits<double>::denorm_min();
  make_axis(-greatest, greatest, {.rounded = true});  // Comes to an end.
  make_axis(0, least, {.rounded = true});
  make_axis(least, greatest, kLog);
}

BOOST_AUTO_TEST_CASE(logarithms) {
  BOOST_TEST(ticks(0.013, 2.3, kLog) == "0.01 0.1 1");
  BOOST_TEST(ticks(0.21, 0.9, kLog) == "0.2 0.5 1");
  BOOST_TEST(ticks(1e-9, 1e3, kLog).starts_with("1e-09 "));
  BOOST_TEST(ticks(3, 3, kLog) == "1 2 5 10");
  BOOST_TEST(ticks(0.9, 90, {.log = true, .most_ticks = 9}) == "1 2 5 10 20 50");
  BOOST_TEST(make_axis(1e-30, 1e30, {.log = true}).ticks.size() <= 8u);
  const Axis axis = make_axis(0.01, 100, kLog);
  BOOST_TEST(std::abs(axis.place(1) - 0.5) < 1e-12);
  BOOST_TEST(std::isnan(axis.place(0)));
  BOOST_TEST(std::isnan(axis.place(-1)));
  BOOST_TEST(std::isnan(axis.place(std::numeric_limits<double>::infinity())));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
