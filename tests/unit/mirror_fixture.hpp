// A store with a run in it that tests let go on by hand, a server that misbehaves on command, and
// mirrors that come and go between them as processes do.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "pipeline/checkpoints.hpp"
#include "pipeline/digest.hpp"
#include "tests/unit/mlflow_fixture.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/mirror.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::testing {

inline const JobRef kTrain{sha256("train"), 0};
inline const JobRef kTest{sha256("test"), 0};

struct MirrorFixture {
  TempDir dir;
  Store store{dir.path(), real_file_ops()};
  SqliteRecorder recorder{dir / "cifarpipe.db"};
  FakeMlflow server;
  std::uint64_t sequence = 0;
  std::int64_t clock = 1'700'000'000'000;

  // The run.

  NewRun row(const std::string& id, const std::string& name) {
    NewRun run;
    run.id = id;
    run.name = name;
    run.experiment = "try";
    run.identity = id;
    run.folder = (dir / name).string();
    run.command = "cifarpipe run a.toml";
    run.note = "a note";
    run.start_ms = clock;
    run.params = {{"train.lr", 0.001}, {"train.epochs", std::int64_t{20}}};
    run.tags = {{"who", "me"}};
    return run;
  }
  void make_run(const std::string& id = "a1", const std::string& name = "one") {
    recorder.create_run(row(id, name));
  }
  void stage(const std::string& name, const JobRef& job, const std::string& status,
             const std::string& run = "a1") {
    RunStage stage;
    stage.name = name;
    stage.uses = name;
    stage.action = "run";
    stage.status = status;
    stage.job = job;
    recorder.put_run_stage(run, stage);
  }
  int begin(const JobRef& job = kTrain, std::optional<Cover> cover = std::nullopt) {
    const int attempt = recorder.begin_attempt(job, "train", cover, ++clock);
    stage("train", job, "running");
    return attempt;
  }
  /// One point a step in [from, to]; `value` of the step. Every point has a time of its own.
  void log(
      int attempt, const std::string& metric, int from, int to,
      const std::function<double(int)>& value = [](int step) { return 1.0 / step; },
      const JobRef& job = kTrain) {
    std::vector<RingPoint> points;
    for (int step = from; step <= to; ++step) {
      points.push_back({job, attempt, ++sequence, metric, step, ++clock, value(step)});
    }
    recorder.store_points("ring", points, sequence);
  }
  void save_checkpoint(const Cover& cover, const JobRef& job = kTrain) {
    checkpoints::save(
        store.partial_dir(job), cover,
        [](const std::filesystem::path& at) { real_file_ops().write_file(at / "w", "weights"); },
        real_file_ops());
  }
  void end(RunStatus status, const std::string& run = "a1") {
    recorder.finish_run(run, status, ++clock, "");
  }
  /// A whole run: 2500 points of loss, one of accuracy, finished.
  void finished_run() {
    make_run();
    const int attempt = begin();
    log(attempt, "loss", 1, 2500);
    log(attempt, "accuracy", 0, 0, [](int) { return 0.75; });
    stage("train", kTrain, "finished");
    end(RunStatus::finished);
  }

  // The mirror: each call is another process.

  mlflow::Settings settings() const {
    mlflow::Settings quick = quick_settings(server.uri());
    quick.retries = 0;
    return quick;
  }
  MirrorCounts bring(const std::string& run = "a1", MirrorOptions options = {}) {
    return bring_to(settings(), run, std::move(options));
  }
  MirrorCounts bring_to(const mlflow::Settings& to, const std::string& run = "a1",
                        MirrorOptions options = {}) {
    Database db(dir / "cifarpipe.db");
    mlflow::Client client(to);
    Mirror mirror(db, store, client, std::move(options));
    BOOST_TEST(mirror.bring(run));
    return mirror.counts();
  }
  MirrorCounts bring_again(const std::string& run = "a1") {
    MirrorOptions options;
    options.retry_parked = true;
    return bring(run, options);
  }
  MirrorCounts unsent(const std::string& run = "a1") {
    return unsent_of(recorder.database(), store, server.uri(), {run});
  }
  std::vector<Parked> parked(const std::string& run = "a1") {
    return MirrorLedger(recorder.database(), server.uri()).parked(run);
  }

  // The server.

  /// The one run there, not deleted, of ours.
  FakeRun remote(const std::string& run = "a1") { return remote_in(server, run); }
  static FakeRun remote_in(const FakeMlflow& at, const std::string& run) {
    std::vector<FakeRun> found;
    for (const FakeRun& candidate : at.data().runs) {
      const auto uid = candidate.tags.find("cifarpipe.run_uid");
      if (!candidate.deleted && uid != candidate.tags.end() && uid->second == run) {
        found.push_back(candidate);
      }
    }
    BOOST_REQUIRE_MESSAGE(found.size() == 1,
                          fmt::format("{} runs with the uid {}", found.size(), run));
    return found.front();
  }
  static std::vector<FakePoint> points(const FakeRun& run, const std::string& key) {
    std::vector<FakePoint> out;
    for (const FakePoint& point : run.points) {
      if (point.key == key) out.push_back(point);
    }
    std::sort(out.begin(), out.end(), [](const FakePoint& a, const FakePoint& b) {
      return std::tie(a.step, a.time_ms) < std::tie(b.step, b.time_ms);
    });
    return out;
  }
  /// What the store shows, finite ones, is there once, and nothing else.
  void check_points(const FakeRun& run, const JobRef& job = kTrain) {
    std::multiset<std::tuple<std::string, std::int64_t, double>> here;
    std::multiset<std::tuple<std::string, std::int64_t, double>> there;
    for (const VisiblePoint& p : recorder.points(job)) {
      if (std::isfinite(p.value)) here.emplace("train/" + p.metric, p.step, p.value);
    }
    for (const FakePoint& p : run.points) {
      if (!p.is_nan) there.emplace(p.key, p.step, p.value);
    }
    BOOST_TEST((here == there), fmt::format("{} here, {} there", here.size(), there.size()));
  }
};

}  // namespace cifarpipe::testing
