// What one metric call costs a stage: the ring's write, by id and by name, while the ring goes
// round and round on a disk. Prints ns a call; exits 1 if the median by id is above the promise.
//   metric_call [FOLDER]     where the ring lies; default: the folder for temporary files
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "pipeline/metric_ring.hpp"

namespace {

using cifarpipe::RingReader;
using cifarpipe::RingWriter;
using Clock = std::chrono::steady_clock;

constexpr double kPromisedNs = 200;
constexpr int kCallsABatch = 32;  // So that reading the clock does not count.
constexpr int kBatches = 20'000;

struct Cost {
  double median;
  double p99;
};

template <class Call>
Cost measure(RingReader& reader, Call call) {
  std::vector<double> ns;
  for (int batch = 0; batch < kBatches; ++batch) {
    if (batch % 256 == 0) {  // Half of the ring: it is never full, as in a program that drains.
      reader.read();
      reader.release();
    }
    const auto begin = Clock::now();
    for (int i = 0; i < kCallsABatch; ++i) call(batch * kCallsABatch + i);
    const std::chrono::duration<double, std::nano> spent = Clock::now() - begin;
    ns.push_back(spent.count() / kCallsABatch);
  }
  std::ranges::sort(ns);
  return {ns[ns.size() / 2], ns[ns.size() * 99 / 100]};
}

}  // namespace

int main(int argc, char** argv) {
  const std::filesystem::path folder =
      argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::temp_directory_path();
  const auto file = folder / fmt::format("metric_call-{}.ring", ::getpid());
  const auto writer = RingWriter::create(file);
  const auto reader = RingReader::open(file);
  writer->begin_job({std::string(64, 'a'), 0}, 1);
  const std::uint32_t id = writer->metric_id("train_loss");
  const Cost by_id = measure(*reader, [&](int step) { writer->write(id, step, 0.5 * step); });
  const Cost by_name = measure(
      *reader, [&](int step) { writer->write(writer->metric_id("train_loss"), step, 0.5 * step); });
  std::filesystem::remove(file);
  const bool kept = by_id.median <= kPromisedNs;
  fmt::print("metric call by id:   median {:5.1f} ns, 99 % {:6.1f} ns (promise: {} ns, {})\n",
             by_id.median, by_id.p99, kPromisedNs, kept ? "kept" : "BROKEN");
  fmt::print("metric call by name: median {:5.1f} ns, 99 % {:6.1f} ns\n", by_name.median,
             by_name.p99);
  return kept ? 0 : 1;
}
