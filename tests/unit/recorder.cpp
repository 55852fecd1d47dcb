#include "tracking/recorder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "pipeline/error.hpp"
#include "pipeline/run_folder.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;
namespace fs = std::filesystem;

const JobRef kJob{"k1", 0};

struct Fixture {
  TempDir dir;
  SqliteRecorder recorder{dir / "cifarpipe.db"};
  std::uint64_t sequence = 0;

  /// Attempt `attempt` logs "loss" at `steps`; time and value are the step unless given.
  void log(int attempt, std::vector<int> steps, const std::string& ring = "ring",
           std::int64_t time = 0) {
    std::vector<RingPoint> points;
    for (const int step : steps) {
      points.push_back({kJob, attempt, ++sequence, "loss", step,
                        time != 0 ? time : 1000 * attempt + step, static_cast<double>(step)});
    }
    recorder.store_points(ring, points, sequence);
  }
  int begin(std::optional<Cover> cover = std::nullopt) {
    return recorder.begin_attempt(kJob, "train", cover, 1);
  }
  std::string visible() {
    std::string out;
    for (const VisiblePoint& p : recorder.points(kJob)) out += std::to_string(p.step) + " ";
    check_summary();
    return out;
  }
  std::int64_t number(const char* sql) {
    Statement statement(recorder.database(), sql);
    statement.step();
    return statement.integer(0);
  }
  /// Summaries say what the points say, whatever happened to them.
  void check_summary() {
    const auto points = recorder.points(kJob);
    Statement row(recorder.database(),
                  "SELECT points, last_step, minimum, maximum FROM metric_summary JOIN metric ON "
                  "metric.id = metric_id WHERE name = 'loss'");
    if (!row.with().step()) {
      BOOST_TEST(points.empty());
      return;
    }
    double low = std::numeric_limits<double>::infinity();
    double high = -low;
    for (const VisiblePoint& p : points) {
      if (!std::isfinite(p.value)) continue;
      low = std::min(low, p.value);
      high = std::max(high, p.value);
    }
    BOOST_TEST(row.integer(0) == static_cast<std::int64_t>(points.size()));
    BOOST_REQUIRE(!points.empty());
    BOOST_TEST(row.integer(1) == points.back().step);
    BOOST_TEST(row.real(2) == low);
    BOOST_TEST(row.real(3) == high);
  }
  NewRun new_run(const std::string& id, const std::string& name) {
    NewRun run;
    run.id = id;
    run.name = name;
    run.experiment = "try";
    run.identity = "identity";
    run.folder = (dir / name).string();
    run.start_ms = 5;
    return run;
  }
};

BOOST_FIXTURE_TEST_SUITE(recorder, Fixture)

// Points.

BOOST_AUTO_TEST_CASE(without_a_checkpoint_all_earlier_points_are_hidden) {
  BOOST_TEST(begin() == 1);
  log(1, {1, 2, 3});
  BOOST_TEST(visible() == "1 2 3 ");
  BOOST_TEST(begin() == 2);
  BOOST_TEST(visible() == "");
  log(2, {1, 2});
  BOOST_TEST(visible() == "1 2 ");
  BOOST_TEST(number("SELECT count(*) FROM point") == 5);  // Kept, but hidden.
}

BOOST_AUTO_TEST_CASE(a_chain_of_checkpoints) {
  begin();
  log(1, {1, 2, 3, 4});  // Sequences 1 to 4; the checkpoint covers 1 and 2.
  begin(Cover{1, 2});
  BOOST_TEST(visible() == "1 2 ");
  log(2, {3, 4, 5});  // 5 to 7; the checkpoint covers 5 and 6, with attempt 1's.
  begin(Cover{2, 6});
  BOOST_TEST(visible() == "1 2 3 4 ");
  log(3, {5, 6});
  BOOST_TEST(visible() == "1 2 3 4 5 6 ");
}

BOOST_AUTO_TEST_CASE(going_on_twice_from_the_same_checkpoint) {
  begin();
  log(1, {1, 2, 3, 4});
  begin(Cover{1, 2});
  log(2, {3, 4, 5});
  begin(Cover{1, 2});  // Attempt 2 left no checkpoint of its own.
  BOOST_TEST(visible() == "1 2 ");
  log(3, {3});
  begin(Cover{3, 8});
  log(4, {4});
  BOOST_TEST(visible() == "1 2 3 4 ");
}

BOOST_AUTO_TEST_CASE(an_older_checkpoint_shows_its_points_again) {
  begin();
  log(1, {1, 2, 3, 4});
  begin(Cover{1, 1});
  log(2, {2});
  BOOST_TEST(visible() == "1 2 ");
  begin(Cover{1, 3});
  BOOST_TEST(visible() == "1 2 3 ");
}

