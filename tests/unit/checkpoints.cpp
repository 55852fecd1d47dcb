#include "pipeline/checkpoints.hpp"

#include <boost/test/unit_test.hpp>
#include <stdexcept>

#include "pipeline/faults.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using testing::in_child;
using testing::TempDir;
namespace fs = std::filesystem;

std::function<void(const fs::path&)> writing(const std::string& text) {
  return [text](const fs::path& dir) {
    fs::create_directories(dir / "sub");
    real_file_ops().write_file(dir / "state", text);
    real_file_ops().write_file(dir / "sub/moments", text + text);
  };
}

std::string state_of(const std::optional<checkpoints::Checkpoint>& checkpoint) {
  return checkpoint ? read_text_file(checkpoint->path / "state") : "none";
}

BOOST_AUTO_TEST_SUITE(checkpoints)

namespace checkpoints = ::cifarpipe::checkpoints;

BOOST_AUTO_TEST_CASE(the_newest_counts_and_the_older_ones_go) {
  const TempDir dir;
  const fs::path partial = dir / "partial/job";
  BOOST_TEST(!checkpoints::latest(partial).has_value());
  fs::create_directories(dir / "partial");
  checkpoints::save(partial, {1, 10}, writing("one"));
  const auto saved = checkpoints::save(partial, {2, 1ull << 40}, writing("two"));
  const auto latest = checkpoints::latest(partial);
  BOOST_REQUIRE(latest.has_value());
  BOOST_TEST(latest->path == saved.path);
  BOOST_TEST(latest->cover.attempt == 2);
  BOOST_TEST(latest->cover.sequence == 1ull << 40);
  BOOST_TEST(state_of(latest) == "two");
  BOOST_TEST(std::distance(fs::directory_iterator(partial), {}) == 1);
}

BOOST_AUTO_TEST_CASE(other_things_beside_it_are_left_alone) {
  const TempDir dir;
  fs::create_directories(dir / "resume");
  fs::create_directories(dir / "checkpoint-");
  fs::create_directories(dir / "checkpoint-x");
  checkpoints::save(dir.path(), {1, 1}, writing("one"));
  BOOST_TEST(state_of(checkpoints::latest(dir.path())) == "one");
  BOOST_TEST(fs::exists(dir / "resume"));
}

BOOST_AUTO_TEST_CASE(a_damaged_one_is_passed_over) {
  const TempDir dir;
  checkpoints::save(dir.path(), {1, 1}, writing("one"));
  fs::rename(dir / "checkpoint-1", dir / "keep");
  checkpoints::save(dir.path(), {1, 2}, writing("two"));
  fs::rename(dir / "keep", dir / "checkpoint-0");
  const fs::path newest = checkpoints::latest(dir.path())->path;
  const auto damaged_by = [&](const std::string& name, const std::string& text) {
    const bool there = fs::exists(newest / name);
    const std::string before = there ? read_text_file(newest / name) : "";
    real_file_ops().write_file(newest / name, text);
    const std::string state = state_of(checkpoints::latest(dir.path()));
    there ? real_file_ops().write_file(newest / name, before)
          : real_file_ops().remove_all(newest / name);
    BOOST_TEST(state_of(checkpoints::latest(dir.path())) == "two");
    return state == "one";
  };
  BOOST_TEST(damaged_by("state", "tvo"));
  BOOST_TEST(damaged_by("state", ""));
  BOOST_TEST(damaged_by("extra", ""));
  for (const char* text : {"", "{", "[]", "7", "{\"format\":1}", "{\"format\":2}"}) {
    BOOST_TEST(damaged_by("checkpoint.json", text), text);
  }
  fs::remove(newest / "sub/moments");
  BOOST_TEST(state_of(checkpoints::latest(dir.path())) == "one");
  BOOST_TEST(checkpoints::latest_cover(dir.path())->sequence == 2u);  // By its word alone.
  // And the next one is higher than the damaged one, and replaces both.
  checkpoints::save(dir.path(), {1, 3}, writing("three"));
  BOOST_TEST(state_of(checkpoints::latest(dir.path())) == "three");
  BOOST_TEST(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

BOOST_AUTO_TEST_CASE(a_callback_that_throws_leaves_the_old_one) {
  const TempDir dir;
  checkpoints::save(dir.path(), {1, 1}, writing("one"));
  const auto throwing = [](const fs::path& at) {
    writing("two")(at);
    throw std::runtime_error("no");
  };
  BOOST_CHECK_THROW(checkpoints::save(dir.path(), {1, 2}, throwing), std::runtime_error);
  const auto impostor = [](const fs::path& at) {
    real_file_ops().write_file(at / "checkpoint.json", "{}");
  };
  BOOST_CHECK_THROW(checkpoints::save(dir.path(), {1, 2}, impostor), Error);
  const auto linking = [](const fs::path& at) { fs::create_symlink("/etc", at / "link"); };
  BOOST_CHECK_THROW(checkpoints::save(dir.path(), {1, 2}, linking), Error);
  BOOST_TEST(state_of(checkpoints::latest(dir.path())) == "one");
  BOOST_TEST(std::distance(fs::directory_iterator(dir.path()), {}) == 1);
}

BOOST_AUTO_TEST_CASE(the_old_or_the_new_at_every_fault) {
  for (const Fault::Kind kind : {Fault::Kind::fail, Fault::Kind::enospc, Fault::Kind::kill}) {
    bool struck = true;
    int old = 0;
    int fresh = 0;
    for (std::uint64_t n = 1; struck; ++n) {
      BOOST_REQUIRE(n < 100u);
      const TempDir dir;
      fs::create_directories(dir / "partial");
      checkpoints::save(dir / "partial/job", {1, 1}, writing("old"));
      const int status = in_child([&] {
        FaultyFileOps ops(real_file_ops(), {kind, n});
        try {
          checkpoints::save(dir / "partial/job", {1, 2}, writing("new"), ops);
        } catch (const Error& error) {
          ::_exit(kind == Fault::Kind::enospc && error.kind() != ErrorKind::environment ? 9 : 1);
        }
        if (ops.count() >= n) ::_exit(8);
      });
      struck = status != 0;
      BOOST_REQUIRE(!(WIFEXITED(status) && WEXITSTATUS(status) == 9));
      const auto latest = checkpoints::latest(dir / "partial/job");
      const std::string state = state_of(latest);
      BOOST_TEST((state == "old" || state == "new"), state);
      BOOST_TEST(latest->cover.sequence == (state == "old" ? 1u : 2u));
      (state == "old" ? old : fresh) += 1;
      // The next one goes through and clears away what was left.
      checkpoints::save(dir / "partial/job", {2, 3}, writing("next"));
      BOOST_TEST(state_of(checkpoints::latest(dir / "partial/job")) == "next");
      BOOST_TEST(std::distance(fs::directory_iterator(dir / "partial/job"), {}) == 1);
    }
    BOOST_TEST(old > 5);
    BOOST_TEST(fresh >= 2);
  }
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
