#include "pipeline/metric_ring.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "pipeline/error.hpp"
#include "pipeline/metric_ring_layout.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;
namespace fs = std::filesystem;

const JobRef kJob{std::string(64, 'a'), 0};
const JobRef kOther{std::string(64, 'b'), 2};

/// The ring's bytes, to damage them.
class Bytes {
 public:
  explicit Bytes(const fs::path& file) : size_(fs::file_size(file)) {
    const Descriptor fd = open_file(file, O_RDWR);
    base_ = static_cast<std::byte*>(
        ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0));
  }
  ~Bytes() { ::munmap(base_, size_); }
  ring::Record& record(std::uint64_t sequence) {
    auto* header = reinterpret_cast<ring::RingHeader*>(base_);
    auto* records = reinterpret_cast<ring::Record*>(base_ + ring::kPage + header->definition_bytes);
    return records[sequence % header->capacity];
  }
  std::byte& operator[](std::size_t at) { return base_[at]; }

 private:
  std::size_t size_;
  std::byte* base_;
};

void check_sequence(const std::vector<RingPoint>& points, std::uint64_t first, std::size_t count) {
  BOOST_REQUIRE_EQUAL(points.size(), count);
  for (std::size_t i = 0; i < count; ++i) BOOST_REQUIRE_EQUAL(points[i].sequence, first + i);
}

BOOST_AUTO_TEST_SUITE(metric_ring)

BOOST_AUTO_TEST_CASE(points_come_out_as_they_went_in) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r");
  const auto reader = RingReader::open(dir / "r");
  BOOST_REQUIRE(reader);
  BOOST_TEST(reader->read().empty());
  writer->begin_job(kJob, 3);
  const std::uint32_t loss = writer->metric_id("loss");
  BOOST_TEST(writer->metric_id("loss") == loss);
  writer->write(loss, 1, 0.5);
  const std::string longest(1024, 'n');
  writer->write(writer->metric_id(longest), -7, std::nan(""));
  writer->begin_job(kOther, 1);
  writer->write(writer->metric_id("loss"), 2, -std::numeric_limits<double>::infinity());
  BOOST_TEST(writer->sequence() == 3u);

  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  const std::vector<RingPoint> points = reader->read();
  check_sequence(points, 1, 3);
  BOOST_TEST((points[0].job == kJob));
  BOOST_TEST(points[0].attempt == 3);
  BOOST_TEST(points[0].metric == "loss");
  BOOST_TEST(points[0].step == 1);
  BOOST_TEST(points[0].value == 0.5);
  BOOST_TEST(std::abs(points[0].time_ms - now) < 1000);
  BOOST_TEST(points[1].metric == longest);
  BOOST_TEST(points[1].step == -7);
  BOOST_TEST(std::isnan(points[1].value));
  BOOST_TEST((points[2].job == kOther));
  BOOST_TEST(points[2].attempt == 1);
  BOOST_TEST(std::isinf(points[2].value));
  BOOST_TEST(reader->last_sequence() == 3u);
  BOOST_TEST(reader->read().empty());
}

BOOST_AUTO_TEST_CASE(misuse_is_an_error_and_harms_nothing) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r");
  BOOST_CHECK_THROW(writer->write(0, 1, 1), Error);
  BOOST_CHECK_THROW(writer->metric_id("x"), Error);
  writer->begin_job(kJob, 1);
  BOOST_CHECK_THROW(writer->metric_id(""), Error);
  BOOST_CHECK_THROW(writer->metric_id(std::string(1025, 'x')), Error);
  const std::uint32_t id = writer->metric_id("x");
  BOOST_CHECK_THROW(writer->write(id + 1, 1, 1), Error);
  writer->begin_job(kOther, 1);
  BOOST_CHECK_THROW(writer->write(id, 1, 1), Error);  // Ids belong to their job.
  BOOST_TEST(writer->sequence() == 0u);
}

