#include "tracking/mirror_points.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tests/unit/mirror_fixture.hpp"

namespace cifarpipe {
namespace {

using testing::FakeData;
using testing::FakePoint;
using testing::FakeRun;
using testing::kTest;
using testing::kTrain;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

struct Fixture : testing::MirrorFixture {
  /// "1 2 3 ": the steps of a metric there.
  std::string steps(const std::string& key = "train/loss") {
    std::string out;
    for (const FakePoint& p : points(remote(), key)) out += std::to_string(p.step) + " ";
    return out;
  }
  std::string tag(const std::string& key) {
    const auto tags = remote().tags;
    const auto found = tags.find(key);
    return found == tags.end() ? "" : found->second;
  }
};

BOOST_FIXTURE_TEST_SUITE(mirror_points, Fixture)

BOOST_AUTO_TEST_CASE(an_unfinished_stage_is_sent_up_to_its_checkpoint) {
  make_run();
  const int attempt = begin();
  log(attempt, "loss", 1, 10);
  bring();
  BOOST_TEST(steps() == "");
  BOOST_TEST(unsent().points == 0);
  save_checkpoint({attempt, 5});
  bring();
  BOOST_TEST(steps() == "1 2 3 4 5 ");
  BOOST_TEST(tag("mlflow.runName") == "one");
  BOOST_TEST(remote().status == "RUNNING");
  save_checkpoint({attempt, 8});
  bring();
  BOOST_TEST(steps() == "1 2 3 4 5 6 7 8 ");
  stage("train", kTrain, "finished");
  bring();
  BOOST_TEST(steps() == "1 2 3 4 5 6 7 8 9 10 ");
  BOOST_TEST(remote().status == "RUNNING");  // Other stages follow.
}

BOOST_AUTO_TEST_CASE(the_tail_goes_when_the_run_has_ended) {
  make_run();
  const int attempt = begin();
  log(attempt, "loss", 1, 4);
  log(attempt, "images_per_second", 1, 4);
  save_checkpoint({attempt, 2});  // Two of loss.
  stage("train", kTrain, "killed");
  end(RunStatus::killed);
  bring();
  BOOST_TEST(steps() == "1 2 3 4 ");
  BOOST_TEST(steps("train/images_per_second") == "");  // It would be another one when it resumes.
  BOOST_TEST(remote().status == "KILLED");
  BOOST_TEST(remote().end_ms == clock);
  BOOST_TEST(unsent().none());
}

BOOST_AUTO_TEST_CASE(the_tail_waits_while_another_command_does_the_job) {
  make_run();
  const int attempt = begin();
  log(attempt, "loss", 1, 4);
  end(RunStatus::killed);
  {
    const auto lock = Lock::try_lock(store.lock_file(kTrain));
    bring();
    BOOST_TEST(steps() == "");
  }
  bring();
  BOOST_TEST(steps() == "1 2 3 4 ");
}

// What a resumed attempt makes again, equal as it is, is there once, under its first time.
BOOST_AUTO_TEST_CASE(a_resumed_attempt) {
  make_run();
  log(begin(), "loss", 1, 10);
  log(1, "images_per_second", 1, 10);
  save_checkpoint({1, 5});
  stage("train", kTrain, "killed");
  end(RunStatus::killed);
  bring();
  const auto before = points(remote(), "train/loss");
  BOOST_TEST(before.size() == 10u);

  recorder.reopen_run("a1", ++clock);
  BOOST_TEST(begin(kTrain, Cover{1, 5}) == 2);
  log(2, "loss", 6, 12);
  log(2, "images_per_second", 6, 12);
  bring();
  BOOST_TEST(remote().status == "RUNNING");
  stage("train", kTrain, "finished");
  end(RunStatus::finished);
  bring();
  const auto after = points(remote(), "train/loss");
  BOOST_REQUIRE(after.size() == 12u);
  for (std::size_t i = 0; i < before.size(); ++i) BOOST_TEST((after[i] == before[i]));
  check_points(remote());
  BOOST_TEST(remote().status == "FINISHED");
}

BOOST_AUTO_TEST_CASE(resumed_again_and_again) {
  make_run();
  begin();
  log(1, "loss", 1, 8);
  end(RunStatus::killed);
  bring();
  recorder.reopen_run("a1", ++clock);
  begin();  // Without a checkpoint, from the beginning.
  log(2, "loss", 1, 6);
  save_checkpoint({2, sequence - 1});  // Up to step 5.
  end(RunStatus::failed);
  bring();
  recorder.reopen_run("a1", ++clock);
  begin(kTrain, Cover{2, sequence - 1});
  log(3, "loss", 6, 9);
  stage("train", kTrain, "finished");
  end(RunStatus::finished);
  bring();
  check_points(remote());
  // A server that has seen nothing of it gets the same.
  const auto all = points(remote(), "train/loss");
  server.edit([](FakeData& data) { data = {}; });
  bring();
  BOOST_TEST((points(remote(), "train/loss") == all));
}

BOOST_AUTO_TEST_CASE(a_resumed_attempt_that_makes_something_else) {
  make_run();
  begin();
  log(1, "loss", 1, 3);
  end(RunStatus::killed);
  bring();
  recorder.reopen_run("a1", ++clock);
  begin();
  log(2, "loss", 1, 3, [](int step) { return step == 2 ? 7.0 : 1.0 / step; });
  stage("train", kTrain, "finished");
  end(RunStatus::finished);
  bring();
  BOOST_TEST(steps() == "1 2 2 3 ");  // MLflow takes nothing back; docs/tracking.md says so.
}

BOOST_AUTO_TEST_CASE(points_that_come_back_to_sight) {
  make_run();
  begin();
  log(1, "loss", 1, 6);
  save_checkpoint({1, 2});
  bring();
  BOOST_TEST(steps() == "1 2 ");
  begin(kTrain, Cover{1, 2});
  log(2, "other", 1, 3);
  save_checkpoint({2, sequence});
  bring();
  // The checkpoint of attempt 2 was damaged, and an older one that covers more of attempt 1 not.
  begin(kTrain, Cover{1, 4});
  log(3, "loss", 5, 6);
  stage("train", kTrain, "finished");
  bring();
  BOOST_TEST(steps() == "1 2 3 4 5 6 ");
}

BOOST_AUTO_TEST_CASE(another_job_takes_the_stage_s_place) {
  make_run();
  log(begin(), "loss", 1, 5);
  stage("train", kTrain, "finished");
  bring();
  // Forced: a new generation makes the same again, and one point more.
  const JobRef again{kTrain.key, 1};
  log(
      begin(again), "loss", 1, 6, [](int step) { return 1.0 / step; }, again);
  stage("train", again, "finished");
  end(RunStatus::finished);
  bring();
  BOOST_TEST(steps() == "1 2 3 4 5 6 ");
  check_points(remote(), again);
  // It was the same after all: the stage points to the first one again.
  stage("train", kTrain, "finished");
  BOOST_TEST(bring().points == 0);
}

BOOST_AUTO_TEST_CASE(stages_share_a_job) {
  make_run();
  log(begin(), "loss", 1, 3);
  stage("train", kTrain, "finished");
  stage("second", kTrain, "finished");
  end(RunStatus::finished);
  bring();
  BOOST_TEST(steps("train/loss") == "1 2 3 ");
  BOOST_TEST(steps("second/loss") == "1 2 3 ");
}

BOOST_AUTO_TEST_CASE(what_is_not_finite) {
  make_run();
  const auto odd = [](int step) { return step == 2 ? kNan : step == 3 ? -kInf : 1.0 / step; };
  log(begin(), "loss", 1, 6, [&](int step) { return step > 4 ? kNan : odd(step); });
  log(1, "always", 0, 0, [](int) { return kInf; });
  save_checkpoint({1, sequence});
  bring();
  // In the middle they are there; as the last ones they would hide the metric.
  BOOST_TEST(steps() == "1 2 3 4 ");
  BOOST_TEST(points(remote(), "train/loss")[1].is_nan);
  BOOST_TEST(points(remote(), "train/loss")[2].value < -1e308);
  BOOST_TEST(steps("train/always") == "");
  BOOST_TEST(tag("cifarpipe.nonfinite") ==
             "train/always: inf at step 0 (1 point); train/loss: nan at steps 5 to 6 (2 points)");
  // It recovers.
  log(1, "loss", 7, 8);
  log(1, "always", 1, 1);
  save_checkpoint({1, sequence});
  bring();
  BOOST_TEST(steps() == "1 2 3 4 5 6 7 8 ");
  BOOST_TEST(steps("train/always") == "0 1 ");
  BOOST_TEST(tag("cifarpipe.nonfinite") == "");
  stage("train", kTrain, "finished");
  end(RunStatus::finished);
  BOOST_TEST(bring().points == 0);
}

BOOST_AUTO_TEST_CASE(names_that_mlflow_does_not_take) {
  make_run();
  begin();
  log(1, "b#", 1, 1);
  save_checkpoint({1, sequence});
  bring();
  log(1, "b%", 1, 1);
  log(1, "b_", 1, 1);  // Would fit as it is, but the name is taken by now.
  stage("train", kTrain, "finished");
  bring();
  std::set<std::string> keys;
  for (const FakePoint& p : remote().points) keys.insert(p.key);
  BOOST_TEST(keys.size() == 3u);
  BOOST_TEST(keys.count("train/b_") == 1u);
  BOOST_TEST(points(remote(), "train/b_").front().time_ms < clock - 1);  // That of "b#".
}

BOOST_AUTO_TEST_CASE(a_refused_metric_does_not_hold_up_the_rest) {
  make_run();
  log(begin(), "loss", 1, 700);
  log(1, "bad", 1, 300);
  log(1, "good", 1, 300);
  stage("train", kTrain, "finished");
  server.intercept = [](const testing::FakeRequest& request) -> std::optional<testing::FakeAnswer> {
    if (request.body.find("train/bad") == std::string::npos) return std::nullopt;
    return testing::FakeAnswer{
        400,
        R"({"error_code": "INVALID_PARAMETER_VALUE", "message": "not this one"})",
        "application/json",
        {}};
  };
  bring();
  BOOST_TEST(points(remote(), "train/loss").size() == 700u);
  BOOST_TEST(points(remote(), "train/good").size() == 300u);
  BOOST_REQUIRE(parked().size() == 1u);
  BOOST_TEST(parked().front().item == "metric train/bad");
  BOOST_TEST(parked().front().reason.find("not this one") != std::string::npos);
  server.intercept = nullptr;
  bring_again();
  BOOST_TEST(parked().empty());
  check_points(remote());
}

BOOST_AUTO_TEST_CASE(system_metrics_are_sent_as_they_come) {
  make_run();
  Database& db = recorder.database();
  db.execute(
      "INSERT INTO metric (name) VALUES ('system/cpu_utilization_percentage');"
      "INSERT INTO run_point_summary SELECT 'a1', id, 3, 1, 0, 3, 3, 1, 1 FROM metric "
      "WHERE name = 'system/cpu_utilization_percentage';");
  const auto sample = [&](int step) {
    Statement(db,
              "INSERT INTO run_point SELECT 'a1', id, ?1, ?1 + 100, 80.5, 0 FROM metric "
              "WHERE name = 'system/cpu_utilization_percentage'")
        .with(step)
        .run();
  };
  sample(0);
  sample(1);
  BOOST_TEST(unsent().points == 2);
  bring();
  BOOST_TEST(steps("system/cpu_utilization_percentage") == "0 1 ");
  sample(2);
  BOOST_TEST(bring().points == 1);
  BOOST_TEST(steps("system/cpu_utilization_percentage") == "0 1 2 ");
  BOOST_TEST(unsent().points == 0);
}

BOOST_AUTO_TEST_CASE(a_long_parameter_is_there_in_full) {
  NewRun run = row("a1", "one");
  run.params = {{"train.text", std::string(7000, 'x')}};
  recorder.create_run(run);
  bring();
  BOOST_TEST(remote().params.at("train.text").size() < 6010u);
  bool found = false;
  for (const auto& file : server.data().artifacts) {
    found = found || (file.first.ends_with("full_values/params/train.text.txt") &&
                      file.second.content == std::string(7000, 'x'));
  }
  BOOST_TEST(found);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
