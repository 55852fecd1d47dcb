#include "tracking/queries.hpp"

#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <limits>
#include <nlohmann/json.hpp>

#include "pipeline/error.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;

/// A run with every type of parameter and two stages of which one was there already.
struct Fixture {
  TempDir dir;
  SqliteRecorder recorder{dir / "cifarpipe.db"};

  Fixture() {
    NewRun run;
    run.id = "aa11";
    run.name = "one";
    run.experiment = "try";
    run.folder = "/runs/one";
    run.command = "cifarpipe run a.toml";
    run.note = "said";
    run.start_ms = 1000;
    run.params = {{"train.lr", 0.001},
                  {"train.whole", 2.0},
                  {"train.epochs", std::int64_t{20}},
                  {"train.fast", true},
                  {"train.name", std::string("10")},
                  {"train.limit", std::numeric_limits<double>::infinity()},
                  {"train.list", std::vector<double>{0.5, 2.0}},
                  {"train.groups", Groups{{"z", {"cat"}}, {"a", {"dog", "ship"}}}}};
    run.tags = {{"who", "me"}};
    run.facts = {{"host", "vm"}};
    recorder.create_run(run);
    for (const char* name : {"first", "second"}) {
      RunStage stage;
      stage.name = name;
      stage.uses = "train";
      stage.position = name == std::string("first") ? 0 : 1;
      stage.action = "cached";
      stage.status = "finished";
      stage.job = {"k1", 0};  // Both point to one job.
      recorder.put_run_stage("aa11", stage);
    }
    recorder.begin_attempt({"k1", 0}, "train", std::nullopt, 1);
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    std::vector<RingPoint> points;
    const auto log = [&](const char* metric, std::int64_t step, double value) {
      RingPoint& p = points.emplace_back();
      p.job = {"k1", 0};
      p.attempt = 1;
      p.sequence = points.size();
      p.metric = metric;
      p.step = step;
      p.time_ms = 10 + static_cast<std::int64_t>(points.size());
      p.value = value;
    };
    log("loss", 1, 0.5);
    log("loss", 2, 0.25);
    log("loss", 3, kNan);
    log("val/acc", 3, 0.75);
    recorder.store_points("ring", points, 4);
    ResultRecord result;
    result.job = {"k1", 0};
    result.stage = "train";
    result.outputs = {{"model", {{"a.bin", 3, "aa"}, {"b.bin", 4, "bb"}}}};
    result.usage = {10, 20, 30};
    result.created_ms = 99;
    result.facts = {{"parameters", "7"}};
    recorder.put_result(result);
  }
};

BOOST_FIXTURE_TEST_SUITE(queries, Fixture)

BOOST_AUTO_TEST_CASE(list_as_json) {
  RunQueries queries(recorder.database());
  BOOST_TEST(
      queries.list_json({}, 10).dump() ==
      R"([{"id":"aa11","name":"one","experiment":"try","parent":null,"cell":null,)"
      R"("status":"RUNNING","start":1000,"end":null,"params":{"train.lr":0.001,"train.whole":2.0,)"
      R"("train.epochs":20,"train.fast":true,"train.name":"10","train.limit":"inf",)"
      R"("train.list":[0.5,2.0],"train.groups":{"z":["cat"],"a":["dog","ship"]}},)"
      R"("metrics":{"first/loss":{"last":"nan","step":3,"min":0.25,"max":0.5},)"
      R"("first/val/acc":{"last":0.75,"step":3,"min":0.75,"max":0.75},)"
      R"("second/loss":{"last":"nan","step":3,"min":0.25,"max":0.5},)"
      R"("second/val/acc":{"last":0.75,"step":3,"min":0.75,"max":0.75}}}])");
}

BOOST_AUTO_TEST_CASE(show_as_json) {
  RunQueries queries(recorder.database());
  const auto shown = queries.show_json("aa11");
  BOOST_TEST(
      shown["stages"][1].dump() ==
      R"({"name":"second","uses":"train","action":"cached","key":"k1","status":"finished",)"
      R"("attempts":1,"wall_ms":10,"cpu_ms":20,"peak_rss_bytes":30,"reason":"","message":"",)"
      R"("outputs":{"model":[{"path":"a.bin","size":3,"sha256":"aa"},)"
      R"({"path":"b.bin","size":4,"sha256":"bb"}]},"facts":{"parameters":"7"},)"
      R"("history":[{"number":1,"status":"running","start":1,"end":null,"from":null,)"
      R"("wall_ms":null,"cpu_ms":null,"peak_rss_bytes":null,"points":4,"superseded":0}]})");
  BOOST_TEST(shown["tags"].dump() == R"({"who":"me"})");
  BOOST_TEST(shown["facts"].dump() == R"({"host":"vm"})");
  BOOST_TEST(shown["note"] == "said");
  BOOST_TEST(shown["folder"] == "/runs/one");
  BOOST_TEST(shown["deleted"] == false);
}

