#include "tracking/run_comparison.hpp"

#include <boost/test/unit_test.hpp>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/unit/temp_dir.hpp"
#include "tracking/migrations.hpp"
#include "tracking/recorder.hpp"
#include "tracking/run_export.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Runs that are equal but for what a test changes.
struct Fixture {
  TempDir dir;
  SqliteRecorder recorder{dir / "cifarpipe.db"};
  RunQueries queries{recorder.database()};

  struct Recipe {
    double lr = 0.001;
    std::vector<double> loss = {0.5, kNan, 0.1};
    std::string commit = "abc";
    std::string diff{};
    std::string host = "vm";
    std::string plugin = "train 1.0.0 aa";
    std::string digest = "d1";
    double speed = 100;
    std::string read = "0123456789abcdef";
  };

  std::string run(const std::string& name, const Recipe& r) {
    NewRun row;
    row.id = name + "00";
    row.name = name;
    row.experiment = "try";
    row.folder = (dir / name).string();
    row.start_ms = 1000;
    row.params = {{"train.lr", r.lr}, {"train.epochs", std::int64_t{3}}};
    row.facts = {{"git.commit", r.commit},
                 {"host", r.host},
                 {"plugin.train", r.plugin},
                 {"data.train.path", "sha256:" + r.read + " /x"}};
    recorder.create_run(row);
    std::filesystem::create_directories(row.folder);
    if (!r.diff.empty()) std::ofstream(dir / name / "changes.diff") << r.diff;
    const JobRef job{"job-" + name, 0};
    recorder.put_run_stage(row.id, {"train", "train", 0, "run", "finished", job, "", ""});
    recorder.begin_attempt(job, "train", std::nullopt, 1);
    std::vector<RingPoint> points;
    std::int64_t step = 0;
    for (const double value : r.loss) {
      ++step;
      points.push_back({job, 1, points.size() + 1, "loss", step, 5 + step, value});
      points.push_back({job, 1, points.size() + 1, "images_per_second", step, 5, r.speed});
    }
    recorder.store_points("ring" + name, points, points.size());
    ResultRecord result;
    result.job = job;
    result.stage = "train";
    result.key_document = R"({"params":{"path":{"content":")" + r.read + R"("},"lr":1}})";
    result.outputs = {{"model", {{"a.bin", 3, r.digest}}}};
    recorder.put_result(result);
    recorder.finish_run(row.id, RunStatus::finished, 2000, "");
    return row.id;
  }

  /// The keys that differ, "params.train.lr metrics.train/loss".
  std::string differing(const Recipe& b) {
    static int n = 0;
    const std::string first = run("a" + std::to_string(n), {});
    const std::string second = run("b" + std::to_string(n++), b);
    const auto json = to_json(compare_runs(queries, {first, second}), false);
    std::string out;
    for (const char* group :
         {"outcome", "params", "metrics", "git", "changes", "data", "environment", "plugins"}) {
      for (const auto& item : json[group].items()) {
        out += (out.empty() ? "" : " ") + (group + ("." + item.key()));
      }
    }
    BOOST_TEST(json["equal"].get<bool>() == out.empty());
    return out;
  }
};

constexpr const char* kDiff =
    "diff --git a/x.txt b/x.txt\n--- a/x.txt\n+++ b/x.txt\n@@ -1 +1 @@\n-1\n+2\n"
    "diff --git a/b c.txt b/b c.txt\n--- a/b c.txt\n";

BOOST_FIXTURE_TEST_SUITE(run_comparison, Fixture)

BOOST_AUTO_TEST_CASE(each_difference_is_found_in_its_place) {
  BOOST_TEST(differing({}) == "");
  BOOST_TEST(differing({.lr = 0.002}) == "params.train.lr");
  BOOST_TEST(differing({.loss = {0.5, kNan, 0.2}}) == "metrics.train/loss");
  BOOST_TEST(differing({.loss = {0.5, 0.3, 0.1}}) == "metrics.train/loss");
  BOOST_TEST(differing({.commit = "abd"}) == "git.commit");
  BOOST_TEST(differing({.diff = kDiff}) == "changes.x.txt changes.b c.txt");
  BOOST_TEST(differing({.host = "other"}) == "environment.host");
  BOOST_TEST(differing({.plugin = "train 1.0.0 bb"}) == "plugins.train");
  BOOST_TEST(differing({.digest = "d2"}) == "data.train.model");
  BOOST_TEST(differing({.read = "f123456789abcdef"}) == "data.train.path");
}

