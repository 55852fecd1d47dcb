#include "pipeline/graph.hpp"

#include <boost/test/unit_test.hpp>

#include "fake_types.hpp"

using namespace cifarpipe;
using cifarpipe::test::FakeTypes;

namespace {

struct Fixture {
  FakeTypes types;
  Configuration configuration;
  GraphWorld world;
  Fixture() {
    configuration.name = "x";
    configuration.file = "x.toml";
    configuration.cells = {types.cell()};
    world.machine.cores = 2;
    world.digest_path = [](const std::string& path) { return "digest of " + path; };
    world.earlier_result = [](const InputSource&) {
      return std::make_pair(JobRef{"k", 0}, std::string("earlier"));
    };
  }
  /// As many cells as learning rates.
  void sweep(const std::vector<double>& rates) {
    configuration.has_matrix = true;
    configuration.cells.clear();
    for (const double lr : rates) {
      configuration.cells.push_back(types.cell());
      test::set(configuration.cells.back().stages[2], "lr", lr);
    }
  }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(graph, Fixture)

BOOST_AUTO_TEST_CASE(equal_jobs_of_different_cells_are_one) {
  sweep({0.1, 0.2, 0.3, 0.1});
  const JobGraph g = build_graph(configuration, world);
  BOOST_TEST(g.jobs.size() == 2u + 3u);  // One download, one preprocess, three trainings.
  BOOST_TEST(g.jobs[0].users.size() == 4u);
  BOOST_TEST(g.cell_jobs[0][2] == g.cell_jobs[3][2]);
  BOOST_TEST(g.cell_jobs[0][2] != g.cell_jobs[1][2]);
}

BOOST_AUTO_TEST_CASE(producers_come_first_whatever_the_order_in_the_file) {
  std::reverse(configuration.cells[0].stages.begin(), configuration.cells[0].stages.end());
  const JobGraph g = build_graph(configuration, world);
  for (std::size_t i = 0; i < g.jobs.size(); ++i) {
    for (const JobInput& input : g.jobs[i].inputs) BOOST_TEST(input.producer < i);
  }
}

BOOST_AUTO_TEST_CASE(identities_follow_what_stands_above) {
  const auto identity = [&](std::size_t stage) {
    const JobGraph g = build_graph(configuration, world);
    return g.jobs[g.cell_jobs[0][stage]].identity;
  };
  const std::string before = identity(2);
  configuration.cells[0].seed = 43;  // Moves data and train.
  BOOST_TEST(identity(2) != before);
  configuration.cells[0].seed = 42;
  BOOST_TEST(identity(2) == before);
  types.type("source").build_id = "rebuilt";
  BOOST_TEST(identity(2) != before);
}

BOOST_AUTO_TEST_CASE(the_name_of_a_cell_and_its_place_do_not_matter) {
  const JobGraph one = build_graph(configuration, world);
  sweep({0.7, 1e-3});
  const JobGraph two = build_graph(configuration, world);
  BOOST_TEST(one.jobs[one.cell_jobs[0][2]].identity == two.jobs[two.cell_jobs[1][2]].identity);
}

BOOST_AUTO_TEST_CASE(until_leaves_out_what_is_not_needed) {
  const JobGraph g = build_graph(configuration, world, {"data"});
  BOOST_TEST(g.jobs.size() == 2u);
  BOOST_TEST(g.cell_jobs[0][2] == JobGraph::kSkipped);
}

BOOST_AUTO_TEST_CASE(a_path_that_is_not_there_is_said_with_its_place) {
  StageInstance& source = configuration.cells[0].stages[0];
  test::set(source, "path", std::string("/no/such/file"));
  source.origins["path"] = Place{"x.toml", 5, 8};
  try {
    build_graph(configuration, world);
    BOOST_FAIL("accepted");
  } catch (const Error& error) {
    BOOST_TEST(std::string(error.what()) ==
               "'path' of stage 'source' names /no/such/file, which does not exist");
    BOOST_TEST(error.exit_code() == 2);
    BOOST_TEST(error.place()->str() == "x.toml:5:8");
  }
}

BOOST_AUTO_TEST_CASE(a_result_of_an_earlier_run_counts_by_its_content) {
  StageInstance& train = configuration.cells[0].stages[2];
  train.inputs[0].second = InputSource{"latest", "data", "dataset", {}};
  const JobGraph a = build_graph(configuration, world);
  BOOST_TEST((a.jobs[2].inputs[0].producer == JobInput::kEarlierRun));
  world.earlier_result = [](const InputSource&) {
    return std::make_pair(JobRef{"another key", 3}, std::string("earlier"));
  };
  BOOST_TEST(build_graph(configuration, world).jobs[2].identity == a.jobs[2].identity);
}

BOOST_AUTO_TEST_CASE(auto_becomes_what_the_machine_does_well) {
  world.machine.fast_bf16 = true;
  BOOST_TEST(build_graph(configuration, world).jobs[2].parts.numerics.precision == "bf16");
  world.machine.fast_bf16 = false;
  BOOST_TEST(build_graph(configuration, world).jobs[2].parts.numerics.precision == "fp32");
  BOOST_TEST(build_graph(configuration, world).jobs[2].parts.numerics.threads == 2);
  configuration.cells[0].threads = 8;
  BOOST_TEST(build_graph(configuration, world).jobs[2].parts.numerics.threads == 8);
}

BOOST_AUTO_TEST_CASE(half_precision_is_refused_on_a_processor_before_anything_runs) {
  for (auto& [name, value] : configuration.cells[0].stages[2].params) {
    if (name == "precision") value = std::string("fp16");
  }
  BOOST_CHECK_EXCEPTION(build_graph(configuration, world), Error, [](const Error& error) {
    return error.kind() == ErrorKind::environment &&
           std::string(error.what()).starts_with("stage 'train' asks for precision \"fp16\"");
  });
}

BOOST_AUTO_TEST_CASE(downstream_and_upstream) {
  const Cell& cell = configuration.cells[0];
  const std::vector<bool> down = {false, true, true};
  BOOST_TEST(downstream_of(cell, {"data"}) == down);
  const std::vector<bool> up = {true, true, false};
  BOOST_TEST(upstream_of(cell, {"data"}) == up);
}

BOOST_AUTO_TEST_SUITE_END()
