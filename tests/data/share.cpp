// Properties of the stratified choice, over many sizes, fractions and seeds.
#include "stages/preprocess/share.hpp"

#include <cmath>

#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::preprocess;
using namespace cifarpipe::test;

namespace {

std::vector<std::string> names(std::size_t classes) {
  std::vector<std::string> names;
  for (std::size_t c = 0; c < classes; ++c) names.push_back("class " + std::to_string(c));
  return names;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(share)

BOOST_AUTO_TEST_CASE(shares_are_right) {
  for (const std::size_t size : {40u, 101u, 1000u, 5003u}) {
    for (const double fraction : {0.0, 0.1, 0.25, 1.0 / 3, 0.5, 0.77}) {
      for (const std::size_t classes : {1u, 3u, 10u}) {
        std::vector<std::int32_t> labels;
        std::vector<double> count(classes);
        for (std::size_t i = 0; i < size; ++i) {  // Classes of unequal size.
          labels.push_back(static_cast<std::int32_t>(i * i % 7 % classes));
          ++count[labels.back()];
        }
        const std::vector<bool> chosen = choose_share(labels, names(classes), fraction, 9);
        BOOST_REQUIRE_EQUAL(chosen.size(), size);
        std::vector<double> taken(classes);
        double all = 0;
        for (std::size_t i = 0; i < size; ++i) {
          if (!chosen[i]) continue;
          ++taken[labels[i]];
          ++all;
        }
        BOOST_CHECK_EQUAL(all, std::llround(static_cast<double>(size) * fraction));
        for (std::size_t c = 0; c < taken.size(); ++c) {
          BOOST_CHECK_LT(std::abs(taken[c] - count[c] * fraction), 1.0);
        }
      }
    }
  }
}

BOOST_AUTO_TEST_CASE(the_seed_chooses) {
  std::vector<std::int32_t> labels(20000);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<std::int32_t>(i % 10);
  const auto first = choose_share(labels, names(10), 0.1, 1);
  BOOST_CHECK(first == choose_share(labels, names(10), 0.1, 1));
  const auto second = choose_share(labels, names(10), 0.1, 2);
  int both = 0;
  int early = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (first[i] && second[i]) ++both;
    if (first[i] && i < 10000) ++early;
  }
  BOOST_CHECK_SMALL(both - 200.0, 60.0);     // Independent: a tenth of a tenth.
  BOOST_CHECK_SMALL(early - 1000.0, 120.0);  // From everywhere, not from one end.
}

BOOST_AUTO_TEST_CASE(a_class_is_never_used_up) {
  const std::vector<std::int32_t> labels = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  BOOST_CHECK_EQUAL(
      message_of([&] {
        choose_share(labels, {"cat", "dog"}, 0.9, 1);
      }),
      "validation = 0.9 takes the only image of class 'dog', and none is left to train "
      "on: lower validation, or add images of that class");
  const std::vector<std::int32_t> more = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1};
  check_contains(message_of([&] {
                   choose_share(more, {"cat", "dog"}, 0.9, 1, "test");
                 }),
                 "test = 0.9 takes all 3 images of class 'dog', and none is left to train on");
}

BOOST_AUTO_TEST_SUITE_END()