BOOST_AUTO_TEST_CASE(speed_may_differ_between_equal_runs) {
  BOOST_TEST(differing({.speed = 101}) == "");
  const RunComparison c = compare_runs(queries, {run("s", {}), run("t", {.speed = 1})});
  BOOST_TEST(c.equal());
  const auto all = to_json(c, true);
  BOOST_TEST(all["metrics"]["train/images_per_second"]["differs"] == true);
  BOOST_TEST(all["params"]["train.lr"].dump() == R"(["0.001","0.001"])");
  BOOST_TEST(all["data"]["train.path"].dump() == R"(["0123456789ab","0123456789ab"])");
}

BOOST_AUTO_TEST_CASE(where_series_part) {
  const auto c = compare_runs(queries, {run("a", {.loss = {3, 2, 1}}), run("b", {.loss = {3, 2}}),
                                        run("c", {.loss = {3, 2.5, 1}})});
  BOOST_TEST(c.metrics.front().first_step.value() == 2);
  BOOST_TEST(to_json(c, false)["metrics"]["train/loss"].dump() ==
             R"({"last":[1.0,2.0,1.0],"points":[3,2,3],"differs":true,"first_step":2})");
}

BOOST_AUTO_TEST_CASE(files_of_diffs) {
  const auto files = files_of_diff(kDiff);
  BOOST_REQUIRE(files.size() == 2);
  BOOST_TEST(files[0].first == "x.txt");
  BOOST_TEST(files[0].second.ends_with("-1\n+2\n"));
  BOOST_TEST(files[1].first == "b c.txt");
  BOOST_TEST(files_of_diff("diff --git a/old b/new\nrename\n")[0].first == "a/old b/new");
  BOOST_TEST(files_of_diff("").empty());
  BOOST_TEST(files_of_diff("no diff").empty());
  BOOST_TEST(files_of_diff("diff --git ")[0].first == "");
}

/// A job that was killed at step 3, went on from a checkpoint at step 1, and ended.
struct Resumed : Fixture {
  Resumed() {
    NewRun row;
    row.id = "r1";
    row.name = "resumed";
    recorder.create_run(row);
    const JobRef job{"j", 0};
    recorder.put_run_stage("r1", {"train", "train", 0, "run", "finished", job, "", ""});
    recorder.begin_attempt(job, "train", std::nullopt, 1000);
    std::vector<RingPoint> points;
    for (int i = 1; i <= 3; ++i) {
      points.push_back({job, 1, static_cast<std::uint64_t>(i), "loss", i, 10 + i, 1.0 / i});
    }
    recorder.store_points("one", points, 3);
    recorder.begin_attempt(job, "train", Cover{1, 1}, 2000);
    points.clear();
    for (int i = 2; i <= 4; ++i) {
      points.push_back(
          {job, 2, static_cast<std::uint64_t>(i), "loss", i, 20 + i, i == 4 ? kNan : 1.0 / i});
    }
    recorder.store_points("two", points, 4);
    recorder.end_attempt(job, 2, "finished", {500, 400, 300}, 2600);
  }
};