BOOST_AUTO_TEST_CASE(the_writer_holds_the_rings_lock) {
  const TempDir dir;
  {
    const auto writer = RingWriter::create(dir / "r");
    BOOST_TEST(is_locked(dir / "r"));
    BOOST_CHECK_THROW(RingWriter::create(dir / "r"), Error);
  }
  BOOST_TEST(!is_locked(dir / "r"));
  // What is in a ring that was left behind is never overwritten, and locking it changes nothing.
  BOOST_CHECK_THROW(RingWriter::create(dir / "r"), Error);
  const auto lock = Lock::try_lock(dir / "r");
  describe_holder(*lock, "the one who drains");
  BOOST_TEST(RingReader::open(dir / "r") != nullptr);
  BOOST_CHECK_THROW(RingWriter::create(dir / "none/r"), Error);
}

BOOST_AUTO_TEST_CASE(a_full_disk_shows_when_the_ring_is_made) {
  // A limit on the size of files stands for a disk without room.
  const TempDir dir;
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{65536, 65536};
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    try {
      RingWriter::create(dir / "r");
    } catch (const Error&) {
      ::_exit(0);
    }
    ::_exit(1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_CASE(a_full_ring_waits_and_never_drops) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r", 8);
  const auto reader = RingReader::open(dir / "r");
  writer->begin_job(kJob, 1);
  const std::uint32_t id = writer->metric_id("loss");
  for (int i = 1; i <= 8; ++i) writer->write(id, i, i);
  int waits = 0;
  writer->set_wait([&] {
    if (++waits > 2) throw Error("nobody reads");
  });
  BOOST_CHECK_THROW(writer->write(id, 9, 9), Error);
  BOOST_TEST(waits == 3);
  BOOST_TEST(writer->sequence() == 8u);
  check_sequence(reader->read(5), 1, 5);
  BOOST_CHECK_THROW(writer->write(id, 9, 9), Error);  // Read is not yet released.
  reader->release();
  for (int i = 9; i <= 13; ++i) writer->write(id, i, i);
  BOOST_CHECK_THROW(writer->write(id, 14, 14), Error);
  check_sequence(reader->read(), 6, 8);
}

BOOST_AUTO_TEST_CASE(a_reader_that_begins_again_gets_the_unreleased_points_again) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r", 8);
  writer->begin_job(kJob, 1);
  const std::uint32_t id = writer->metric_id("loss");
  for (int i = 1; i <= 6; ++i) writer->write(id, i, i);
  {
    const auto reader = RingReader::open(dir / "r");
    check_sequence(reader->read(4), 1, 4);
    reader->release();
    check_sequence(reader->read(), 5, 2);
  }
  for (int i = 7; i <= 12; ++i) writer->write(id, i, i);  // Once around.
  const auto reader = RingReader::open(dir / "r");
  const std::vector<RingPoint> points = reader->read();
  check_sequence(points, 5, 8);
  BOOST_TEST(points.back().metric == "loss");
  BOOST_TEST(points.back().value == 12);
}

BOOST_AUTO_TEST_CASE(definitions_live_as_long_as_points_need_them) {
  // One page of definitions, thousands of jobs and names: the area begins anew many times, and
  // every time a reader that comes late must still know all that it reads.
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r", 64, 4096);
  std::unique_ptr<RingReader> reader;
  std::vector<RingPoint> points;
  const auto drain = [&] {
    reader = RingReader::open(dir / "r");  // Anew each time: it knows nothing from before.
    for (RingPoint& point : reader->read()) points.push_back(std::move(point));
    BOOST_TEST(reader->damaged() == 0u);
    reader->release();
  };
  writer->set_wait(drain);
  std::vector<std::pair<JobRef, std::string>> expected;
  for (int job = 0; job < 300; ++job) {
    const JobRef ref{kJob.key, job};
    writer->begin_job(ref, job + 1);
    std::vector<std::uint32_t> ids;
    for (int name = 0; name < 5; ++name) {
      ids.push_back(writer->metric_id(fmt::format("metric {}", job * 7 % 90 + name)));
    }
    for (int i = 0; i < 40; ++i) {
      const int name = i * 3 % 5;
      writer->write(ids[name], i, i);
      expected.emplace_back(ref, fmt::format("metric {}", job * 7 % 90 + name));
    }
  }
  drain();
  check_sequence(points, 1, expected.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    BOOST_REQUIRE((points[i].job == expected[i].first));
    BOOST_REQUIRE(points[i].attempt == points[i].job.generation + 1);
    BOOST_REQUIRE(points[i].metric == expected[i].second);
  }
}

