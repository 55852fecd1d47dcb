// Fills a store with many runs of many metrics, for bench/runs_list.
//   runs_store FOLDER [RUNS] [METRICS]     default: 10000 runs of 1000 metrics
// Rows of runs are made by the recorder; a point and a summary for each metric by two statements,
// since ten million calls would take minutes and make the same rows.
#include <fmt/format.h>

#include <filesystem>

#include "tracking/recorder.hpp"

namespace cifarpipe {
namespace {

void make_run(SqliteRecorder& recorder, int i) {
  NewRun run;
  run.id = fmt::format("{:032x}", i);
  run.name = fmt::format("bench-{}", i);
  run.experiment = fmt::format("bench-{}", i / 100);
  run.folder = "/nowhere";
  run.start_ms = 1'700'000'000'000 + i * 60'000LL;
  run.params = {{"train.lr", i % 3 == 0 ? 0.001 : 0.01}};
  for (int p = 0; p < 20; ++p) run.params.emplace_back(fmt::format("train.p{}", p), 0.1 * p);
  for (int f = 0; f < 10; ++f) run.facts.emplace_back(fmt::format("fact{}", f), "as it was");
  const JobRef job{fmt::format("{:064x}", i), 0};
  recorder.create_run(run);
  recorder.put_run_stage(run.id, {"train", "train", 0, "run", "finished", job, "", ""});
  recorder.begin_attempt(job, "train", std::nullopt, 1);
  recorder.finish_run(run.id, RunStatus::finished, run.start_ms + 1000, "");
}

void fill(const std::filesystem::path& folder, int runs, int metrics) {
  std::filesystem::create_directories(folder);
  SqliteRecorder recorder(folder / "cifarpipe.db");
  for (int i = 0; i < runs;) {
    Batch batch(recorder);
    for (const int end = std::min(runs, i + 500); i < end; ++i) make_run(recorder, i);
    batch.commit();
  }
  Database& db = recorder.database();
  Transaction transaction(db);
  Statement name(db, "INSERT INTO metric (name) VALUES (?)");
  for (int m = 0; m < metrics; ++m) {
    name.with(m == 0 ? "accuracy" : m == 1 ? "loss" : fmt::format("metric_{}", m)).run();
  }
  const std::string value = "(job.id * 7919 + metric.id * 104729) % 10007 / 10007.0";
  db.execute(fmt::format("INSERT INTO point SELECT job.id, metric.id, 1, metric.id, 1, 1, {}, 0, 0 "
                         "FROM job JOIN metric ORDER BY job.id, metric.id",
                         value)
                 .c_str());
  db.execute(fmt::format("INSERT INTO metric_summary SELECT job.id, metric.id, 1, {0}, 0, 1, 1, "
                         "{0}, {0} FROM job JOIN metric ORDER BY job.id, metric.id",
                         value)
                 .c_str());
  transaction.commit();
}

}  // namespace
}  // namespace cifarpipe

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  cifarpipe::fill(argv[1], argc > 2 ? std::stoi(argv[2]) : 10'000,
                  argc > 3 ? std::stoi(argv[3]) : 1000);
  return 0;
}
