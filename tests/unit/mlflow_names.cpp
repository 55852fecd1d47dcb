// Numbers in comments are the points of docs/conformance.md.
#include <boost/test/unit_test.hpp>

#include "tracking/mlflow/names.hpp"
#include "tracking/mlflow/text.hpp"

namespace cifarpipe {
namespace {

using mlflow::Fit;
using mlflow::KeyNames;
using mlflow::Pairs;

std::string repeated(const std::string& text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

BOOST_AUTO_TEST_SUITE(mlflow_names)

BOOST_AUTO_TEST_CASE(keys) {  // 29
  const std::pair<const char*, const char*> kKeys[] = {
      {"train/loss", "train/loss"},
      {"a_b-c.d e:f/1", "a_b-c.d e:f/1"},
      {"größe/日本", "größe/日本"},
      {"lr#1", "lr_1"},
      {"a//b", "a/b"},
      {"/a", "a"},
      {"a/", "a"},
      {"a/./b", "a/b"},
      {"../a", "__/a"},
      {"a/../b", "a/__/b"},
      {"..", "__"},
      {"...", "..."},
      {"a@b(c)[d],e=f%g+h\\i", "a_b_c__d__e_f_g_h_i"},
      {"tab\tline\n", "tab_line_"},
      {"😀", "_"},
      {"\xff\xfe", "__"},
      {"", "_"},
      {"/", "_"},
  };
  for (const auto& key : kKeys) {
    BOOST_TEST(mlflow::fitted_key(key.first) == key.second);
    BOOST_TEST(mlflow::fitted_key(key.second) == key.second);  // What fits stays.
  }
  BOOST_TEST(mlflow::fitted_key("a:b", false) == "a_b");
}

BOOST_AUTO_TEST_CASE(lengths_of_keys) {  // 28
  const std::string fits = repeated("ö", 250);
  BOOST_TEST(mlflow::fitted_key(fits) == fits);
  BOOST_TEST(mlflow::fitted_key(fits + "x") == fits);
  BOOST_TEST(mlflow::fitted_key(repeated("a", 249) + "/b") == repeated("a", 249));
}

BOOST_AUTO_TEST_CASE(two_keys_never_become_one) {
  KeyNames names;
  BOOST_TEST(names.name("lr#1") == "lr_1");
  const std::string second = names.name("lr@1");
  BOOST_TEST(second.size() == 11u);
  BOOST_TEST(second.substr(0, 5) == "lr_1-");
  const std::string real = names.name("lr_1");  // Fits, but came too late.
  BOOST_TEST(real.substr(0, 5) == "lr_1-");
  BOOST_TEST(real != second);
  BOOST_TEST(names.name("lr#1") == "lr_1");
  BOOST_TEST(names.name("lr@1") == second);
  // What is known to fit from the beginning keeps its name.
  KeyNames again(true, {"lr#1", "lr_1"});
  BOOST_TEST(again.name("lr#1").substr(0, 5) == "lr_1-");
  BOOST_TEST(again.name("lr_1") == "lr_1");
  // Even one that looks as if it had a hash.
  KeyNames sly(true, {second, "lr_1"});
  BOOST_TEST(sly.name("lr@1") != second);
  BOOST_TEST(sly.name("lr@1").substr(0, 11) == second);
}

BOOST_AUTO_TEST_CASE(long_keys_that_begin_alike) {
  KeyNames names;
  const std::string start = repeated("é", 260);
  const std::string a = names.name(start + "a");
  const std::string b = names.name(start + "b");
  BOOST_TEST(a != b);
  BOOST_TEST(mlflow::code_points(a) == 250u);
  BOOST_TEST(mlflow::code_points(b) == 250u);
  BOOST_TEST(mlflow::fitted_key(b) == b);
}

BOOST_AUTO_TEST_CASE(values) {  // 28, 30
  mlflow::Server server;
  const std::string fits = repeated("😀", 6000);
  Fit fit = mlflow::fit_params({{"a", fits}, {"b", fits + "x"}, {"c", ""}, {"d#", "0.1"}}, server);
  BOOST_REQUIRE(fit.pairs.size() == 4u);
  BOOST_TEST(fit.pairs[0].second == fits);
  BOOST_TEST(mlflow::code_points(fit.pairs[1].second) == 6000u);
  BOOST_TEST(fit.pairs[1].second.substr(fit.pairs[1].second.size() - 3) == "…");
  BOOST_TEST(fit.pairs[2].second == "");
  BOOST_TEST(fit.pairs[3].first == "d_");
  BOOST_REQUIRE(fit.cut.size() == 1u);
  BOOST_TEST(fit.cut[0].key == "b");
  BOOST_TEST(fit.cut[0].full == fits + "x");
  BOOST_REQUIRE(fit.renamed.size() == 1u);
  BOOST_TEST(fit.renamed[0].second == "d_");

  for (const std::size_t limit : {5000u, 8000u}) {
    server.tag_length = limit;
    fit = mlflow::fit_tags({{"t", repeated("ü", limit)}, {"u", repeated("ü", limit + 1)}}, server);
    BOOST_TEST(mlflow::code_points(fit.pairs[0].second) == limit);
    BOOST_TEST(mlflow::code_points(fit.pairs[1].second) == limit);
    BOOST_TEST(fit.cut.size() == 1u);
  }
  const Pairs note = {{"note", repeated("n", 20000)}};
  server.version = "3.17.2";
  BOOST_TEST(mlflow::fit_experiment_tags(note, server).cut.empty());
  server.version = "3.11.2";
  BOOST_TEST(mlflow::code_points(mlflow::fit_experiment_tags(note, server).pairs[0].second) ==
             5000u);
}

BOOST_AUTO_TEST_CASE(the_last_of_equal_keys_counts) {
  const mlflow::Server server;
  const Fit fit = mlflow::fit_tags({{"a", std::string(9000, 'x')}, {"b", "2"}, {"a", "3"}}, server);
  BOOST_TEST((fit.pairs == Pairs{{"a", "3"}, {"b", "2"}}));
  BOOST_TEST(fit.cut.empty());
}

BOOST_AUTO_TEST_CASE(values_that_are_no_text) {
  const mlflow::Server server;
  const Fit fit =
      mlflow::fit_params({{"a", std::string("x\0y", 3)}, {"b", "\xc3(\xed\xa0\x80"}}, server);
  BOOST_TEST(fit.pairs[0].second == "x\xef\xbf\xbdy");
  BOOST_TEST(mlflow::valid_utf8(fit.pairs[1].second) == fit.pairs[1].second);
}

BOOST_AUTO_TEST_CASE(artifact_paths) {  // 39
  for (const char* path :
       {"a", "a b/größe+1~2.png", "100%.txt", "50%zz", "a/b/c.json", "..a", "a%4"}) {
    BOOST_TEST(mlflow::artifact_path_problem(path) == "", path);
  }
  for (const char* path : {"", "/a", "a/", "a#b", "a\\b", "..", "a/../b", "./a", "a//b",
                           "pct%41.txt", "a\nb", "\xff"}) {
    BOOST_TEST(mlflow::artifact_path_problem(path) != "", path);
  }
  BOOST_TEST(mlflow::artifact_url_path("a b/ä+%~.png") == "a%20b/%C3%A4%2B%25~.png");
  BOOST_TEST(mlflow::percent_decoded("a%20b/%C3%A4%2B%25~%zz%4") == "a b/ä+%~%zz%4");
}

BOOST_AUTO_TEST_CASE(models) {  // 49, 56
  BOOST_TEST(mlflow::fitted_model_name("res/net:1.0%\"'") == "res-net-1-0---");
  BOOST_TEST(mlflow::fitted_model_name("größe e 1") == "größe e 1");
  BOOST_TEST(mlflow::fitted_model_name("") == "model");
  BOOST_TEST(mlflow::fitted_registered_name("a/b:c.d") == "a-b-c.d");
}

BOOST_AUTO_TEST_CASE(versions) {
  BOOST_TEST(mlflow::version_at_least("3.17.2", 3, 17));
  BOOST_TEST(mlflow::version_at_least("3.17.2", 3, 17, 2));
  BOOST_TEST(!mlflow::version_at_least("3.17.2", 3, 17, 3));
  BOOST_TEST(mlflow::version_at_least("3.11.2.dev0", 3, 11, 2));
  BOOST_TEST(mlflow::version_at_least("3.9.0rc1", 3, 9));
  BOOST_TEST(!mlflow::version_at_least("2.22.1", 3, 0));
  BOOST_TEST(mlflow::version_at_least("4", 3, 99));
  BOOST_TEST(!mlflow::version_at_least("", 0, 0));
  BOOST_TEST(!mlflow::version_at_least("new", 0, 0));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