BOOST_AUTO_TEST_CASE(late_points_of_an_older_attempt) {
  begin();
  log(1, {1});
  begin(Cover{1, 2});
  RingPoint point{kJob, 2, 1, "loss", 3, 77, 3.0};
  recorder.store_points("other", {{point}}, 1);
  log(1, {2, 9});  // Drained after attempt 2 began: sequence 2 is covered, 3 is not.
  BOOST_TEST(visible() == "1 2 3 ");
}

BOOST_AUTO_TEST_CASE(a_checkpoint_older_than_the_database) {
  // The database was lost; the checkpoint says that it was made in attempt 7.
  BOOST_TEST(begin(Cover{7, 40}) == 8);
  log(8, {5});
  BOOST_TEST(begin(Cover{8, 1}) == 9);
  BOOST_TEST(visible() == "5 ");
}

BOOST_AUTO_TEST_CASE(what_a_ring_gave_is_stored_once) {
  begin();
  const std::vector<RingPoint> points = {{kJob, 1, 1, "loss", 1, 1, 1.0},
                                         {kJob, 1, 2, "loss", 2, 2, 2.0}};
  recorder.store_points("ring", points, 2);
  recorder.store_points("ring", points, 2);
  recorder.store_points("ring", {}, 1);  // Never backwards.
  BOOST_TEST(recorder.drained("ring") == 2u);
  BOOST_TEST(visible() == "1 2 ");
  recorder.forget_ring("ring");
  recorder.store_points("ring", points, 2);  // Even then: they are the same points.
  BOOST_TEST(visible() == "1 2 ");
}

BOOST_AUTO_TEST_CASE(equal_points_are_kept_once) {
  begin();
  log(1, {4, 4, 4}, "ring", 1000);
  log(1, {4}, "ring", 1000);
  BOOST_TEST(visible() == "4 ");
  log(1, {4}, "ring", 1001);  // Another time is another point.
  BOOST_TEST(visible() == "4 4 ");
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const RingPoint a{kJob, 1, 100, "nan", 1, 1, kNan};
  const RingPoint b{kJob, 1, 101, "nan", 1, 1, kNan};
  const RingPoint c{kJob, 1, 102, "nan", 1, 1, 0.0};
  recorder.store_points("ring", {{a, b, c}}, 102);
  BOOST_TEST(recorder.points(kJob).size() == 4);
}

BOOST_AUTO_TEST_CASE(numbers_keep_their_bits) {
  begin();
  const double values[] = {0.1,
                           -0.1,
                           1e-310,
                           5e-324,
                           1.7976931348623157e308,
                           3.0,
                           1e15,
                           -7.0,
                           0.30000000000000004,
                           std::numeric_limits<double>::infinity(),
                           -std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()};
  std::vector<RingPoint> points;
  for (const double v : values)
    points.push_back({kJob, 1, ++sequence, "m", static_cast<int>(sequence), 1, v});
  recorder.store_points("ring", points, sequence);
  const auto stored = recorder.points(kJob);
  BOOST_REQUIRE(stored.size() == std::size(values));
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const bool same = std::memcmp(&stored[i].value, &values[i], sizeof(double)) == 0;
    BOOST_TEST(same, "value " << i << " is " << stored[i].value);
  }
  BOOST_TEST(number("SELECT count(*) FROM point WHERE value < 1e400 OR value > -1e400") == 9);
  BOOST_TEST(number("SELECT count(*) FROM metric_summary WHERE minimum = -7 AND "
                    "maximum = 1.7976931348623157e308 AND last IS NULL AND last_kind = 1") == 1);
}

BOOST_AUTO_TEST_CASE(a_kill_between_points_and_commit) {
  begin();
  log(1, {1});
  const int status = testing::in_child([&] {
    SqliteRecorder other(dir / "cifarpipe.db");
    other.begin_batch();
    const RingPoint point{kJob, 1, 2, "loss", 2, 2, 2.0};
    other.store_points("ring", {{point}}, 2);
    ::_exit(9);
  });
  BOOST_TEST(WEXITSTATUS(status) == 9);
  BOOST_TEST(recorder.drained("ring") == 1u);
  BOOST_TEST(visible() == "1 ");
}

BOOST_AUTO_TEST_CASE(a_batch_that_is_dropped_takes_its_metrics_names_with_it) {
  begin();
  const RingPoint point{kJob, 1, 1, "fresh", 2, 2, 2.0};
  {
    Batch batch(recorder);
    recorder.store_points("ring", {{point}}, 1);
  }
  recorder.store_points("ring", {{point}}, 1);
  BOOST_TEST(recorder.points(kJob).size() == 1);
}

