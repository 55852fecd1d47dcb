// What an experiment shows of its runs.
#include "tests/unit/content_fixture.hpp"

namespace cifarpipe {
namespace {

using nlohmann::json;
using testing::ContentFixture;
using testing::value_of;

json view_of(const RunContent& content) {
  return json::parse(value_of(content.experiment_tags, "mlflow.sharedViewState.cifarpipe"));
}

/// The first chart of a type with the key that it shows, "" without.
std::string chart(const json& view, const char* type, const char* key) {
  for (const json& one : view["compareRunCharts"]) {
    if (one["type"] == type) return one.contains(key) ? one[key].dump() : "";
  }
  return "(none)";
}

bool has_column(const json& view, const char* column) {
  const json& all = view["selectedColumns"];
  return std::find(all.begin(), all.end(), column) != all.end();
}

BOOST_FIXTURE_TEST_SUITE(mirror_view, ContentFixture)

BOOST_AUTO_TEST_CASE(experiment_tags) {
  add_all();
  const RunContent shown = content();
  const auto tag = [&](const char* key) { return value_of(shown.experiment_tags, key); };
  BOOST_TEST(tag("mlflow.experimentKind") == "custom_model_development");
  BOOST_TEST(tag("mlflow.note.content") == "Shapes, \"told\" apart.");
  BOOST_TEST(tag("mlflow.experiment.primaryMetric.name") == "test/accuracy");
  BOOST_TEST(tag("mlflow.experiment.primaryMetric.greaterIsBetter") == "True");
}

BOOST_AUTO_TEST_CASE(shared_view) {
  add_all();
  const RunContent shown = content();
  const json view = view_of(shown);
  BOOST_TEST(view["orderByKey"] == "metrics.`test/accuracy`");
  BOOST_TEST(view["orderByAsc"] == false);
  BOOST_TEST(has_column(view, "metrics.`test/accuracy`"));
  BOOST_TEST(has_column(view, "attributes.`Source`"));
  BOOST_TEST(chart(view, "PARALLEL", "selectedParams") == "(none)");  // Nothing is swept.
  BOOST_TEST(chart(view, "LINE", "selectedMetricKeys") == R"(["train/loss"])");
  BOOST_TEST(chart(view, "BAR", "metricKey") == R"("test/accuracy")");
  BOOST_TEST(chart(view, "IMAGE", "imageKeys") == R"(["data_contact_sheet"])");
  const json& section = view["compareRunSections"];
  BOOST_REQUIRE(section.is_array() && section.size() == 1);
  std::set<std::string> ids;
  for (const json& one : view["compareRunCharts"]) {
    BOOST_TEST(one["metricSectionId"] == section[0]["uuid"]);
    BOOST_TEST(ids.insert(one["uuid"].get<std::string>()).second);
  }
  BOOST_TEST(value_of(shown.experiment_tags, "mlflow.sharedViewState.cifarpipe").size() <= 5000);
}

BOOST_AUTO_TEST_CASE(a_sweep_shows_what_it_sweeps) {
  NewRun parent = row;
  parent.id = std::string(32, 'b');
  parent.name = "sweep";
  parent.params.clear();
  parent.folder = (dir / "sweep").string();
  recorder.create_run(parent);
  row.parent_id = parent.id;
  row.cell = "train.lr=0.003,train.milestones=[2, 4],train.optimizer=adam";
  add_all();
  const std::string expected = R"(["train.lr","train.milestones","train.optimizer"])";
  const RunContent child = content();
  BOOST_TEST(chart(view_of(child), "PARALLEL", "selectedParams") == expected);
  BOOST_TEST(chart(view_of(child), "PARALLEL", "selectedMetrics") == R"(["test/accuracy"])");
  BOOST_TEST(has_column(view_of(child), "params.`train.lr`"));
  BOOST_TEST(!has_column(view_of(child), "attributes.`Source`"));  // Pushes them out of sight.
  BOOST_TEST(value_of(child.tags, "cifarpipe.cell") == *row.cell);
  row.id = parent.id;  // The parent shows the same: it has no stages of its own.
  BOOST_TEST((content().experiment_tags == child.experiment_tags));
}

BOOST_AUTO_TEST_CASE(stages_of_others) {
  begin();
  add_stage("own", "own", {{"notes", {{"a.md", "# a"}}}}, {{"my_loss", 0.5}, {"speed", 2}});
  const json view = view_of(content());
  BOOST_TEST(view["orderByKey"] == "metrics.`own/my_loss`");
  BOOST_TEST(view["orderByAsc"] == true);
  BOOST_TEST(chart(view, "BAR", "metricKey") == R"("own/my_loss")");
}

BOOST_AUTO_TEST_CASE(a_run_that_has_just_begun) {
  recorder.create_run(row);
  const json view = view_of(content());
  BOOST_TEST(view["orderByKey"] == "attributes.start_time");
  BOOST_TEST(view["compareRunCharts"].empty());
}

BOOST_AUTO_TEST_CASE(links) {
  BOOST_TEST(experiment_link("http://h:5000/mlf", "7") ==
             "http://h:5000/mlf/#/experiments/7/"
             "runs?workflowType=machine_learning&viewStateShareKey=cifarpipe");
  BOOST_TEST(run_link("http://h:5000", "7", "r1") ==
             "http://h:5000/#/experiments/7/runs/r1?workflowType=machine_learning");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
