// The store where something fails: every file operation, other processes, permissions.
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "pipeline/faults.hpp"
#include "pipeline/stage_json.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/store_fixture.hpp"

namespace cifarpipe {
namespace {

using namespace testing;

BOOST_AUTO_TEST_SUITE(store_faults)

/// One attempt at making a job as a command makes it: find, work, publish. `ops` may fail.
void attempt(const fs::path& runs, FileOps& ops, const JobRef& job) {
  Store store(runs, ops);
  const auto lock = Lock::try_lock(store.lock_file(job));
  if (!lock) throw Error("locked");
  if (store.find(job)) return;
  ops.make_dirs(store.partial_dir(job) / "resume");
  const fs::path work = store.new_work_dir(job);
  const ResultRecord record = fill(work, job);
  ops.sync_tree(work);
  store.publish(work, record, kPoints);
}

/// Lets the n-th operation fail for every n; what is there after it, and that a retry succeeds.
void fail_everywhere(Fault::Kind kind, const std::function<void(const fs::path&)>& prepare) {
  const JobRef job{kKey, 0};
  bool struck = true;
  int absent = 0;
  int present = 0;
  for (std::uint64_t n = 1; struck; ++n) {
    BOOST_REQUIRE(n < 200u);
    const TempDir dir;
    prepare(dir / "runs");
    const int status = in_child([&] {
      FaultyFileOps ops(real_file_ops(), {kind, n});
      try {
        attempt(dir / "runs", ops, job);
      } catch (const Error& error) {
        const bool full = error.kind() == ErrorKind::environment;
        // A full disk anywhere, and any failure to set the store up, is the environment's fault.
        if (kind == Fault::Kind::enospc && !full) ::_exit(9);
        throw;
      }
      if (ops.count() >= n) ::_exit(8);  // It struck, and nobody was told: only in clearing away.
    });
    struck = status != 0;
    BOOST_REQUIRE(!(WIFEXITED(status) && WEXITSTATUS(status) == 9));
    if (kind == Fault::Kind::kill && struck) BOOST_REQUIRE(WIFSIGNALED(status));

    Store store(dir / "runs", real_file_ops());
    // Whole or not there: nothing in between, and nothing that anyone has to clear away by hand.
    if (const auto there = store.list(); !there.empty()) {
      BOOST_REQUIRE_EQUAL(there.size(), 1u);
      for (const VerifyProblem& problem : store.verify(job)) BOOST_ERROR(problem.message);
      check_points(store.read_points(job));
      ++present;
    } else {
      ++absent;
    }
    attempt(dir / "runs", real_file_ops(), job);
    BOOST_TEST(store.find(job).has_value());
    BOOST_TEST(store.verify(job).empty());
    // What a kill leaves of the finished job's making is found.
    for (const fs::path& stale : store.stale_work_dirs()) real_file_ops().remove_all(stale);
    for (const JobRef& partial : store.partials()) {
      real_file_ops().remove_all(store.partial_dir(partial));
    }
    BOOST_TEST(fs::is_empty(dir / "runs/store/tmp"));
    BOOST_TEST(fs::is_empty(dir / "runs/store/partial"));
  }
  // The loop has met both kinds, else it shows nothing.
  BOOST_TEST(absent > 10);
  BOOST_TEST(present >= 2);
}

BOOST_AUTO_TEST_CASE(the_whole_result_or_nothing_at_every_fault) {
  for (const Fault::Kind kind : {Fault::Kind::fail, Fault::Kind::enospc, Fault::Kind::kill}) {
    fail_everywhere(kind, [](const fs::path&) {});
  }
}

BOOST_AUTO_TEST_CASE(the_same_where_a_damaged_result_lies_in_the_way) {
  // It is only damaged in content, as far as `list` and the loop's checks go: sizes tell.
  for (const Fault::Kind kind : {Fault::Kind::fail, Fault::Kind::enospc, Fault::Kind::kill}) {
    const JobRef job{kKey, 0};
    bool struck = true;
    for (std::uint64_t n = 1; struck; ++n) {
      BOOST_REQUIRE(n < 200u);
      const TempDir dir;
      {
        Store store(dir / "runs", real_file_ops());
        fs::remove(make(store, job).dir / "model/weights");
      }
      struck = in_child([&] {
                 FaultyFileOps ops(real_file_ops(), {kind, n});
                 attempt(dir / "runs", ops, job);
                 if (ops.count() >= n) ::_exit(8);
               }) != 0;
      attempt(dir / "runs", real_file_ops(), job);
      Store store(dir / "runs", real_file_ops());
      BOOST_TEST(store.verify(job).empty());
    }
  }
}

BOOST_AUTO_TEST_CASE(many_processes_at_once) {
  // Each looks for results, makes the missing ones, damages some, and is killed now and then. Under
  // the locks no one ever gets a result that is not whole, and none of it has to be cleared away.
  const TempDir dir;
  const fs::path runs = dir / "runs";
  std::vector<JobRef> jobs;
  for (int i = 0; i < 3; ++i) jobs.push_back({kKey, i});
  std::mt19937 random(7);
  const auto work_for_ever = [&](unsigned seed) {
    std::mt19937 own(seed);
    for (;;) {
      const JobRef& job = jobs[own() % jobs.size()];
      Store store(runs, real_file_ops());
      store.find(kKey);  // Without the lock, so that it meets others' work.
      const auto lock = Lock::try_lock(store.lock_file(job));
      if (!lock) continue;
      if (!store.find(job)) {
        const fs::path work = store.new_work_dir(job);
        store.publish(work, fill(work, job), kPoints);
      }
      if (!store.verify(job).empty()) ::_exit(5);
      if (own() % 4 == 0) fs::remove(store.result_dir(job) / "model/weights");
      if (own() % 8 == 0) store.remove(job);
    }
  };
  std::vector<pid_t> children(3, -1);
  for (int round = 0; round < 150; ++round) {
    pid_t& child = children[round % children.size()];
    if (child > 0) {
      ::kill(child, SIGKILL);
      int status = 0;
      ::waitpid(child, &status, 0);
      BOOST_REQUIRE(WIFSIGNALED(status));  // It did not end by itself: no error, no result by half.
    }
    child = ::fork();
    if (child == 0) {
      try {
        work_for_ever(static_cast<unsigned>(round));
      } catch (const std::exception& error) {
        fmt::print(stderr, "{}\n", error.what());
        ::_exit(6);
      }
    }
    ::usleep(random() % 10'000);
  }
  for (const pid_t child : children) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
  }
  for (const JobRef& job : jobs) {
    attempt(runs, real_file_ops(), job);
    BOOST_TEST(Store(runs, real_file_ops()).verify(job).empty());
  }
}

BOOST_AUTO_TEST_CASE(a_store_that_cannot_be_written_can_be_read) {
  const TempDir dir;
  fs::permissions(dir.path(), fs::perms::all);
  {
    Store store(dir / "runs", real_file_ops());
    make(store, {kKey, 0});
    fs::remove(make(store, {kKey, 1}).dir / "model/weights");
  }
  const auto set_modes = [&](fs::perms mode) {
    for (const auto& entry : fs::recursive_directory_iterator(dir / "runs")) {
      if (entry.is_directory()) fs::permissions(entry.path(), mode);
    }
  };
  set_modes(fs::perms(0555));
  const int status = in_child([&] {
    if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(2);
    Store store(dir / "runs", real_file_ops());
    const auto found = store.find(kKey);
    if (!found || found->record.job.generation != 0) ::_exit(3);
    if (!store.verify({kKey, 0}).empty() || store.verify({kKey, 1}).empty()) ::_exit(4);
  });
  set_modes(fs::perms(0755));
  BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_CASE(as_a_user_who_is_not_root) {
  if (::geteuid() != 0) return;  // Then all the other tests are this one.
  const TempDir dir;
  fs::permissions(dir.path(), fs::perms::all);
  const int status = in_child([&] {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(2);
    const JobRef job{kKey, 0};
    Store store(dir / "runs", real_file_ops());
    make(store, job);
    if (!store.find(kKey) || !store.verify(job).empty()) ::_exit(3);
    store.set_aside(job);
    make(store, job);
    store.remove(job);
    for (const fs::path& stale : store.stale_work_dirs()) real_file_ops().remove_all(stale);
    if (!fs::is_empty(dir / "runs/store/tmp")) ::_exit(4);
  });
  BOOST_TEST(status == 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
