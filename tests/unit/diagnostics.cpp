#include "pipeline/diagnostics.hpp"

#include <boost/test/unit_test.hpp>

namespace cifarpipe {

BOOST_AUTO_TEST_SUITE(diagnostics)

BOOST_AUTO_TEST_CASE(a_line_with_a_caret) {
  Diagnostics d;
  d.add_source("a.toml", "x = 1\nepocs = 20\n");
  d.error({"a.toml", 2, 1}, "unknown parameter 'epocs'", 5);
  BOOST_TEST(d.render() ==
             "a.toml:2:1: error: unknown parameter 'epocs'\n    2 | epocs = 20\n      | ^~~~~\n");
}

BOOST_AUTO_TEST_CASE(sorted_by_place_and_equal_ones_once) {
  Diagnostics d;
  d.add_source("top.toml", "1\n2\n");
  d.add_source("base.toml", "1\n");
  d.error({"base.toml", 1, 1}, "fourth");
  d.warning({"top.toml", 2, 1}, "third");
  d.error({"top.toml", 1, 9}, "second");
  d.error({"top.toml", 1, 1}, "first");
  d.error({"top.toml", 1, 1}, "first");
  d.error({}, "nowhere");
  std::string text = d.render();
  std::size_t at = 0;
  for (const char* word : {"first", "second", "warning: third", "fourth", "nowhere"}) {
    const std::size_t next = text.find(word);
    BOOST_TEST(next != std::string::npos, word);
    BOOST_TEST(next >= at, word);
    at = next;
  }
  BOOST_TEST(text.find("first") == text.rfind("first"));
}

BOOST_AUTO_TEST_CASE(the_exit_code_tells_the_file_from_the_machine) {
  Diagnostics d;
  BOOST_TEST(d.exit_code() == 0);
  d.warning({}, "w");
  BOOST_TEST(!d.has_errors());
  BOOST_TEST(d.exit_code() == 0);
  d.environment_error({}, "plugin");
  BOOST_TEST(d.exit_code() == 3);
  d.error({}, "file");
  BOOST_TEST(d.exit_code() == 2);
}

BOOST_AUTO_TEST_CASE(nothing_in_a_file_reaches_the_terminal_as_a_command) {
  Diagnostics d;
  d.add_source("a", "\x1b[31m\x07\xff\xe2\x80\xae\xc2\x9b x");
  d.error({"a", 1, 9}, "bad \x1b[2J \xff name");
  for (const char c : d.render()) {
    BOOST_TEST((c == '\n' || (c >= 0x20 && c != 0x7f)), static_cast<int>(c));
  }
}

BOOST_AUTO_TEST_CASE(carets_stand_below_wide_characters) {
  Diagnostics d;
  d.add_source("a", "\t画像 = é");
  d.error({"a", 1, 7}, "m", 1);
  BOOST_TEST(d.render() == "a:1:7: error: m\n    1 |  画像 = é\n      |         ^\n");
}

BOOST_AUTO_TEST_CASE(places_outside_of_the_text_do_no_harm) {
  Diagnostics d;
  d.add_source("a", "short\n" + std::string(500, 'x'));
  for (const int line : {0, 1, 2, 3, 99}) {
    for (const int column : {0, 1, 6, 7, 250, 500, 501, 9999}) {
      d.error({"a", line, column}, "m", 1000);
      d.error({"b", line, column}, "m");
    }
  }
  BOOST_TEST(!d.render().empty());
  BOOST_TEST(!d.render(true).empty());
}

BOOST_AUTO_TEST_CASE(nearest_finds_typos_and_only_those) {
  const std::vector<std::string> words = {"epochs",     "lr",       "optimizer",
                                          "batch_size", "momentum", "warmup_epochs"};
  BOOST_TEST(nearest("epocs", words) == "epochs");
  BOOST_TEST(nearest("eopchs", words) == "epochs");
  BOOST_TEST(nearest("Epochs", words) == "epochs");
  BOOST_TEST(nearest("rl", words) == "lr");
  BOOST_TEST(nearest("lrr", words) == "lr");
  BOOST_TEST(nearest("batch-size", words) == "batch_size");
  BOOST_TEST(nearest("optim", words) == "optimizer");
  BOOST_TEST(nearest("colour", words) == "");
  BOOST_TEST(nearest("xy", words) == "");
  BOOST_TEST(nearest("", words) == "");
  BOOST_TEST(nearest("rnu", {"run", "runs"}) == "run");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace cifarpipe
