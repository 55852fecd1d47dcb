// How many metric points a second become durable rows: those of the store (two indexes, summaries,
// nothing twice), beside the least that SQLite takes for five plain columns with one index, at the
// same transactions and durability; and the whole way, from a stage's thread through its ring.
// Alternates between them, since the disk and the processor are shared.
//   stored_points [POINTS] [FOLDER]     default: 1000000 points, in the folder for temporary files
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/metric_ring.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 5;
// A ring full, which is what a quick stage makes between two drains; and what one that logs 20,000
// a second makes in 100 ms.
constexpr std::size_t kFullRing = std::size_t{1} << 14;
constexpr std::size_t kTenthOfASecond = 2000;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::vector<RingPoint> make_points(const JobRef& job, std::size_t count) {
  std::vector<RingPoint> points;
  for (std::size_t i = 1; i <= count; ++i) {
    const auto step = static_cast<std::int64_t>(i);
    points.push_back({job, 1, i, i % 2 == 0 ? "loss" : "accuracy", step,
                      1'700'000'000'000 + step / 20, 1.0 / static_cast<double>(i)});
  }
  return points;
}

/// Points a second into a store of its own.
double store_rate(const fs::path& folder, const std::vector<RingPoint>& points, std::size_t batch) {
  const fs::path file = folder / "cifarpipe.db";
  double spent = 0;
  {
    SqliteRecorder recorder(file);
    recorder.begin_attempt(points.front().job, "train", std::nullopt, 1);
    const auto begin = Clock::now();
    for (std::size_t at = 0; at < points.size(); at += batch) {
      const auto part = std::span(points).subspan(at, std::min(batch, points.size() - at));
      recorder.store_points("stream", part, part.back().sequence);
    }
    spent = seconds_since(begin);
    Statement count(recorder.database(), "SELECT count(*) FROM point");
    count.step();
    if (count.integer(0) != static_cast<std::int64_t>(points.size())) {
      throw std::runtime_error("points are missing");
    }
  }
  fs::remove_all(folder);
  fs::create_directories(folder);
  return static_cast<double>(points.size()) / spent;
}

void bare(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw std::runtime_error(sqlite3_errmsg(db));
  }
}

/// The same points by sqlite3's functions alone.
double bare_rate(const fs::path& folder, const std::vector<RingPoint>& points, std::size_t batch) {
  sqlite3* db = nullptr;
  sqlite3_open((folder / "bare.db").c_str(), &db);
  bare(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16000");
  bare(db,
       "CREATE TABLE metric (run INTEGER, key INTEGER, step INTEGER, ts INTEGER, value REAL, "
       "PRIMARY KEY (run, key, step)) WITHOUT ROWID");
  sqlite3_stmt* insert = nullptr;
  sqlite3_prepare_v2(db, "INSERT INTO metric VALUES (?, ?, ?, ?, ?)", -1, &insert, nullptr);
  const auto begin = Clock::now();
  for (std::size_t at = 0; at < points.size(); at += batch) {
    bare(db, "BEGIN");
    for (std::size_t i = at; i < std::min(at + batch, points.size()); ++i) {
      sqlite3_bind_int64(insert, 1, 1);
      sqlite3_bind_int64(insert, 2, static_cast<std::int64_t>(i % 2));
      sqlite3_bind_int64(insert, 3, points[i].step);
      sqlite3_bind_int64(insert, 4, points[i].time_ms);
      sqlite3_bind_double(insert, 5, points[i].value);
      if (sqlite3_step(insert) != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(db));
      sqlite3_reset(insert);
    }
    bare(db, "COMMIT");
  }
  const double spent = seconds_since(begin);
  sqlite3_finalize(insert);
  sqlite3_close(db);
  fs::remove_all(folder);
  fs::create_directories(folder);
  return static_cast<double>(points.size()) / spent;
}

/// From metric calls in another thread to rows, until the last one is durable.
double ring_rate(const fs::path& folder, std::size_t count) {
  const JobRef job{std::string(64, 'a'), 0};
  double spent = 0;
  {
    SqliteRecorder recorder(folder / "cifarpipe.db");
    const auto writer = RingWriter::create(folder / "bench.ring");
    const auto reader = RingReader::open(folder / "bench.ring");
    writer->begin_job(job, recorder.begin_attempt(job, "train", std::nullopt, 1));
    const auto begin = Clock::now();
    std::thread stage([&] {
      const std::uint32_t loss = writer->metric_id("loss");
      for (std::size_t i = 1; i <= count; ++i) {
        writer->write(loss, static_cast<std::int64_t>(i), 1.0 / static_cast<double>(i));
      }
    });
    for (std::size_t stored = 0; stored < count;) {
      const std::vector<RingPoint> points = reader->read();
      if (points.empty()) {
        std::this_thread::yield();
        continue;
      }
      recorder.store_points("bench.ring", points, reader->last_sequence());
      reader->release();
      stored += points.size();
    }
    spent = seconds_since(begin);
    stage.join();
  }
  fs::remove_all(folder);
  fs::create_directories(folder);
  return static_cast<double>(count) / spent;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void compare(const fs::path& folder, const std::vector<RingPoint>& points, std::size_t batch) {
  std::vector<double> ours;
  std::vector<double> least;
  std::vector<double> ratio;
  for (int round = 0; round < kRounds; ++round) {
    ours.push_back(store_rate(folder, points, batch));
    least.push_back(bare_rate(folder, points, batch));
    ratio.push_back(ours.back() / least.back());
  }
  fmt::print("{:>6} a commit: store {:>7.0f} points/s, bare sqlite3 loop {:>7.0f}, ratio {:.2f}\n",
             batch, median(ours), median(least), median(ratio));
}

int measure(int argc, char** argv) {
  const std::size_t count = argc > 1 ? std::stoul(argv[1]) : 1'000'000;
  const fs::path parent = argc > 2 ? fs::path(argv[2]) : fs::temp_directory_path();
  const fs::path folder = parent / fmt::format("stored-points-{}", ::getpid());
  fs::create_directories(folder);
  const auto points = make_points({std::string(64, 'a'), 0}, count);
  compare(folder, points, kFullRing);
  compare(folder, points, kTenthOfASecond);
  std::vector<double> whole;
  for (int round = 0; round < kRounds; ++round) whole.push_back(ring_rate(folder, count));
  fmt::print("from the stage's thread through the ring: {:.0f} points/s\n", median(whole));
  fs::remove_all(folder);
  return 0;
}

}  // namespace
}  // namespace cifarpipe

int main(int argc, char** argv) {
  return cifarpipe::measure(argc, argv);
}
