#include "tracking/mirror.hpp"

#include <fmt/format.h>

#include <boost/test/unit_test.hpp>

#include "tests/unit/mirror_fixture.hpp"

namespace cifarpipe {
namespace {

using mlflow::CallError;
using mlflow::Failure;
using testing::FakeAnswer;
using testing::FakeData;
using testing::FakeFault;
using testing::FakeMlflow;
using testing::FakeRun;
using testing::kTrain;
using Kind = FakeFault::Kind;

bool is_points(const testing::FakeRequest& request) {
  return request.path.ends_with("runs/log-batch") &&
         request.body.find("train/loss") != std::string::npos;
}

BOOST_FIXTURE_TEST_SUITE(mirror, testing::MirrorFixture)

BOOST_AUTO_TEST_CASE(everything_is_there_once) {
  finished_run();
  BOOST_TEST(unsent().points == 2501);
  const MirrorCounts sent = bring();
  BOOST_TEST(sent.runs == 1);
  BOOST_TEST(sent.points == 2501);
  const FakeRun there = remote();
  check_points(there);
  BOOST_TEST(there.name == "one");
  BOOST_TEST(there.status == "FINISHED");
  BOOST_TEST(there.start_ms == 1'700'000'000'000);
  BOOST_TEST(there.end_ms == clock);
  BOOST_TEST(there.params.at("train.lr") == "0.001");
  BOOST_TEST(there.params.at("train.epochs") == "20");
  BOOST_TEST(there.tags.at("who") == "me");
  BOOST_TEST(unsent().none());

  server.forget_requests();
  BOOST_TEST(bring().none());
  BOOST_TEST(server.count("runs/get") == 1u);  // Is it still there? Nothing else is asked.
  BOOST_TEST(server.count("runs/log-batch") == 0u);
  BOOST_TEST(server.count("runs/update") == 0u);
}

BOOST_AUTO_TEST_CASE(a_create_whose_answer_is_lost) {
  finished_run();
  server.fail({Kind::lose, "runs/create"});
  bring();
  check_points(remote());
  BOOST_TEST(server.data().runs.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_create_after_which_the_process_is_gone) {
  finished_run();
  server.fail({Kind::lose, "runs/create"});
  server.fail({Kind::close, "runs/search", -1, {}, 1});  // All but the first.
  BOOST_CHECK_THROW(bring(), CallError);
  BOOST_TEST(server.data().runs.size() == 1u);
  BOOST_TEST(unsent().points == 2501);
  server.heal();
  bring();
  check_points(remote());
  BOOST_TEST(server.data().runs.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_create_that_takes_place_too_late) {
  finished_run();
  server.fail({Kind::close, "runs/create"});
  bring();
  const FakeRun kept = remote();
  // The request that was believed lost is carried out now.
  server.edit([&](FakeData& data) {
    FakeRun late = kept;
    late.id = "late";
    late.points.clear();
    data.runs.push_back(late);
  });
  bring();
  BOOST_TEST(remote().id == kept.id);
  BOOST_TEST(server.data().run("late")->deleted);
  check_points(remote());
}

BOOST_AUTO_TEST_CASE(a_server_that_comes_up_empty) {
  finished_run();
  bring();
  server.edit([](FakeData& data) { data = {}; });
  bring();
  check_points(remote());
  BOOST_TEST(remote().params.size() >= 2u);
  BOOST_TEST(remote().status == "FINISHED");
  BOOST_TEST(unsent().none());
}

BOOST_AUTO_TEST_CASE(another_server_at_the_same_address) {
  finished_run();
  bring();
  const std::string id = remote().id;
  // A run of this id is there, but it is somebody else's.
  server.edit([&](FakeData& data) {
    data.run(id)->tags["cifarpipe.run_uid"] = "b2";
    data.run(id)->points.clear();
  });
  bring();
  BOOST_TEST(remote().id != id);
  check_points(remote());
  BOOST_TEST(server.data().run(id)->points.empty());
}

BOOST_AUTO_TEST_CASE(an_empty_server_is_noticed_in_mid_flight) {
  finished_run();
  // Emptied after the first batch of points.
  int batches = 0;
  server.intercept = [&](const testing::FakeRequest& request) -> std::optional<FakeAnswer> {
    if (is_points(request) && ++batches == 2) {
      server.edit([](FakeData& data) { data = {}; });
    }
    return std::nullopt;
  };
  bring();
  check_points(remote());
  BOOST_TEST(remote().tags.at("who") == "me");
}

// The server dies at every request in turn, before it is carried out and after; another process
// goes on. What is there in the end is what an undisturbed process brings.
BOOST_AUTO_TEST_CASE(killed_at_every_request) {
  finished_run();
  bring();
  const FakeRun undisturbed = remote();
  for (const Kind kind : {Kind::close, Kind::lose}) {
    for (int n = 0;; ++n) {
      BOOST_REQUIRE(n < 60);
      server.edit([](FakeData& data) { data = {}; });
      MirrorLedger(recorder.database(), server.uri()).forget("a1");
      server.fail({kind, "", -1, {}, n});
      bool whole = true;
      try {
        bring();
      } catch (const CallError& error) {
        BOOST_TEST((error.failure() == Failure::unreachable));
        whole = false;
      }
      server.heal();
      bring();
      const FakeRun there = remote();
      BOOST_TEST_CONTEXT("request " << n) {
        BOOST_TEST((there.points == undisturbed.points));
        BOOST_TEST((there.params == undisturbed.params));
        BOOST_TEST((there.tags == undisturbed.tags));
        BOOST_TEST(there.status == undisturbed.status);
        BOOST_TEST(unsent().none());
      }
      if (whole) break;
    }
  }
}

BOOST_AUTO_TEST_CASE(the_mark_is_never_ahead_of_the_server) {
  finished_run();
  int batches = 0;
  server.intercept = [&](const testing::FakeRequest& request) -> std::optional<FakeAnswer> {
    if (!is_points(request) || ++batches < 3) return std::nullopt;
    return FakeAnswer{503, "down", "text/plain", {}};
  };
  BOOST_CHECK_THROW(bring(), CallError);
  BOOST_TEST(remote().points.size() == 2000u);
  BOOST_TEST(unsent().points == 501);
  server.intercept = nullptr;
  BOOST_TEST(bring().points == 501);
  check_points(remote());
}

BOOST_AUTO_TEST_CASE(two_servers) {
  finished_run();
  FakeMlflow other;
  mlflow::Settings to_other = settings();
  to_other.uri = other.uri();
  bring();
  BOOST_TEST(bring_to(to_other).points == 2501);
  check_points(remote());
  check_points(remote_in(other, "a1"));
  BOOST_TEST(bring().none());
  BOOST_TEST(bring_to(to_other).none());
}

BOOST_AUTO_TEST_CASE(changes_are_carried) {
  finished_run();
  bring();
  recorder.annotate_run("a1", "another", "said later", {{"who", ""}, {"mood", "good"}});
  BOOST_TEST(unsent().runs == 1);
  bring();
  FakeRun there = remote();
  BOOST_TEST(there.name == "another");
  BOOST_TEST(there.tags.at("mlflow.note.content").starts_with("said later"));
  BOOST_TEST(there.tags.at("mood") == "good");
  BOOST_TEST(there.tags.count("who") == 0u);
  BOOST_TEST(there.status == "FINISHED");

  recorder.delete_run("a1", ++clock);
  BOOST_TEST(unsent().runs == 1);
  bring();
  BOOST_TEST(server.data().run(there.id)->deleted);
  BOOST_TEST(unsent().none());
  recorder.restore_run("a1");
  bring();
  BOOST_TEST(remote().id == there.id);
  check_points(remote());
  BOOST_TEST(unsent().none());
}

BOOST_AUTO_TEST_CASE(a_deleted_run_is_not_made_there) {
  finished_run();
  recorder.delete_run("a1", ++clock);
  bring();
  BOOST_TEST(server.data().runs.empty());
}

BOOST_AUTO_TEST_CASE(deleted_there_but_not_here) {
  finished_run();
  bring();
  const std::string id = remote().id;
  server.edit([&](FakeData& data) { data.run(id)->deleted = true; });
  recorder.annotate_run("a1", std::nullopt, "news", {});
  bring();
  BOOST_REQUIRE(parked().size() == 1u);
  BOOST_TEST(parked().front().reason == "it was deleted in MLflow, but not here");
  BOOST_TEST(parked().front().way_out == "restore it there, or `cifarpipe runs delete one`");
  server.edit([&](FakeData& data) { data.run(id)->deleted = false; });
  bring_again();
  BOOST_TEST(parked().empty());
  BOOST_TEST(remote().tags.at("mlflow.note.content").starts_with("news"));
  // The other way out.
  server.edit([&](FakeData& data) { data.run(id)->deleted = true; });
  recorder.annotate_run("a1", std::nullopt, "more news", {});
  bring();
  BOOST_TEST(parked().size() == 1u);
  recorder.delete_run("a1", ++clock);
  bring_again();
  BOOST_TEST(parked().empty());
  BOOST_TEST(unsent().none());
}

BOOST_AUTO_TEST_CASE(a_parameter_that_is_another_there) {
  finished_run();
  mlflow::Client client(settings());
  const auto given = client.create_run(client.experiment("theirs"), "given", 5, {});
  client.log_batch(given.id, {}, {{"train.lr", "9"}});
  MirrorOptions options;
  options.adopt_run = "a1";
  options.adopt_remote = given.id;
  bring("a1", options);
  const FakeRun there = remote();
  BOOST_TEST(there.id == given.id);  // MLFLOW_RUN_ID: into that one.
  BOOST_TEST(there.name == "given");
  BOOST_TEST(there.params.at("train.lr") == "9");
  BOOST_TEST(there.params.at("train.epochs") == "20");  // All the rest is there.
  check_points(there);
  BOOST_REQUIRE(parked().size() == 1u);
  BOOST_TEST(parked().front().item == "parameter train.lr");
  BOOST_TEST(!parked().front().way_out.empty());
  server.forget_requests();
  bring();  // Not tried again
  BOOST_TEST(server.count("runs/log-batch") == 0u);
  bring_again();  // unless asked to.
  BOOST_TEST(server.count("runs/log-batch") > 0u);
  BOOST_TEST(parked().size() == 1u);
}

BOOST_AUTO_TEST_CASE(another_run_is_not_adopted) {
  finished_run();
  bring();
  make_run("b2", "two");
  MirrorOptions options;
  options.adopt_run = "b2";
  options.adopt_remote = remote().id;
  bring("b2", options);
  BOOST_TEST(remote("b2").id != remote().id);
}

BOOST_AUTO_TEST_CASE(children_know_their_parent) {
  make_run("p0", "parent");
  NewRun near = row("c1", "near");
  near.parent_id = "p0";
  recorder.create_run(near);
  NewRun far = row("c2", "far");
  far.parent_id = "p0";
  far.experiment = "elsewhere";
  recorder.create_run(far);
  bring("c1");  // Makes the parent first.
  BOOST_TEST(remote("c1").tags.at("mlflow.parentRunId") == remote("p0").id);
  bring("c2");
  BOOST_TEST(remote("c2").tags.count("mlflow.parentRunId") == 0u);
  BOOST_TEST(remote("c2").tags.at("cifarpipe.parent") == "parent");
  // The server loses the parent: the child is told who it is now.
  const std::string before = remote("p0").id;
  server.edit([&](FakeData& data) {
    std::erase_if(data.runs, [&](const FakeRun& run) { return run.id == before; });
  });
  bring("p0");
  bring("c1");
  BOOST_TEST(remote("p0").id != before);
  BOOST_TEST(remote("c1").tags.at("mlflow.parentRunId") == remote("p0").id);
}

BOOST_AUTO_TEST_CASE(a_deleted_experiment_is_parked) {
  finished_run();
  server.edit([](FakeData& data) { data.experiments["5"] = {"try", true, {}}; });
  bring();
  BOOST_TEST(server.data().runs.empty());
  BOOST_REQUIRE(parked().size() == 1u);
  BOOST_TEST(parked().front().item == "the run");
  BOOST_TEST(unsent().runs == 1);
  server.edit([](FakeData& data) { data.experiments["5"].deleted = false; });
  bring();
  BOOST_TEST(server.data().runs.empty());
  bring_again();
  check_points(remote());
  BOOST_TEST(parked().empty());
}

BOOST_AUTO_TEST_CASE(another_process_is_sending_it) {
  finished_run();
  bring();
  const auto lock = Lock::try_lock(dir / "store/locks/mlflow-1-a1.lock");
  BOOST_REQUIRE(lock);
  Database db(dir / "cifarpipe.db");
  mlflow::Client client(settings());
  Mirror mirror(db, store, client);
  BOOST_TEST(!mirror.bring("a1"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