BOOST_AUTO_TEST_CASE(points_of_a_key) {
  RunQueries queries(recorder.database());
  BOOST_TEST(queries.points("aa11", "second/val/acc").size() == 1);
  const auto points = queries.points("aa11", "first/loss");
  BOOST_REQUIRE(points.size() == 3);
  BOOST_TEST(points[1].step == 2);
  BOOST_TEST(points[1].time_ms == 12);
  BOOST_TEST(points[1].value == 0.25);
  BOOST_TEST(queries.points("aa11", "loss").empty());
  BOOST_TEST(queries.points("aa11", "third/loss").empty());
}

BOOST_AUTO_TEST_CASE(filters_and_order) {
  NewRun run;
  run.id = "bb22";
  run.name = "two";
  run.experiment = "other";
  run.parent_id = "aa11";
  recorder.create_run(run);
  recorder.finish_run("bb22", RunStatus::finished, 5, "");
  RunQueries queries(recorder.database());
  const auto names = [&](auto member, auto value) {
    RunFilter filter;
    filter.*member = value;
    std::string out;
    for (const RunRow& row : queries.runs(filter)) out += row.record.name + " ";
    return out;
  };
  BOOST_TEST(names(&RunFilter::deleted, false) == "two one ");
  BOOST_TEST(names(&RunFilter::experiment, "try") == "one ");
  BOOST_TEST(names(&RunFilter::status, "FINISHED") == "two ");
  BOOST_TEST(names(&RunFilter::parent, "aa11") == "two ");
  recorder.delete_run("bb22", 1);
  BOOST_TEST(names(&RunFilter::deleted, false) == "one ");
  BOOST_TEST(names(&RunFilter::deleted, true) == "two one ");
}

/// The rows of a query, "a|b;c|d".
std::string answer(Database& db, const std::string& sql, int columns) {
  Statement rows(db, sql);
  std::string out;
  while (rows.step()) {
    for (int c = 0; c < columns; ++c) {
      out += (c > 0 ? "|" : out.empty() ? "" : ";") + rows.optional_text(c).value_or("NULL");
    }
  }
  return out;
}

BOOST_AUTO_TEST_CASE(views) {
  Database& db = recorder.database();
  recorder.finish_run("aa11", RunStatus::finished, 3500, "");
  BOOST_TEST(answer(db,
                    "SELECT id, name, experiment, parent, cell, status, attempt, started, ended, "
                    "seconds, note FROM runs",
                    11) ==
             "aa11|one|try|NULL|NULL|FINISHED|1|1970-01-01 00:00:01|1970-01-01 00:00:03|2.5|said");
  BOOST_TEST(answer(db, "SELECT run, key, type, value FROM run_params WHERE value < 1", 4) ==
             "one|train.lr|number|0.001");
  BOOST_TEST(answer(db, "SELECT run, key, value FROM run_tags", 3) == "one|who|me");
  BOOST_TEST(answer(db, "SELECT run, key, value FROM run_facts", 3) == "one|host|vm");
  BOOST_TEST(
      answer(db,
             "SELECT stage, uses, action, status, key, generation, attempts, wall_ms, "
             "cpu_ms, peak_rss_bytes FROM run_stages WHERE run = 'one'",
             10) ==
      "first|train|cached|finished|k1|0|1|10|20|30;second|train|cached|finished|k1|0|1|10|20|30");
  BOOST_TEST(answer(db,
                    "SELECT step, time, value, not_finite, is_nan FROM run_metrics WHERE "
                    "run = 'one' AND key = 'second/loss' ORDER BY step",
                    5) ==
             "1|1970-01-01 00:00:00.011|0.5|NULL|0;2|1970-01-01 00:00:00.012|0.25|NULL|0;"
             "3|1970-01-01 00:00:00.013|NULL|nan|1");
  BOOST_TEST(answer(db, "SELECT count(*) FROM run_metrics WHERE value < 9 OR value >= 9", 1) ==
             "6");
  BOOST_TEST(answer(db,
                    "SELECT key, points, last, is_nan, last_not_finite, step, min, max FROM "
                    "run_metric_summary WHERE key LIKE 'first/%'",
                    8) ==
             "first/loss|3|NULL|1|nan|3|0.25|0.5;first/val/acc|1|0.75|0|NULL|3|0.75|0.75");
  BOOST_TEST(answer(db, "SELECT key, uses, published, files, bytes FROM results", 5) ==
             "k1|train|1970-01-01 00:00:00|2|7");
  BOOST_TEST(answer(db, "SELECT port, path, size, sha256 FROM outputs", 4) ==
             "model|a.bin|3|aa;model|b.bin|4|bb");
  recorder.delete_run("aa11", 1);
  for (const char* view : {"runs", "run_params", "run_tags", "run_facts", "run_stages",
                           "run_metrics", "run_metric_summary"}) {
    BOOST_TEST(answer(db, fmt::format("SELECT count(*) FROM {}", view), 1) == "0");
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