BOOST_AUTO_TEST_CASE(many_points_at_once_some_of_them_equal) {
  begin();
  std::vector<RingPoint> points;
  const auto add = [&](const std::string& metric, int step) {
    points.push_back({kJob, 1, ++sequence, metric, step, 7, static_cast<double>(step)});
  };
  for (int i = 1; i <= 100; ++i) add(i % 3 == 0 ? "other" : "loss", i);
  add("loss", 1);  // As logged before, in this call …
  recorder.store_points("ring", points, sequence);
  points.clear();
  for (int i = 100; i <= 180; ++i) add("loss", i);  // … and 100 in the call before.
  for (int i = 130; i <= 135; ++i) add("loss", i);
  recorder.store_points("ring", points, sequence);
  BOOST_TEST(number("SELECT count(*) FROM point") == 180);
  BOOST_TEST(number("SELECT count(*) FROM metric_summary AS s WHERE points = (SELECT count(*) FROM "
                    "point WHERE metric_id = s.metric_id) AND last_step = (SELECT max(step) FROM "
                    "point WHERE metric_id = s.metric_id)") == 2);
}

BOOST_AUTO_TEST_CASE(points_that_come_back_from_the_store) {
  recorder.restore_points(kJob, {{"loss", 1, 1, 1.5}, {"loss", 2, 2, 0.5}});
  BOOST_TEST(visible() == "1 2 ");
  recorder.restore_points(kJob, {{"loss", 1, 1, 1.5}});
  BOOST_TEST(visible() == "1 ");
  begin();
  BOOST_TEST(visible() == "");
}

// Runs.

BOOST_AUTO_TEST_CASE(runs_by_name_id_and_latest) {
  recorder.create_run(new_run("aa11", "one"));
  recorder.create_run(new_run("aa22", "two"));
  NewRun child = new_run("bb33", "two/cell");
  child.parent_id = "aa22";
  recorder.create_run(child);
  BOOST_TEST(recorder.create_run(new_run("cc44", "one")).name == "one-2");
  BOOST_TEST(recorder.resolve_run("one").id == "aa11");
  BOOST_TEST(recorder.resolve_run("bb").id == "bb33");
  BOOST_TEST(recorder.resolve_run("latest").id == "cc44");
  const auto says = [&](const std::string& run) -> std::string {
    try {
      recorder.resolve_run(run);
    } catch (const Error& error) {
      BOOST_TEST(error.exit_code() == 2);
      return error.what();
    }
    return "";
  };
  BOOST_TEST(says("aa") == "'aa' is the beginning of several ids: aa22 (two), aa11 (one)");
  BOOST_TEST(says("twoo") == "there is no run 'twoo'; did you mean 'two'?");
  BOOST_TEST(says("%") == "there is no run '%'; `cifarpipe runs list` shows them");
  BOOST_TEST(says("_a") == "there is no run '_a'; `cifarpipe runs list` shows them");
  BOOST_TEST(says("") == "there is no run ''; `cifarpipe runs list` shows them");
}

BOOST_AUTO_TEST_CASE(deleted_runs_are_passed_over_but_can_be_restored) {
  recorder.create_run(new_run("aa11", "one"));
  NewRun child = new_run("bb22", "one/a");
  child.parent_id = "aa11";
  recorder.create_run(child);
  child = new_run("bb33", "one/b");
  child.parent_id = "aa11";
  recorder.create_run(child);
  BOOST_TEST(recorder.delete_run("bb22", 50) == 1);
  BOOST_TEST(recorder.delete_run("aa11", 100) == 2);
  BOOST_TEST(recorder.delete_run("aa11", 100) == 0);
  BOOST_TEST(!recorder.find_run("identity", "").has_value());
  BOOST_CHECK_THROW(recorder.resolve_run("latest"), Error);
  BOOST_TEST(recorder.resolve_run("one").id == "aa11");
  BOOST_TEST(recorder.is_deleted("bb33"));
  BOOST_TEST(recorder.restore_run("aa11") == 2);
  BOOST_TEST(recorder.is_deleted("bb22"));  // It was deleted before, and by itself.
  BOOST_TEST(recorder.find_run("identity", "")->id == "bb33");
  BOOST_TEST(recorder.restore_run("aa11") == 0);
  recorder.delete_run("bb33", 200);
  recorder.create_run(new_run("bb44", "other"));
  BOOST_TEST(recorder.resolve_run("bb").id == "bb44");  // Rather than one that is deleted.
}

