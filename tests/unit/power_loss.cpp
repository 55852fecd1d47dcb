// A power cut, as far as one process can stage it: of each file of the database only what it held
// when it was last synced is left.
#include <sqlite3.h>

#include <boost/test/unit_test.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "tests/unit/child.hpp"
#include "tests/unit/temp_dir.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe {
namespace {

namespace fs = std::filesystem;
using testing::TempDir;

/// A file of SQLite's that leaves a copy of itself beside it whenever it is synced.
struct File {
  sqlite3_file base;
  const char* name;
};
sqlite3_file* real(sqlite3_file* file) {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<File*>(file) + 1);
}

int sync_and_copy(sqlite3_file* file, int flags) {
  const int code = real(file)->pMethods->xSync(real(file), flags);
  const char* name = reinterpret_cast<File*>(file)->name;
  if (code == SQLITE_OK && name != nullptr) {
    fs::copy_file(name, std::string(name) + ".synced", fs::copy_options::overwrite_existing);
  }
  return code;
}

// All others do what they do.
#define FORWARD(method) \
  [](sqlite3_file* f, auto... a) { return real(f)->pMethods->method(real(f), a...); }
const sqlite3_io_methods kMethods = {3,
                                     FORWARD(xClose),
                                     FORWARD(xRead),
                                     FORWARD(xWrite),
                                     FORWARD(xTruncate),
                                     sync_and_copy,
                                     FORWARD(xFileSize),
                                     FORWARD(xLock),
                                     FORWARD(xUnlock),
                                     FORWARD(xCheckReservedLock),
                                     FORWARD(xFileControl),
                                     FORWARD(xSectorSize),
                                     FORWARD(xDeviceCharacteristics),
                                     FORWARD(xShmMap),
                                     FORWARD(xShmLock),
                                     FORWARD(xShmBarrier),
                                     FORWARD(xShmUnmap),
                                     FORWARD(xFetch),
                                     FORWARD(xUnfetch)};
#undef FORWARD

int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  auto* below = static_cast<sqlite3_vfs*>(vfs->pAppData);
  reinterpret_cast<File*>(file)->name = name;
  file->pMethods = nullptr;
  const int code = below->xOpen(below, name, real(file), flags, out_flags);
  if (real(file)->pMethods != nullptr) file->pMethods = &kMethods;
  return code;
}

/// For this process, which must be one of its own.
void use_syncing_copies() {
  static sqlite3_vfs vfs;
  sqlite3_vfs* below = sqlite3_vfs_find(nullptr);
  vfs = *below;
  vfs.zName = "syncing-copies";
  vfs.szOsFile += static_cast<int>(sizeof(File));
  vfs.pAppData = below;
  vfs.xOpen = open;
  sqlite3_vfs_register(&vfs, 1);
}

void cut_power(const fs::path& from, const fs::path& to) {
  fs::create_directory(to);
  for (const char* name : {"cifarpipe.db", "cifarpipe.db-wal"}) {
    const fs::path synced = from / (std::string(name) + ".synced");
    if (fs::exists(synced)) fs::copy_file(synced, to / name);
  }
}

constexpr int kCuts = 40;
constexpr int kPoints = 50;
const JobRef kJob{"k1", 0};

/// Tells a recorder of points, as the supervisor does every 100 ms, and cuts the power each time
/// that it says that they are kept.
void record(const fs::path& dir, const char* setting) {
  use_syncing_copies();
  SqliteRecorder recorder(dir / "cifarpipe.db");
  recorder.database().execute(setting);
  recorder.database().execute("PRAGMA wal_autocheckpoint = 10");  // So that files are rewritten.
  recorder.begin_attempt(kJob, "train", std::nullopt, 1);
  std::uint64_t sequence = 0;
  for (int cut = 0; cut < kCuts; ++cut) {
    std::vector<RingPoint> points;
    for (int i = 0; i < kPoints; ++i) {
      ++sequence;
      points.push_back({kJob, 1, sequence, "loss", static_cast<std::int64_t>(sequence),
                        static_cast<std::int64_t>(sequence), 0.5});
    }
    recorder.store_points("ring", points, sequence);
    cut_power(dir, dir / std::to_string(cut));
  }
  ::_exit(0);  // Without an orderly end.
}

/// The points that each cut has left.
std::vector<std::size_t> left(const fs::path& dir) {
  std::vector<std::size_t> counts;
  for (int cut = 0; cut < kCuts; ++cut) {
    SqliteRecorder recorder(dir / std::to_string(cut) / "cifarpipe.db");
    counts.push_back(recorder.points(kJob).size());
    BOOST_TEST(recorder.drained("ring") == counts.back());  // Both or neither.
  }
  return counts;
}

BOOST_AUTO_TEST_SUITE(power_loss)

BOOST_AUTO_TEST_CASE(what_was_told_is_there_after_a_power_cut) {
  const TempDir dir;
  BOOST_REQUIRE(testing::in_child([&] { record(dir.path(), "SELECT 1"); }) == 0);
  const std::vector<std::size_t> counts = left(dir.path());
  for (std::size_t cut = 0; cut < counts.size(); ++cut) {
    BOOST_TEST(counts[cut] == (cut + 1) * kPoints);
  }
}

BOOST_AUTO_TEST_CASE(the_test_sees_what_is_not_synced) {
  const TempDir dir;
  BOOST_REQUIRE(testing::in_child([&] { record(dir.path(), "PRAGMA synchronous = NORMAL"); }) == 0);
  std::size_t lost = 0;
  const std::vector<std::size_t> counts = left(dir.path());
  for (std::size_t cut = 0; cut < counts.size(); ++cut) lost += counts[cut] != (cut + 1) * kPoints;
  BOOST_TEST(lost > 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
