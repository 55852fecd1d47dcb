#include "pipeline/config.hpp"

#include <cstdlib>

#include "tests/unit/config_fixture.hpp"

namespace cifarpipe {

using namespace test;

BOOST_FIXTURE_TEST_SUITE(config, Loader)

BOOST_AUTO_TEST_CASE(defaults_fill_what_the_file_leaves_open) {
  const Configuration c = good(kChain);
  BOOST_TEST(c.name == "pipeline");
  BOOST_TEST(!c.has_matrix);
  BOOST_REQUIRE(c.cells.size() == 1u);
  BOOST_TEST(c.cells[0].name == "");
  BOOST_TEST(c.cells[0].stages.size() == 4u);
  BOOST_TEST(param<double>(c.cells[0], "train", "lr") == 1e-3);
  BOOST_TEST(c.cells[0].stages[2].origins.empty());
  BOOST_TEST(c.source_text == kChain);
}

BOOST_AUTO_TEST_CASE(stages_and_groups_keep_the_order_of_the_file) {
  const Configuration c = good(R"([stages.zebra]
uses = "train"
inputs.dataset = "mole.dataset"
[stages.mole.params]
groups = { wheels = ["car"], animals = ["dog", "cat"], b = [] }
[stages.ant]
uses = "download"
[stages.mole]
uses = "preprocess"
)");
  BOOST_TEST(c.cells[0].stages[0].name == "zebra");
  BOOST_TEST(c.cells[0].stages[1].name == "mole");
  BOOST_TEST(c.cells[0].stages[2].name == "ant");
  const Groups expected = {{"wheels", {"car"}}, {"animals", {"dog", "cat"}}, {"b", {}}};
  BOOST_CHECK(param<Groups>(c.cells[0], "mole", "groups") == expected);
}

BOOST_AUTO_TEST_CASE(inputs_are_wired_where_only_one_stage_fits) {
  const Configuration c = good(kChain);
  const auto& test = c.cells[0].stages[3];
  BOOST_REQUIRE(test.inputs.size() == 2u);
  BOOST_TEST(test.inputs[0].first == "dataset");
  BOOST_TEST(test.inputs[0].second.stage == "data");
  BOOST_TEST(test.inputs[1].second.stage == "train");
  BOOST_TEST(!test.inputs[1].second.place.known());
  // An optional input is never wired by itself, here `init` of train.
  BOOST_TEST(c.cells[0].stages[2].inputs.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_run_may_be_an_input_whatever_its_name) {
  const Configuration c = good(kChain + R"([stages.old]
uses = "evaluate"
inputs.model = "run:sweep/train.lr=0.003,train.optimizer=adam/train.model"
[stages.test.inputs]
model = "train.model"
)");
  const InputSource& source = c.cells[0].stages[4].inputs[1].second;
  BOOST_TEST(source.run == "sweep/train.lr=0.003,train.optimizer=adam");
  BOOST_TEST(source.stage == "train");
  BOOST_TEST(source.port == "model");
}

BOOST_AUTO_TEST_CASE(paths_are_relative_to_the_file_that_wrote_them) {
  write("base/base.toml", kChain + R"([stages.data.params]
list = "near.csv"
extra = ["a", "/b", "../c"]
[stages.download.params]
source = "./synthetic"
)");
  const std::string top = write("top/top.toml", R"(extends = "../base/base.toml"
[stages.test]
uses = "evaluate"
)");
  auto c = file(top, {"download.sha256=x"});
  BOOST_REQUIRE_MESSAGE(c, diagnostics.render());
  BOOST_TEST(param<std::string>(c->cells[0], "data", "list") == (path / "base/near.csv").string());
  const auto extra = param<std::vector<std::string>>(c->cells[0], "data", "extra");
  BOOST_TEST(extra[0] == (path / "base/a").string());
  BOOST_TEST(extra[1] == "/b");
  BOOST_TEST(extra[2] == (path / "c").string());
  // With a point it is a path and no keyword.
  BOOST_TEST(param<std::string>(c->cells[0], "download", "source") ==
             (path / "base/synthetic").string());
  c = file(top, {"data.list=far.csv", "download.source=https://x.org/../a.tgz"});
  BOOST_REQUIRE(c);
  BOOST_TEST(param<std::string>(c->cells[0], "data", "list") ==
             (fs::current_path() / "far.csv").string());
  BOOST_TEST(param<std::string>(c->cells[0], "download", "source") == "https://x.org/../a.tgz");
  c = file(top, {"download.source=synthetic"});
  BOOST_REQUIRE(c);
  BOOST_TEST(param<std::string>(c->cells[0], "download", "source") == "synthetic");
}

BOOST_AUTO_TEST_CASE(two_dots_behind_a_link_go_where_the_link_goes) {
  fs::create_directories(path / "far/deep");
  write("far/data.csv", "");
  fs::create_directory_symlink(path / "far/deep", path / "link");
  const Configuration c = good(kChain + "[stages.data.params]\nlist = \"link/../data.csv\"\n");
  BOOST_TEST(param<std::string>(c.cells[0], "data", "list") == (path / "far/data.csv").string());
}

BOOST_AUTO_TEST_CASE(extends_merges_and_keeps_the_bases_order) {
  write("base.toml", kChain + R"([stages.train.params]
lr = 0.5
epochs = 3
[stages.data.params]
groups = { a = ["x"], b = ["y"] }
[matrix]
train.warmup = [0, 1]
"train.momentum" = [0]
)");
  const Configuration c = good(R"(extends = "base.toml"
[stages.extra]
uses = "evaluate"
[stages.train.params]
lr = 0.25
[stages.data.params]
groups = { c = ["z"] }
[matrix]
train.momentum = [0, 0.5]
train.optimizer = ["sgd"]
)");
  BOOST_TEST(c.cells.size() == 4u);
  BOOST_TEST(c.cells[3].name == "train.warmup=1,train.momentum=0.5,train.optimizer=sgd");
  BOOST_TEST(c.cells[0].stages[0].name == "download");
  BOOST_TEST(c.cells[0].stages[4].name == "extra");
  BOOST_TEST(param<double>(c.cells[0], "train", "lr") == 0.25);
  BOOST_TEST(param<std::int64_t>(c.cells[0], "train", "epochs") == 3);
  // The value of a parameter is replaced as a whole, a table too.
  BOOST_CHECK(param<Groups>(c.cells[0], "data", "groups") == (Groups{{"c", {"z"}}}));
  const auto& origins = c.cells[0].stages[2].origins;
  BOOST_TEST(origins.at("epochs").file == (path / "base.toml").string());
  BOOST_TEST(origins.at("lr").file == (path / "pipeline.toml").string());
  BOOST_TEST(origins.at("lr").line == 5);
}

BOOST_AUTO_TEST_CASE(options_of_the_mirror) {
  const Configuration c = good(kChain + R"(
[tracking.mlflow]
enabled = false
deadline = 2.5
register = "shapes"
alias = "champion"
)",
                               {"tracking.mlflow.uri=http://a:5000", "tracking.mlflow.deadline=7"});
  BOOST_TEST(c.mlflow_uri == "http://a:5000");
  BOOST_TEST(!c.mlflow_enabled);
  BOOST_TEST(c.mlflow_deadline_s == 7);
  BOOST_TEST(c.mlflow_register == "shapes");
  BOOST_TEST(c.mlflow_alias == "champion");
  Loader again;
  const Configuration d = again.good(resolved_toml(c, c.cells[0]));
  BOOST_TEST(!d.mlflow_enabled);
  BOOST_TEST(d.mlflow_deadline_s == 7);
  BOOST_TEST(d.mlflow_alias == "champion");
  // What nobody wrote is left to the environment, also in the resolved file.
  const Configuration none = good(kChain);
  BOOST_TEST(none.mlflow_deadline_s == 10);
  BOOST_TEST(resolved_toml(none, none.cells[0]).find("mlflow") == std::string::npos);
  BOOST_TEST(!text(kChain + "[tracking.mlflow]\nalias = \"champion\"\n"));
  BOOST_TEST(diagnostics.render().find("'alias' is for a registered model: set 'register' too") !=
             std::string::npos);
  Loader wrong;
  BOOST_TEST(!wrong.text(kChain + "[tracking.mlflow]\nregister = \"m\"\nalias = \"v1\"\n"));
  BOOST_TEST(wrong.diagnostics.render().find("'alias' = \"v1\" is one that MLflow keeps") !=
             std::string::npos);
  for (const char* alias : {"champion", "a-b_1", "v1x", "v"}) {
    BOOST_TEST(alias_problem(alias) == "", alias);
  }
  for (const char* alias : {"", "latest", "v1", "V22", "a b", "ä"}) {
    BOOST_TEST(alias_problem(alias) != "", alias);
  }
}

BOOST_AUTO_TEST_CASE(what_may_be_a_password_is_not_quoted) {
  BOOST_TEST(!text(kChain, {"tracking.mlflow.uri=joe:topsecretpw@127.0.0.1:5871"}));
  BOOST_TEST(diagnostics.render().find("not \"***@127.0.0.1:5871\"") != std::string::npos);
  BOOST_TEST(diagnostics.render().find("topsecretpw") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(plugin_paths_are_known_without_a_catalog) {
  write("base/b.toml", "[plugins]\npaths = [\"near\", \"/abs\"]\n");
  const std::string top = write("t.toml", "extends = \"base/b.toml\"\n[pipeline]\nnmae = 3\n");
  const auto found = plugin_paths_of(top);
  BOOST_REQUIRE(found.size() == 2u);
  BOOST_TEST(found[0].string() == (path / "base/near").string());
  BOOST_TEST(found[1].string() == "/abs");
  BOOST_TEST(plugin_paths_of((path / "nothing.toml").string()).empty());
  BOOST_TEST(plugin_paths_of(write("bad.toml", "[[[")).empty());
}

BOOST_AUTO_TEST_CASE(a_text_that_is_set_needs_no_quotes_and_loses_those_it_has) {
  for (const char* set :
       {"train.optimizer=sgd", "train.optimizer=\"sgd\"", "train.optimizer='sgd'"}) {
    const Configuration c = good(kChain, {set});
    BOOST_TEST(param<std::string>(c.cells[0], "train", "optimizer") == "sgd", set);
  }
  // What only begins with a quote, or has two texts in it, is meant as it stands.
  for (const char* text : {"\"a", "\"a\" \"b\"", "'", "\"a\" # \"b\""}) {
    const Configuration c = good(kChain, {std::string("download.sha256=") + text});
    BOOST_TEST(param<std::string>(c.cells[0], "download", "sha256") == text, text);
  }
}

BOOST_AUTO_TEST_CASE(a_set_text_is_no_toml) {
  const Configuration c = good(kChain, {R"(download.sha256="C:\new")"});
  BOOST_TEST(param<std::string>(c.cells[0], "download", "sha256") == R"(C:\new)");
}

BOOST_AUTO_TEST_CASE(origins_tell_file_command_line_matrix_and_default) {
  const Configuration c = good(kChain + R"([stages.train.params]
epochs = 3
[matrix]
train.warmup = [1]
)",
                               {"train.lr=0.5"});
  std::map<std::string, std::string> from;
  for (const OriginLine& line : origins(c, c.cells[0])) from[line.path] = line.place.str();
  const std::string file = (path / "pipeline.toml").string();
  BOOST_TEST(from.at("train.epochs") == file + ":10:10");
  BOOST_TEST(from.at("train.warmup") == file + ":12:17");
  BOOST_TEST(from.at("train.lr") == "--set 1:10");
  BOOST_TEST(from.at("train.momentum") == "");
  BOOST_TEST(from.at("stages.train.uses") == file + ":6:8");
}

BOOST_AUTO_TEST_CASE(a_missing_file_a_folder_and_a_huge_file_are_sentences) {
  write("train.toml", kChain);
  BOOST_TEST(!file((path / "trian.toml").string()));
  BOOST_TEST(diagnostics.render() == (path / "trian.toml").string() +
                                         ": error: no such file; did you mean '" +
                                         (path / "train.toml").string() + "'?\n");
  BOOST_TEST(!file(path.string()));
  BOOST_TEST(diagnostics.render().find("is a folder") != std::string::npos);
  BOOST_TEST(!file(write("big.toml", std::string(17 << 20, '#'))));
  BOOST_TEST(diagnostics.render().find("larger than 16 MB") != std::string::npos);
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += "a.";
  BOOST_TEST(!file(write("deep.toml", deep + "b = 1")));
  BOOST_TEST(!text(kChain, {"matrix." + deep + "b=1"}));
}

BOOST_AUTO_TEST_CASE(a_thousand_cells) {
  std::string lr, seeds;
  for (int i = 0; i < 100; ++i) lr += (i > 0 ? ", " : "") + std::to_string(i + 1) + "e-4";
  for (int i = 0; i < 10; ++i) seeds += (i > 0 ? ", " : "") + std::to_string(i);
  const std::string name = write("sweep.toml", kChain + "[matrix]\ntrain.lr = [" + lr +
                                                   "]\npipeline.seed = [" + seeds + "]\n");
  const auto c = file(name);
  BOOST_REQUIRE(c);
  BOOST_TEST(c->cells.size() == 1000u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace cifarpipe