BOOST_AUTO_TEST_CASE(a_rename_takes_the_children_along) {
  recorder.create_run(new_run("aa11", "one"));
  NewRun child = new_run("bb22", "one/a");
  child.parent_id = "aa11";
  recorder.create_run(child);
  recorder.annotate_run("aa11", "uno", std::nullopt, {});
  BOOST_TEST(recorder.resolve_run("bb22").name == "uno/a");
}

BOOST_AUTO_TEST_CASE(tags_are_set_and_taken_away) {
  NewRun run = new_run("aa11", "one");
  run.tags = {{"a", "1"}, {"b", "2"}};
  recorder.create_run(run);
  recorder.annotate_run("aa11", std::nullopt, std::nullopt, {{"a", ""}, {"b", "3"}});
  BOOST_TEST(number("SELECT group_concat(key || value) = 'b3' FROM run_tag") == 1);
}

BOOST_AUTO_TEST_CASE(a_stopped_stage_keeps_its_job) {
  recorder.create_run(new_run("aa11", "one"));
  RunStage stage;
  stage.name = "train";
  stage.status = "running";
  stage.job = kJob;
  recorder.put_run_stage("aa11", stage);
  stage.status = "killed";
  stage.job = {};
  recorder.put_run_stage("aa11", stage);
  const auto uses = recorder.run_uses();
  BOOST_REQUIRE(uses.size() == 1);
  BOOST_TEST(uses[0].jobs.count(kJob) == 1);
  BOOST_TEST(!recorder.run_stage_job("aa11", "train").has_value());
}

BOOST_AUTO_TEST_CASE(what_a_run_took_is_the_time_that_was_worked_on_it) {
  NewRun run = new_run("aa11", "a");
  run.start_ms = 1000;
  BOOST_TEST(took_ms(recorder.create_run(run), 1500) == 500);
  recorder.set_at_work("aa11", false, 1600);  // It waits.
  BOOST_TEST(took_ms(recorder.resolve_run("a"), 9000) == 600);
  recorder.set_at_work("aa11", true, 9000);
  recorder.set_at_work("aa11", true, 9100);  // Told twice.
  recorder.finish_run("aa11", RunStatus::killed, 9200, "");
  BOOST_TEST(took_ms(recorder.resolve_run("a"), 99'000) == 800);
  BOOST_TEST(number("SELECT round(seconds * 1000) FROM runs") == 800);
  recorder.reopen_run("aa11", 50'000);
  BOOST_TEST(number("SELECT seconds IS NULL FROM runs") == 1);
  recorder.close_dead_run(recorder.resolve_run("a"), 50'100);
  BOOST_TEST(took_ms(recorder.resolve_run("a"), 99'000) == 900);
  BOOST_TEST(recorder.resolve_run("a").start_ms == 1000);
}

BOOST_AUTO_TEST_CASE(only_runs_without_a_process_are_reaped) {
  const RunRecord dead = recorder.create_run(new_run("aa11", "dead"));
  const RunRecord live = recorder.create_run(new_run("bb22", "live"));
  RunStage stage;
  stage.name = "train";
  stage.status = "running";
  recorder.put_run_stage("aa11", stage);
  { RunFolder::open(dead.folder); }
  const RunFolder held = RunFolder::open(live.folder);
  reap_dead_runs(recorder);
  BOOST_TEST((recorder.resolve_run("dead").status == RunStatus::killed));
  BOOST_TEST((recorder.resolve_run("live").status == RunStatus::running));
  BOOST_TEST(number("SELECT count(*) FROM run_stage WHERE status = 'killed'") == 1);
  // Somebody went on with the run between the look at its lock and the update: left alone.
  const RunRecord again = recorder.reopen_run("aa11", 9);
  recorder.close_dead_run(dead, 7);
  BOOST_TEST((recorder.resolve_run("dead").status == RunStatus::running));
  recorder.close_dead_run(again, 7);
  BOOST_TEST((recorder.resolve_run("dead").status == RunStatus::killed));
}

BOOST_AUTO_TEST_CASE(a_live_run_of_a_store_that_lies_elsewhere_now) {
  // Recorded by a process that sees the store at another path: in a container, or before a move.
  NewRun run = new_run("aa11", "live");
  run.folder = "/another/place/a-run";
  recorder.create_run(run);
  const RunFolder held = RunFolder::open(dir / "a-run");
  BOOST_TEST(recorder.resolve_run("live").folder == (dir / "a-run").string());
  BOOST_TEST(recorder.find_run(run.identity, run.forced)->folder == (dir / "a-run").string());
  reap_dead_runs(recorder);
  BOOST_TEST((recorder.resolve_run("live").status == RunStatus::running));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