BOOST_AUTO_TEST_CASE(more_names_in_one_job_than_the_area_holds) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r", 16, 4096);
  std::vector<RingPoint> points;
  writer->set_wait([&] {
    const auto reader = RingReader::open(dir / "r");
    for (RingPoint& point : reader->read()) points.push_back(std::move(point));
    reader->release();
  });
  writer->begin_job(kJob, 1);
  std::vector<std::uint32_t> ids;
  for (int i = 0; i < 500; ++i) ids.push_back(writer->metric_id(fmt::format("name {}", i)));
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 500; ++i) writer->write(ids[i], i, round);
  }
  for (RingPoint& point : RingReader::open(dir / "r")->read()) points.push_back(std::move(point));
  check_sequence(points, 1, 1000);
  for (int i = 0; i < 1000; ++i) {
    BOOST_REQUIRE(points[i].metric == fmt::format("name {}", i % 500));
  }
}

BOOST_AUTO_TEST_CASE(a_flipped_bit_costs_its_own_record_only) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r", 64);
  writer->begin_job(kJob, 1);
  const std::uint32_t id = writer->metric_id("loss");
  for (int i = 1; i <= 20; ++i) writer->write(id, i, i * 1.5);
  Bytes bytes(dir / "r");
  // Every bit of record 7 that means anything, its sequence number and its CRC included.
  for (std::size_t bit = 0; bit < offsetof(ring::Record, unused) * 8; ++bit) {
    auto* byte = reinterpret_cast<std::byte*>(&bytes.record(7)) + bit / 8;
    *byte ^= std::byte(1 << bit % 8);
    const auto reader = RingReader::open(dir / "r");
    const std::vector<RingPoint> points = reader->read();
    BOOST_REQUIRE_EQUAL(points.size(), 19u);
    for (std::size_t i = 0; i < 19; ++i) {
      const std::uint64_t sequence = i + (i < 6 ? 1 : 2);
      BOOST_REQUIRE_EQUAL(points[i].sequence, sequence);
      BOOST_REQUIRE_EQUAL(points[i].value, sequence * 1.5);
    }
    BOOST_REQUIRE_EQUAL(reader->damaged(), 1u);
    *byte ^= std::byte(1 << bit % 8);
  }
  BOOST_TEST(RingReader::open(dir / "r")->read().size() == 20u);
}

BOOST_AUTO_TEST_CASE(a_lost_page_costs_its_own_records_only) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r", 1024);
  writer->begin_job(kJob, 1);
  const std::uint32_t id = writer->metric_id("loss");
  for (int i = 1; i <= 1000; ++i) writer->write(id, i, i);
  {
    Bytes bytes(dir / "r");
    for (int i = 100; i < 400; ++i) std::memset(&bytes.record(i), 0, sizeof(ring::Record));
  }
  const auto reader = RingReader::open(dir / "r");
  const std::vector<RingPoint> points = reader->read();
  BOOST_REQUIRE_EQUAL(points.size(), 700u);
  BOOST_TEST(points[99].sequence == 400u);
  BOOST_TEST(reader->damaged() == 300u);
}

BOOST_AUTO_TEST_CASE(damaged_definitions_and_headers) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r", 64);
  writer->begin_job(kJob, 1);
  const std::uint32_t id = writer->metric_id("loss");
  writer->write(id, 1, 1);
  Bytes bytes(dir / "r");
  for (std::size_t at = 0; at < 120; ++at) {  // The job's definition and the name's.
    bytes[ring::kPage + at] ^= std::byte{4};
    const auto reader = RingReader::open(dir / "r");
    BOOST_TEST(reader->read().size() <= 1u);
    bytes[ring::kPage + at] ^= std::byte{4};
  }
  bytes[ring::kPage + 30] ^= std::byte{4};
  BOOST_TEST(RingReader::open(dir / "r")->read().empty());
  bytes[ring::kPage + 30] ^= std::byte{4};
  for (std::size_t at = 0; at < offsetof(ring::RingHeader, unused); ++at) {
    bytes[at] ^= std::byte{4};
    BOOST_TEST(RingReader::open(dir / "r") == nullptr);
    bytes[at] ^= std::byte{4};
  }
  BOOST_TEST(RingReader::open(dir / "r")->read().size() == 1u);
  fs::resize_file(dir / "r", 8192);
  BOOST_TEST(RingReader::open(dir / "r") == nullptr);
  fs::resize_file(dir / "r", 0);
  BOOST_TEST(RingReader::open(dir / "r") == nullptr);
  BOOST_CHECK_THROW(RingReader::open(dir / "none"), Error);
}

