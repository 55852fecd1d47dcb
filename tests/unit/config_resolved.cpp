// The resolved file of a configuration, and what must stay out of it.
#include <cstdlib>
#include <random>

#include "tests/unit/config_fixture.hpp"

namespace cifarpipe {
namespace {

using namespace test;

// Everything but the places.
void check_same(const Cell& a, const Cell& b) {
  BOOST_TEST(a.seed == b.seed);
  BOOST_TEST(a.repeat == b.repeat);
  BOOST_TEST(a.threads == b.threads);
  BOOST_REQUIRE(a.stages.size() == b.stages.size());
  for (std::size_t i = 0; i < a.stages.size(); ++i) {
    const StageInstance &x = a.stages[i], &y = b.stages[i];
    BOOST_TEST(x.name == y.name);
    BOOST_CHECK(x.type == y.type);
    BOOST_TEST(x.experiment == y.experiment);
    BOOST_REQUIRE(x.params.size() == y.params.size());
    for (std::size_t k = 0; k < x.params.size(); ++k) {
      BOOST_TEST(x.params[k].first == y.params[k].first);
      BOOST_TEST((x.params[k].second == y.params[k].second),
                 x.params[k].first << ": " << to_text(x.params[k].second) << " and "
                                   << to_text(y.params[k].second));
    }
    BOOST_REQUIRE(x.inputs.size() == y.inputs.size());
    for (std::size_t k = 0; k < x.inputs.size(); ++k) {
      BOOST_TEST(x.inputs[k].first == y.inputs[k].first);
      BOOST_TEST(x.inputs[k].second.run == y.inputs[k].second.run);
      BOOST_TEST(x.inputs[k].second.stage == y.inputs[k].second.stage);
      BOOST_TEST(x.inputs[k].second.port == y.inputs[k].second.port);
    }
  }
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(config_resolved, Loader)

BOOST_AUTO_TEST_CASE(the_resolved_file_gives_the_same_cell) {
  const std::string nasty =
      R"("quote \" slash \\ tab \t line \n bell \u0007 del \u007f ü 画像 \U0001F600 #")";
  const Configuration c = good(R"([pipeline]
name = "Größe / \"a\" 画像"
description = )" + nasty + R"(
seed = 9223372036854775807
repeat = 3
threads = 5
[stages.download]
uses = "download"
[stages.download.params]
source = "synthetic"
token = "hunter2!"
[stages.data]
uses = "preprocess"
[stages.data.params]
val_fraction = 0.1
mean = [0.1, 1e-300, 1, 5e-324, 0.30000000000000004, -0.0]
sizes = [1, -9223372036854775808, 9223372036854775807]
flags = [true, false]
classes = [)" + nasty + R"(, "", "a,b"]
extra = ["x", "/y"]
groups = { )" + nasty + R"( = ["a"], z = [], "1" = ["", "é"] }
list = "data.csv"
[stages.train]
uses = "train"
[stages.train.params]
lr = 100
[stages.fine]
uses = "train"
experiment = "Other"
inputs.init = "train.model"
inputs.dataset = "run:latest/data.dataset"
[cache]
code = "revision"
numerics = "loose"
salt = )" + nasty + R"(
[plugins]
paths = ["mine"]
[tracking.mlflow]
uri = "http://127.0.0.1:5000"
[matrix]
train.warmup = [1, 2]
pipeline.seed = [4, 5]
)");
  BOOST_REQUIRE(c.cells.size() == 4u);
  for (const Cell& cell : c.cells) {
    Loader again;
    const std::string resolved = resolved_toml(c, cell);
    BOOST_TEST(resolved.find("hunter2") == std::string::npos);
    const Configuration d = again.good(resolved, {"download.token=hunter2!"});
    BOOST_REQUIRE(d.cells.size() == 1u);
    // Types belong to a catalog; compare within one.
    Diagnostics unheard;
    const auto e = load_configuration(again.write("r.toml", resolved),
                                      {{"download.token=hunter2!", 1}}, catalog, unheard);
    BOOST_REQUIRE(e);
    check_same(cell, e->cells[0]);
    BOOST_TEST(e->name == c.name);
    BOOST_TEST(e->description == c.description);
    BOOST_TEST(e->salt == c.salt);
    BOOST_CHECK(e->code == c.code);
    BOOST_CHECK(e->numerics == c.numerics);
    BOOST_CHECK(e->plugin_paths == c.plugin_paths);
    BOOST_TEST(e->mlflow_uri == c.mlflow_uri);
    BOOST_TEST(resolved_toml(*e, e->cells[0]) == resolved);
  }
  BOOST_TEST(std::signbit(param<std::vector<double>>(c.cells[0], "data", "mean")[5]));
}

BOOST_AUTO_TEST_CASE(random_doubles_survive_the_resolved_file) {
  std::mt19937_64 random(1);
  std::string list;
  std::vector<double> expected;
  for (int i = 0; i < 2000; ++i) {
    const double v =
        std::ldexp(static_cast<double>(random() >> 11), -53 - static_cast<int>(random() % 900));
    expected.push_back(v);
    list += (i > 0 ? ", " : "") + number_text(v);
  }
  const Configuration c = good(kChain + "[stages.data.params]\nmean = [" + list + "]\n");
  const Configuration d = good(resolved_toml(c, c.cells[0]));
  BOOST_CHECK(param<std::vector<double>>(d.cells[0], "data", "mean") == expected);
}

BOOST_AUTO_TEST_CASE(secrets_come_from_the_environment_and_stay_out_of_texts) {
  setenv("CIFARPIPE_TEST_TOKEN", "from-the-environment", 1);
  const Configuration c =
      good(kChain + "[stages.download.params]\ntoken = { env = \"CIFARPIPE_TEST_TOKEN\" }\n");
  BOOST_TEST(param<std::string>(c.cells[0], "download", "token") == "from-the-environment");
  BOOST_TEST(resolved_toml(c, c.cells[0]).find("from-the-environment") == std::string::npos);
  for (const OriginLine& line : origins(c, c.cells[0])) {
    BOOST_TEST(to_text(line.value).find("from-the-environment") == std::string::npos);
  }
  const Configuration d =
      good(kChain + "[stages.download.params]\ntoken = \"in-the-file\"\n# in-the-file\n");
  BOOST_TEST(param<std::string>(d.cells[0], "download", "token") == "in-the-file");
  BOOST_TEST(d.source_text.find("in-the-file") == std::string::npos);
  BOOST_TEST(d.source_text.size() == kChain.size() + 61);
  for (const std::string written : {"\"ab\\\"c\"", "'''\nab\ncd'''\n", "123", "'ab'"}) {
    text(kChain + "[stages.download.params]\ntoken = " + written + "\nsha = 1\n");
    text(kChain + "[stages.download.params]\ntoken = " + written + " # x\n");
    const std::string said = diagnostics.render();
    const Configuration e = text(kChain).value();
    BOOST_TEST(said.find("ab") == std::string::npos);
    BOOST_TEST(said.find("123") == std::string::npos);
  }
  text(kChain, {"download.token=on-the-line", "train.lr=-1", "download.sha=on-the-line"});
  BOOST_TEST(diagnostics.render().find("on-the-line") == std::string::npos);
  unsetenv("CIFARPIPE_TEST_TOKEN");
}

BOOST_AUTO_TEST_CASE(the_password_of_a_tracking_server_is_left_out) {
  const Configuration c =
      good(kChain + "[tracking.mlflow]\nuri = \"https://me:pa55@host.org:1/x@y\"\n");
  BOOST_TEST(c.mlflow_uri == "https://host.org:1/x@y");
  BOOST_TEST(c.source_text.find("pa55") == std::string::npos);
  BOOST_TEST(diagnostics.render().find("pa55") == std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace cifarpipe
