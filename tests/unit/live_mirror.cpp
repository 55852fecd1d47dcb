#include "tracking/live_mirror.hpp"

#include <boost/test/unit_test.hpp>
#include <functional>

#include "tests/unit/mirror_fixture.hpp"

namespace cifarpipe {
namespace {

using testing::FakeFault;
using testing::kTrain;
using Kind = FakeFault::Kind;

struct Fixture : testing::MirrorFixture {
  LiveMirrorOptions options() {
    LiveMirrorOptions out;
    out.runs_dir = dir.path();
    out.settings = settings();
    out.runs = {"a1"};
    out.interval = std::chrono::milliseconds(10);
    return out;
  }
  /// Within ten seconds.
  static bool eventually(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!holds()) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  }
  bool is_there(std::size_t points) {
    return eventually([&] {
      const auto data = server.data();
      return !data.runs.empty() && data.runs.front().points.size() == points;
    });
  }
};

BOOST_FIXTURE_TEST_SUITE(live_mirror, Fixture)

BOOST_AUTO_TEST_CASE(it_follows_a_run_to_its_end) {
  make_run();
  LiveMirror live(options());
  const int attempt = begin();
  log(attempt, "loss", 1, 10);
  save_checkpoint({attempt, 6});
  log(attempt, "loss", 11, 12);  // So that there is a commit after the checkpoint.
  BOOST_TEST(is_there(6));
  stage("train", kTrain, "finished");
  BOOST_TEST(is_there(12));
  BOOST_TEST(!live.done());
  end(RunStatus::finished);
  live.finish();
  BOOST_TEST(eventually([&] { return live.done(); }));
  live.stop();
  BOOST_TEST(remote().status == "FINISHED");
  check_points(remote());
  BOOST_TEST(unsent().none());
  BOOST_TEST(!live.news());
}

BOOST_AUTO_TEST_CASE(a_server_that_hangs_is_left_at_once) {
  finished_run();
  server.fail({Kind::hang, "", -1});
  LiveMirror live(options());
  BOOST_TEST(server.wait_for("/version", 1));
  live.finish();
  BOOST_TEST(!live.done());
  BOOST_TEST(testing::seconds_of([&] { live.stop(); }) < 2);
  BOOST_TEST(unsent().points == 2501);
}

BOOST_AUTO_TEST_CASE(a_server_that_comes_late) {
  finished_run();
  server.stop();
  LiveMirror live(options());
  std::optional<std::string> news;
  BOOST_TEST(eventually([&] { return (news = live.news()).has_value(); }));
  BOOST_TEST(news.value_or("").find("`cifarpipe sync`") != std::string::npos);
  server.start();
  live.finish();
  BOOST_TEST(eventually([&] { return live.done(); }));
  BOOST_TEST(!live.news());  // Said once.
  check_points(remote());
}

BOOST_AUTO_TEST_CASE(a_server_that_denies_is_not_asked_again) {
  finished_run();
  server.fail({Kind::answer, "", -1, {403, "Permission denied", "text/plain", {}}});
  LiveMirror live(options());
  BOOST_TEST(eventually([&] { return live.done(); }));
  const std::string news = live.news().value_or("");
  BOOST_TEST(news.find("403") != std::string::npos);
  BOOST_TEST(std::count(news.begin(), news.end(), '\n') == 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