BOOST_AUTO_TEST_CASE(a_writer_and_a_reader_at_once) {
  const TempDir dir;
  const auto writer = RingWriter::create(dir / "r", 256, 4096);
  constexpr std::uint64_t kPoints = 200'000;
  std::thread thread([&] {
    writer->set_wait([] { std::this_thread::yield(); });
    for (std::uint64_t i = 0; i < kPoints; ++i) {
      if (i % 1000 == 0) writer->begin_job({kJob.key, static_cast<int>(i / 1000)}, 1);
      writer->write(writer->metric_id("m"), static_cast<std::int64_t>(i), 1.0 * i);
    }
  });
  const auto reader = RingReader::open(dir / "r");
  std::uint64_t next = 0;
  bool right = true;
  while (next < kPoints) {
    for (const RingPoint& point : reader->read(100)) {
      right = right && point.sequence == next + 1 && point.value == 1.0 * next &&
              point.job.generation == static_cast<int>(next / 1000);
      ++next;
    }
    reader->release();
  }
  thread.join();
  BOOST_TEST(right);
  BOOST_TEST(reader->damaged() == 0u);
}

/// Shared with a writer that is to be killed: how many points its calls have returned for.
struct Witness {
  std::atomic<std::uint64_t> returned;
};

BOOST_AUTO_TEST_CASE(kill_at_any_moment_loses_nothing) {
  const TempDir dir;
  auto* witness = static_cast<Witness*>(
      ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::mt19937 random(1);
  std::uint64_t total = 0;
  for (int round = 0; round < 400; ++round) {
    const fs::path file = dir / (fmt::format("r{}", round));
    witness->returned = 0;
    const pid_t child = ::fork();
    if (child == 0) {
      const auto writer = RingWriter::create(file, 128, 4096);
      writer->set_wait([] {});
      for (std::uint64_t i = 0;; ++i) {
        if (i % 50 == 0) writer->begin_job({kJob.key, static_cast<int>(i / 50)}, 1);
        writer->write(writer->metric_id(fmt::format("metric {}", i % 70)),
                      static_cast<std::int64_t>(i), 2.0 * i);
        witness->returned.store(i + 1, std::memory_order_release);
      }
    }
    // Drains while the writer writes, round and round, each time by a reader that starts anew
    // every few calls; then kills and drains the rest.
    std::uint64_t next = 0;
    bool right = true;
    std::unique_ptr<RingReader> reader;
    const auto drain = [&] {
      if (!reader) reader = fs::exists(file) ? RingReader::open(file) : nullptr;
      if (!reader) return;
      for (const RingPoint& point : reader->read(random() % 100 + 1)) {
        right = right && point.sequence == next + 1 && point.step == std::int64_t(next) &&
                point.value == 2.0 * next && point.job.generation == int(next / 50) &&
                point.metric == fmt::format("metric {}", next % 70);
        ++next;
      }
      reader->release();
      if (random() % 8 == 0) reader.reset();
    };
    const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(random() % 3000);
    while (std::chrono::steady_clock::now() < end) drain();
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    reader.reset();
    for (std::uint64_t before = next + 1; before != next;) {
      before = next;
      for (int i = 0; i < 4; ++i) drain();
    }
    BOOST_REQUIRE(right);
    // At most the one call that the kill interrupted may have left a point more.
    BOOST_REQUIRE_GE(next, witness->returned.load());
    BOOST_REQUIRE_LE(next, witness->returned.load() + 1);
    BOOST_REQUIRE(!is_locked(file));
    total += next;
    fs::remove(file);
  }
  BOOST_TEST(total > 10'000u);
  ::munmap(witness, 4096);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
