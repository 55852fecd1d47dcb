#include "pipeline/key.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "fake_types.hpp"

using namespace cifarpipe;
using cifarpipe::test::FakeTypes;

namespace {

struct Fixture {
  FakeTypes types;
  Cell cell = types.cell();
  KeyParts parts(std::size_t stage) {
    KeyParts p;
    p.instance = &cell.stages[stage];
    p.numerics = {"cpu", "bf16", 2};
    p.seed = 7;
    return p;
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(key, Fixture)

BOOST_AUTO_TEST_CASE(the_document_is_canonical_and_complete) {
  BOOST_TEST(key_document(parts(2), {{"data", "d1"}}) ==
             R"({"code":"build-train","format":1,"inputs":{"data":"d1"},"libtorch":"2.13.0",)"
             R"("numerics":{"device":"cpu","precision":"bf16","threads":2},)"
             R"("params":{"epochs":2,"lr":0.001},"seed":7,"stage":"train"})");
}

BOOST_AUTO_TEST_CASE(what_has_no_effect_is_not_in_it) {
  const std::string before = key_document(parts(2), {});
  test::set(cell.stages[2], "log_every", std::int64_t{1});
  BOOST_TEST(key_document(parts(2), {}) == before);
}

BOOST_AUTO_TEST_CASE(a_wish_counts_as_what_it_became) {
  test::set(cell.stages[2], "precision", std::string("bf16"));
  const std::string said = key_document(parts(2), {});
  test::set(cell.stages[2], "precision", std::string("auto"));
  BOOST_TEST(key_document(parts(2), {}) == said);
  KeyParts other = parts(2);
  other.numerics.precision = "fp32";
  BOOST_TEST(key_document(other, {}) != said);
}

BOOST_AUTO_TEST_CASE(only_declared_numerics_count) {
  const std::string before = key_document(parts(1), {});
  KeyParts other = parts(1);
  other.numerics.threads = 64;
  BOOST_TEST(key_document(other, {}) == before);
}

BOOST_AUTO_TEST_CASE(loose_numerics_are_left_out) {
  KeyParts a = parts(2);
  KeyParts b = parts(2);
  a.numerics_keying = b.numerics_keying = NumericsKeying::loose;
  b.numerics.threads = 64;
  BOOST_TEST(key_document(a, {}) == key_document(b, {}));
}

BOOST_AUTO_TEST_CASE(a_secret_counts_by_its_digest_and_is_not_shown) {
  test::set(cell.stages[0], "path", std::string("http://h/?token=one"));
  KeyParts covered = parts(0);
  covered.covered["path"] = "http://h/?token=***";
  const std::string one = key_document(covered, {});
  BOOST_TEST(one.find("token=***") != std::string::npos, one);
  BOOST_TEST(one.find("token=one") == std::string::npos, one);
  test::set(cell.stages[0], "path", std::string("http://h/?token=two"));
  const std::string two = key_document(covered, {});
  BOOST_TEST(one != two);  // Another value is another result.
  BOOST_TEST(explain_change(one, two, "download") ==
                 std::vector<std::string>{"path changed in what is not shown"},
             boost::test_tools::per_element());
  covered.covered["path"] = "http://other/?token=***";
  BOOST_TEST(explain_change(one, key_document(covered, {}), "download").front() ==
             R"(path "http://h/?token=***" → "http://other/?token=***")");
}

BOOST_AUTO_TEST_CASE(a_path_counts_by_its_content) {
  test::set(cell.stages[0], "path", std::string("/a"));
  KeyParts a = parts(0);
  a.path_digests["path"] = "abc";
  test::set(cell.stages[0], "path", std::string("/a"));
  const std::string first = key_document(a, {});
  test::set(cell.stages[0], "path", std::string("/moved/elsewhere"));
  BOOST_TEST(key_document(a, {}) == first);
  a.path_digests["path"] = "abd";
  BOOST_TEST(key_document(a, {}) != first);
}

BOOST_AUTO_TEST_CASE(a_seed_belongs_to_the_instance_and_the_repeat) {
  BOOST_TEST(stage_seed(42, "train", 0) == stage_seed(42, "train", 0));
  BOOST_TEST(stage_seed(42, "train", 0) != stage_seed(42, "train", 1));
  BOOST_TEST(stage_seed(42, "train", 0) != stage_seed(42, "data", 0));
  BOOST_TEST(stage_seed(42, "train", 0) != stage_seed(43, "train", 0));
  // Pinned: a seed that moved would move every result in every store.
  BOOST_TEST(stage_seed(42, "train", 0) == 3600649201152327206u);
}

BOOST_AUTO_TEST_CASE(changes_are_explained) {
  const std::string before = key_document(parts(2), {{"data", "d1"}});
  test::set(cell.stages[2], "lr", 3e-3);
  KeyParts after = parts(2);
  after.seed = 8;
  after.numerics.threads = 4;
  const auto changes = explain_change(before, key_document(after, {{"data", "d2"}}), "train");
  const std::vector<std::string> expected = {"lr 0.001 → 0.003", "seed 7 → 8",
                                             "input 'data' changed", "threads 2 → 4"};
  BOOST_TEST(changes == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_rebuilt_plugin_is_told_and_recognised) {
  const std::string before = key_document(parts(2), {});
  types.type("train").build_id = "another";
  const std::string after = key_document(parts(2), {});
  const auto changes = explain_change(before, after, "fit");
  const std::vector<std::string> expected = {"fit was rebuilt"};
  BOOST_TEST(changes == expected, boost::test_tools::per_element());
  BOOST_TEST(differ_only_in_code(before, after));
  test::set(cell.stages[2], "lr", 1.0);
  BOOST_TEST(!differ_only_in_code(before, key_document(parts(2), {})));
}

BOOST_AUTO_TEST_SUITE_END()
