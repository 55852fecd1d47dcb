#include "pipeline/config.hpp"

#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include "tests/unit/fake_catalog.hpp"

namespace cifarpipe {
namespace {

namespace fs = std::filesystem;

const std::string kChain = R"([stages.download]
uses = "download"
[stages.data]
uses = "preprocess"
[stages.train]
uses = "train"
[stages.test]
uses = "evaluate"
)";

struct Folder {
  Folder() {
    char name[] = "/tmp/cifarpipe-config-XXXXXX";
    path = fs::canonical(mkdtemp(name));
  }
  ~Folder() { fs::remove_all(path); }
  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path / name).parent_path());
    std::ofstream(path / name, std::ios::binary) << text;
    return (path / name).string();
  }
  fs::path path;
};

struct Loader : Folder {
  std::optional<Configuration> file(const std::string& path, std::vector<std::string> sets = {}) {
    diagnostics = {};
    std::vector<SetArgument> numbered;
    for (const std::string& set : sets) {
      numbered.push_back({set, static_cast<int>(numbered.size()) + 1});
    }
    return load_configuration(path, numbered, catalog, diagnostics);
  }
  std::optional<Configuration> text(const std::string& text, std::vector<std::string> sets = {}) {
    return file(write("pipeline.toml", text), std::move(sets));
  }
  Configuration good(const std::string& content, std::vector<std::string> sets = {}) {
    auto configuration = text(content, std::move(sets));
    BOOST_REQUIRE_MESSAGE(configuration, diagnostics.render());
    return *configuration;
  }

  test::FakeCatalog catalog = test::FakeCatalog::standard();
  Diagnostics diagnostics;
};

template <class T>
T param(const Cell& cell, std::string_view stage, std::string_view name) {
  for (const StageInstance& s : cell.stages) {
    if (s.name == stage) return std::get<T>(*find_value(s.params, name));
  }
  throw std::logic_error("no such stage");
}

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
  for (const char* text : {"\"a", "\"a\" \"b\"", "'"}) {
    const Configuration c = good(kChain, {std::string("download.sha256=") + text});
    BOOST_TEST(param<std::string>(c.cells[0], "download", "sha256") == text, text);
  }
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
