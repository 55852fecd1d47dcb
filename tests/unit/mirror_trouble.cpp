// One thing that a server fails at holds up nothing else, and what is on the server stays there
// whatever becomes of the store's copy.
#include "tests/unit/mirror_fixture.hpp"
#include "tracking/mirror_rules.hpp"

namespace cifarpipe {
namespace {

using mlflow::CallError;
using mlflow::Failure;
using mlflow::Pairs;
using testing::FakeAnswer;
using testing::FakeRequest;

const FakeAnswer kFailed{
    500, R"({"error_code":"INTERNAL_ERROR","message":"disk?"})", "application/json", {}};

struct Fixture : testing::MirrorFixture {
  /// From now on the server fails at every request with this in its path and that in its body.
  void fail_at(const std::string& path, const std::string& body) {
    server.intercept = [=](const FakeRequest& request) -> std::optional<FakeAnswer> {
      const bool hit = request.path.find(path) != std::string::npos &&
                       request.body.find(body) != std::string::npos;
      return hit ? std::optional<FakeAnswer>(kFailed) : std::nullopt;
    };
  }
};

BOOST_FIXTURE_TEST_SUITE(mirror_trouble, Fixture)

BOOST_AUTO_TEST_CASE(one_call_that_fails) {
  finished_run();
  fail_at("log-batch", R"("who")");  // The run's tags.
  bring();
  check_points(remote());
  BOOST_TEST(remote().status == "FINISHED");
  BOOST_REQUIRE(parked().size() == 1u);
  BOOST_TEST(parked().front().item == "tags");
  BOOST_TEST(parked().front().way_out.find("the server's own log") == 0u);
  server.intercept = nullptr;
  bring_again();
  BOOST_TEST(parked().empty());
  BOOST_TEST(remote().tags.at("who") == "me");
}

BOOST_AUTO_TEST_CASE(a_server_that_fails_at_everything) {
  finished_run();
  fail_at("log-batch", "");
  mlflow::Client client(settings());
  Mirror mirror(recorder.database(), store, client);
  try {
    mirror.bring("a1");
    BOOST_ERROR("nothing was thrown");
  } catch (const CallError& error) {
    BOOST_TEST(error.of_one_call());
    mirror.put_off("a1", error);  // So that the next run has its turn.
  }
  BOOST_TEST(mirror.has_put_off());
  server.intercept = nullptr;
  bring_again();
  BOOST_TEST(parked().empty());
  check_points(remote());
}

BOOST_AUTO_TEST_CASE(two_addresses_of_one_server) {
  finished_run();
  const auto other = Lock::try_lock(dir / "store/locks/mlflow-create-a1.lock");
  BOOST_REQUIRE(other);
  mlflow::Client client(settings());
  Mirror mirror(recorder.database(), store, client);
  BOOST_TEST(!mirror.bring("a1"));
  BOOST_TEST(server.count("runs/create") == 0u);
}

BOOST_AUTO_TEST_CASE(an_experiment_that_is_not_there) {
  NewRun run = row("a1", "one");
  run.facts = {{"mlflow.uri", server.uri()}, {"mlflow.experiment_id", "999"}};
  recorder.create_run(run);
  end(RunStatus::finished);
  bring();
  BOOST_REQUIRE(parked().size() == 1u);
  BOOST_TEST(parked().front().way_out.find("MLFLOW_EXPERIMENT_NAME") != std::string::npos);
  mlflow::Settings named = settings();
  named.experiment = "another";
  MirrorOptions again;
  again.retry_parked = true;
  bring_to(named, "a1", again);
  BOOST_TEST(parked().empty());
  BOOST_TEST(remote().status == "FINISHED");
}

BOOST_AUTO_TEST_CASE(tags_of_the_mirror_are_its_own) {
  make_run();
  recorder.annotate_run("a1", std::nullopt, std::nullopt,
                        {{"mlflow.parentRunId", "deadbeef"}, {"cifarpipe.run_uid", "x"}});
  bring();
  BOOST_TEST(remote().tags.count("mlflow.parentRunId") == 0u);
}

BOOST_AUTO_TEST_CASE(pictures_and_tables_stay_listed) {
  const std::string key = "mlflow.loggedArtifacts";
  const Pairs there = {{key,
                        R"([{"path":"a.json","type":"table"},{"path":"b.json","type":"table"},)"
                        R"({"path":"theirs.json","type":"table"}])"}};
  const std::map<std::string, std::string> sent = {
      {"a.json", "1"}, {"b.json", "2"}, {"images/x+step+0+timestamp+5+u.png", "3"}};
  Pairs tags = {{key, R"([{"path":"b.json","type":"table"}])"}};
  mirror::keep_logged(tags, there, sent);
  BOOST_TEST(*mirror::find_tag(tags, key) ==
             R"([{"path":"b.json","type":"table"},{"path":"a.json","type":"table"}])");
  BOOST_TEST(*mirror::find_tag(tags, "mlflow.loggedImages") == "True");
  Pairs none;
  mirror::keep_logged(none, there, sent);
  BOOST_TEST(mirror::find_tag(none, key) != nullptr);
  Pairs fresh;
  mirror::keep_logged(fresh, {}, {});
  BOOST_TEST(fresh.empty());
}

BOOST_AUTO_TEST_CASE(a_picture_made_again_is_the_same) {
  BOOST_TEST(mirror::timeless("images/k+step+3+timestamp+17+u-1+compressed.png") ==
             "images/k+step+3+u-1+compressed.png");
  BOOST_TEST(mirror::timeless("images/plain.png") == "images/plain.png");
  BOOST_TEST(mirror::timeless("a+timestamp+1+b") == "a+timestamp+1+b");
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