BOOST_FIXTURE_TEST_CASE(attempts_and_what_they_superseded, Resumed) {
  const auto stages = queries.stages("r1");
  BOOST_REQUIRE(stages.size() == 1);
  const auto& history = stages[0].history;
  BOOST_REQUIRE(history.size() == 2);
  BOOST_TEST(history[0].status == "killed");
  BOOST_TEST(history[0].points == 3);
  BOOST_TEST(history[0].superseded == 2);
  BOOST_TEST(history[0].from_attempt == 0);
  BOOST_TEST(history[1].status == "finished");
  BOOST_TEST(history[1].points == 3);
  BOOST_TEST(history[1].superseded == 0);
  BOOST_TEST(history[1].from_attempt == 1);
  BOOST_TEST(history[1].from_step.value() == 1);
  BOOST_TEST(history[1].usage->wall_ms == 500);
  BOOST_TEST(queries.show_json("r1")["stages"][0]["history"][1].dump() ==
             R"({"number":2,"status":"finished","start":2000,"end":2600,)"
             R"("from":{"attempt":1,"sequence":1,"step":1},"wall_ms":500,"cpu_ms":400,)"
             R"("peak_rss_bytes":300,"points":3,"superseded":0})");
  Statement view(recorder.database(),
                 "SELECT group_concat(attempt || ' ' || status || ' ' || "
                 "coalesce(from_attempt, 'none'), '; ') FROM run_attempts WHERE run = 'resumed'");
  view.step();
  BOOST_TEST(view.text(0) == "1 killed none; 2 finished 1");
  Statement hidden(
      recorder.database(),
      "SELECT group_concat(step) FROM run_points WHERE superseded AND metric = 'loss'");
  hidden.step();
  BOOST_TEST(hidden.text(0) == "2,3");
}

BOOST_FIXTURE_TEST_CASE(exports_have_every_point, Resumed) {
  std::ostringstream json;
  export_json(queries, {"r1"}, json);
  const auto document = nlohmann::json::parse(json.str());
  BOOST_TEST(document["format"] == "cifarpipe-runs");
  BOOST_TEST(document["runs"][0]["name"] == "resumed");
  BOOST_TEST(document["runs"][0]["points"].dump() ==
             R"({"train/loss":[[1,11,1.0,1,0],[2,12,0.5,1,1],[3,13,0.3333333333333333,1,1],)"
             R"([2,22,0.5,2,0],[3,23,0.3333333333333333,2,0],[4,24,"nan",2,0]]})");
  std::ostringstream lines;
  export_jsonl(queries, {"r1"}, lines);
  std::istringstream in(lines.str());
  int points = 0, superseded = 0;
  for (std::string line; std::getline(in, line);) {
    const auto row = nlohmann::json::parse(line);
    points += row["type"] == "point" ? 1 : 0;
    superseded += row.value("superseded", false) ? 1 : 0;
  }
  BOOST_TEST(points == 6);
  BOOST_TEST(superseded == 2);
  std::map<std::string, std::ostringstream> tables;
  export_csv(queries, {"r1"},
             [&](const std::string& name) -> std::ostream& { return tables[name]; });
  BOOST_TEST(tables.size() == export_tables().size());
  BOOST_TEST(tables["attempts"].str() ==
             "run,stage,attempt,status,start_ms,end_ms,from_attempt,from_step,points,superseded\n"
             "r1,train,1,killed,1000,,,,3,2\n"
             "r1,train,2,finished,2000,2600,1,1,3,0\n");
  BOOST_TEST(tables["points"].str().ends_with("r1,train/loss,4,24,nan,2,0\n"));
}

BOOST_AUTO_TEST_CASE(an_older_database_gets_the_new_views) {
  const auto file = dir / "older.db";
  {
    Database older(file);
    make_old_database(older, 1);
  }
  SqliteRecorder newer(file);
  for (const char* view : {"run_attempts", "run_points"}) {
    Statement rows(newer.database(), std::string("SELECT count(*) FROM ") + view);
    rows.step();
    BOOST_TEST(rows.integer(0) == 0);
  }
}

BOOST_AUTO_TEST_CASE(an_export_of_a_run_without_points) {
  NewRun row;
  row.id = "e1";
  row.name = "with \"quotes\", and\nlines";
  recorder.create_run(row);
  std::ostringstream json, csv;
  export_json(queries, {"e1"}, json);
  BOOST_TEST(nlohmann::json::parse(json.str())["runs"][0]["points"].empty());
  export_csv(queries, {"e1"}, [&](const std::string&) -> std::ostream& { return csv; });
  BOOST_TEST(csv.str().find("e1,\"with \"\"quotes\"\", and\nlines\",") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
