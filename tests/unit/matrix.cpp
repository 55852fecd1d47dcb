// Cells: names, order, what is left out and what is added.
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <fstream>
#include <set>

#include "pipeline/config.hpp"
#include "tests/unit/fake_catalog.hpp"

namespace cifarpipe {
namespace {

struct Cells {
  std::vector<std::string> names(const std::string& matrix, const std::string& params = "",
                                 std::vector<SetArgument> sets = {}) {
    const auto file = std::filesystem::temp_directory_path() /
                      ("cifarpipe-matrix-" + std::to_string(getpid()) + ".toml");
    std::ofstream(file) << R"([stages.download]
uses = "download"
[stages.data]
uses = "preprocess"
[stages.train]
uses = "train"
[stages.train.params]
)" << params << "[matrix]\n"
                        << matrix;
    diagnostics = {};
    configuration = load_configuration(file.string(), sets, catalog, diagnostics);
    std::filesystem::remove(file);
    std::vector<std::string> out;
    if (!configuration) return {diagnostics.render()};
    for (const Cell& cell : configuration->cells) out.push_back(cell.name);
    return out;
  }

  test::FakeCatalog catalog = test::FakeCatalog::standard();
  Diagnostics diagnostics;
  std::optional<Configuration> configuration;
};

using Names = std::vector<std::string>;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(matrix, Cells)

BOOST_AUTO_TEST_CASE(the_last_list_runs_fastest) {
  const Names expected = {"train.lr=0.003,train.optimizer=adam",
                          "train.lr=0.003,train.optimizer=sgd", "train.lr=1.0,train.optimizer=adam",
                          "train.lr=1.0,train.optimizer=sgd"};
  BOOST_TEST(names("train.lr = [3e-3, 1]\ntrain.optimizer = [\"adam\", \"sgd\"]\n") == expected);
  BOOST_TEST(configuration->has_matrix);
  const auto& assignment = configuration->cells[1].assignment;
  BOOST_REQUIRE(assignment.size() == 2u);
  BOOST_TEST(assignment[0].first == "train.lr");
  BOOST_CHECK(assignment[0].second == Value{0.003});
  BOOST_CHECK(assignment[1].second == Value{std::string("sgd")});
}

BOOST_AUTO_TEST_CASE(every_form_of_a_path_means_the_same) {
  const Names expected = {"train.lr=0.1"};
  BOOST_TEST(names("train.lr = [0.1]\n") == expected);
  BOOST_TEST(names("\"train.lr\" = [0.1]\n") == expected);
  BOOST_TEST(names("train = { lr = [0.1] }\n") == expected);
  BOOST_TEST(names("stages.train.params.lr = [0.1]\n") == expected);
  BOOST_TEST(names("[matrix.train]\nlr = [0.1]\n") == expected);
}

BOOST_AUTO_TEST_CASE(an_exclude_is_compared_after_coercion) {
  const Names expected = {"train.lr=1.0,train.epochs=2", "train.lr=2.0,train.epochs=1"};
  BOOST_TEST(names("train.lr = [1, 2.0]\ntrain.epochs = [1, 2]\n[[matrix.exclude]]\n"
                   "train.lr = 1.0\ntrain.epochs = 1\n[[matrix.exclude]]\n\"train.lr\" = 2\n"
                   "train.epochs = 2\n") == expected);
  BOOST_TEST(diagnostics.all().empty());
}

BOOST_AUTO_TEST_CASE(a_part_of_a_combination_excludes_all_that_have_it) {
  const Names expected = {"train.lr=2.0,train.epochs=1", "train.lr=2.0,train.epochs=2"};
  BOOST_TEST(
      names("train.lr = [1, 2]\ntrain.epochs = [1, 2]\n[[matrix.exclude]]\ntrain.lr = 1\n") ==
      expected);
}

BOOST_AUTO_TEST_CASE(an_include_is_a_cell_of_its_own_on_the_base) {
  const Names expected = {"train.lr=0.1,train.epochs=1", "train.momentum=0.5,train.optimizer=sgd"};
  BOOST_TEST(names("train.lr = [0.1]\ntrain.epochs = [1]\n[[matrix.include]]\n"
                   "train.momentum = 0.5\ntrain.optimizer = \"sgd\"\n",
                   "lr = 7\n") == expected);
  const auto& params = configuration->cells[1].stages[2].params;
  BOOST_CHECK(*find_value(params, "lr") == Value{7.0});
  BOOST_CHECK(*find_value(params, "momentum") == Value{0.5});
  BOOST_CHECK(*find_value(params, "epochs") == Value{std::int64_t{20}});
}

BOOST_AUTO_TEST_CASE(includes_alone_are_a_matrix) {
  const Names expected = {"train.lr=0.1", "train.lr=0.2"};
  BOOST_TEST(names("[[matrix.include]]\ntrain.lr = 0.1\n[[matrix.include]]\ntrain.lr = 0.2\n") ==
             expected);
}

BOOST_AUTO_TEST_CASE(an_include_that_equals_a_cell_is_not_run_twice) {
  // lr is at its base there, which is what the list says, too.
  BOOST_TEST(
      names("train.lr = [0.1]\n[[matrix.include]]\ntrain.epochs = 20\n", "lr = 0.1\n").size() ==
      1u);
  BOOST_TEST(diagnostics.all().size() == 1u);
}

BOOST_AUTO_TEST_CASE(an_empty_matrix_is_none) {
  BOOST_TEST(names("") == Names{""});
  BOOST_TEST(!configuration->has_matrix);
}

BOOST_AUTO_TEST_CASE(seeds_and_repeats_can_be_swept) {
  const Names expected = {"pipeline.seed=1,pipeline.repeat=0", "pipeline.seed=1,pipeline.repeat=1"};
  BOOST_TEST(names("pipeline.seed = [1]\npipeline.repeat = [0, 1]\n") == expected);
  BOOST_TEST(configuration->cells[1].seed == 1u);
  BOOST_TEST(configuration->cells[1].repeat == 1u);
}

BOOST_AUTO_TEST_CASE(no_two_cells_share_a_name) {
  const Names cells = names(
      "data.list = [\"/a\", \"/a,train.optimizer=sgd\", \"\"]\n"
      "train.optimizer = [\"adam\", \"sgd\"]\n[[matrix.include]]\ndata.list = \"/a\"\n"
      "train.epochs = 3\n[[matrix.include]]\ndata.classes = [\"a\", \"b\"]\n"
      "[[matrix.include]]\ndata.classes = [\"a\\\", \\\"b\"]\n");
  BOOST_TEST(cells.size() == 9u);
  BOOST_TEST(std::set<std::string>(cells.begin(), cells.end()).size() == cells.size());
  BOOST_TEST(cells[2] == "data.list=\"/a,train.optimizer=sgd\",train.optimizer=adam");
}

BOOST_AUTO_TEST_CASE(arrays_and_groups_can_be_swept) {
  const Names expected = {"data.mean=[0.5],data.groups={ a = [\"x\"] }",
                          "data.mean=[],data.groups={ a = [\"x\"] }"};
  BOOST_TEST(names("data.mean = [[0.5], []]\ndata.groups = [{ a = [\"x\"] }]\n") == expected);
}

BOOST_AUTO_TEST_CASE(the_command_line_replaces_a_list) {
  const Names expected = {"train.lr=5.0", "train.lr=6.0"};
  BOOST_TEST(names("train.lr = [1, 2, 3]\n", "", {{"matrix.train.lr=[5, 6]", 1}}) == expected);
}

BOOST_AUTO_TEST_CASE(a_required_value_may_come_from_the_matrix) {
  const auto file = std::filesystem::temp_directory_path() /
                    ("cifarpipe-required-" + std::to_string(getpid()) + ".toml");
  std::ofstream(file) << R"([stages.export]
uses = "export"
inputs.model = "run:latest/train.model"
[matrix]
export.format = ["a", "b"]
)";
  const auto c = load_configuration(file.string(), {}, catalog, diagnostics);
  BOOST_REQUIRE_MESSAGE(c, diagnostics.render());
  BOOST_TEST(c->cells.size() == 2u);
  BOOST_CHECK(*find_value(c->cells[1].stages[0].params, "format") == Value{std::string("b")});
  std::filesystem::remove(file);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace cifarpipe
