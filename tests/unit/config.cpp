#include "pipeline/config.hpp"

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>

#include "tests/unit/fake_catalog.hpp"
#include <unistd.h>

using namespace cifarpipe;

BOOST_AUTO_TEST_SUITE(config)
BOOST_AUTO_TEST_CASE(smoke) {
  auto cat = test::FakeCatalog::standard();
  char name[] = "/tmp/cfgXXXXXX";
  std::filesystem::path d = mkdtemp(name);
  std::ofstream(d / "a.toml") << R"([pipeline]
name = "x"
[stages.download]
uses = "download"
[stages.data]
uses = "preprocess"
[stages.train]
uses = "train"
[stages.test]
uses = "evaluate"
[matrix]
train.lr = [3e-3, 1e-3]
train.optimizer = ["adam", "sgd"]
[[matrix.exclude]]
train.lr = 3e-3
train.optimizer = "sgd"
)";
  Diagnostics diag;
  auto c = load_configuration((d / "a.toml").string(), {}, cat, diag);
  BOOST_TEST_MESSAGE(diag.render());
  BOOST_REQUIRE(c);
  BOOST_TEST(c->cells.size() == 3u);
  BOOST_TEST(c->cells[0].name == "train.lr=0.003,train.optimizer=adam");
  BOOST_TEST_MESSAGE(resolved_toml(*c, c->cells[0]));
}
BOOST_AUTO_TEST_SUITE_END()
