// What the database costs: points a second into it, and a list of many runs out of it.
//   recorder [RUNS] [METRICS] [FOLDER]     default: 2000 runs of 100 metrics, 10 points each
#include "tracking/recorder.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tracking/queries.hpp"

namespace cifarpipe {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// A run with a job of its own, with `metrics` metrics of ten points in batches as they come.
void make_run(SqliteRecorder& recorder, int i, int metrics) {
  NewRun run;
  run.id = fmt::format("{:032x}", i);
  run.name = fmt::format("bench-{}", i);
  run.experiment = fmt::format("bench-{}", i / 100);
  run.folder = "/nowhere";
  run.start_ms = 1'000'000 + i;
  for (int p = 0; p < 20; ++p) run.params.emplace_back(fmt::format("train.p{}", p), 0.1 * p);
  const JobRef job{fmt::format("{:064x}", i), 0};
  Batch batch(recorder);
  recorder.create_run(run);
  recorder.put_run_stage(run.id, {"train", "train", 0, "run", "finished", job, "", ""});
  recorder.begin_attempt(job, "train", std::nullopt, 1);
  std::vector<RingPoint> points;
  for (int step = 0; step < 10; ++step) {
    for (int m = 0; m < metrics; ++m) {
      points.push_back({job, 1, points.size() + 1, fmt::format("metric_{}", m), step,
                        run.start_ms + step, 1.0 / (1 + m + step)});
    }
  }
  recorder.store_points(fmt::format("ring-{}", i), points, points.size());
  recorder.finish_run(run.id, RunStatus::finished, run.start_ms + 1000, "");
  batch.commit();
}

void measure_points(SqliteRecorder& recorder) {
  const JobRef job{"stream", 0};
  recorder.begin_attempt(job, "train", std::nullopt, 1);
  constexpr int kBatches = 100;
  constexpr int kPointsABatch = 2000;  // What a stage that logs 20,000 a second makes in 100 ms.
  std::vector<RingPoint> points(kPointsABatch);
  std::uint64_t sequence = 0;
  double slowest = 0;
  const auto begin = Clock::now();
  for (int b = 0; b < kBatches; ++b) {
    for (RingPoint& p : points) {
      ++sequence;
      p = {job,
           1,
           sequence,
           sequence % 2 == 0 ? "loss" : "accuracy",
           static_cast<std::int64_t>(sequence),
           static_cast<std::int64_t>(sequence / 20),
           0.5};
    }
    const auto batch = Clock::now();
    recorder.store_points("stream", points, sequence);
    slowest = std::max(slowest, seconds_since(batch));
  }
  fmt::print("points     {:.0f} a second; a commit of {} at most {:.1f} ms\n",
             static_cast<double>(sequence) / seconds_since(begin), kPointsABatch, slowest * 1e3);
}

int measure(int argc, char** argv) {
  const int runs = argc > 1 ? std::stoi(argv[1]) : 2000;
  const int metrics = argc > 2 ? std::stoi(argv[2]) : 100;
  const std::filesystem::path folder =
      argc > 3 ? argv[3]
               : std::filesystem::temp_directory_path() / fmt::format("recorder-{}", getpid());
  std::filesystem::create_directories(folder);
  {
    SqliteRecorder recorder(folder / "cifarpipe.db");
    measure_points(recorder);
    const auto begin = Clock::now();
    for (int i = 0; i < runs; ++i) make_run(recorder, i, metrics);
    fmt::print("made       {} runs of {} metrics in {:.1f} s\n", runs, metrics,
               seconds_since(begin));
  }
  const auto begin = Clock::now();
  SqliteRecorder recorder(folder / "cifarpipe.db");
  RunQueries queries(recorder.database());
  const std::size_t rows = queries.runs({}).size();
  for (int i = 0; i < 30; ++i) queries.metrics(fmt::format("{:032x}", i));
  fmt::print("first page {:.0f} ms ({} rows)\n", seconds_since(begin) * 1e3, rows);
  const auto all = Clock::now();
  const std::string json = queries.list_json({}, SIZE_MAX).dump();
  fmt::print("all, JSON  {:.0f} ms ({:.1f} MB)\n", seconds_since(all) * 1e3,
             static_cast<double>(json.size()) / 1e6);
  fmt::print("database   {:.0f} MB\n",
             static_cast<double>(std::filesystem::file_size(folder / "cifarpipe.db")) / 1e6);
  if (argc <= 3) std::filesystem::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace cifarpipe

int main(int argc, char** argv) {
  return cifarpipe::measure(argc, argv);
}
