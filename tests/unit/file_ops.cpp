#include "pipeline/file_ops.hpp"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <functional>
#include <memory>
#include <sstream>

#include "pipeline/faults.hpp"
#include "tests/unit/child.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using testing::in_child;
using testing::TempDir;
namespace fs = std::filesystem;

BOOST_AUTO_TEST_SUITE(file_ops)

BOOST_AUTO_TEST_CASE(a_file_is_written_and_read) {
  const TempDir dir;
  FileOps& ops = real_file_ops();
  ops.make_dirs(dir / "a/b");
  ops.make_dirs(dir / "a/b");
  const std::string text(100000, 'x');
  ops.write_file(dir / "a/b/f", text);
  BOOST_TEST((read_text_file(dir / "a/b/f") == text));
  ops.write_file(dir / "a/b/f", "shorter");
  BOOST_TEST(read_text_file(dir / "a/b/f") == "shorter");
  ops.sync_tree(dir.path());
  BOOST_CHECK_THROW(read_text_file(dir / "none"), Error);
}

BOOST_AUTO_TEST_CASE(errors_name_the_file_and_the_reason) {
  const TempDir dir;
  const auto check = [](const std::function<void()>& call, const std::string& message) {
    BOOST_CHECK_EXCEPTION(call(), Error, [&](const Error& error) {
      BOOST_TEST(error.what() == message);
      return error.kind() == ErrorKind::stage;
    });
  };
  FileOps& ops = real_file_ops();
  const std::string d = dir.path().string();
  check([&] { ops.write_file(dir / "x/f", ""); },
        "cannot open '" + d + "/x/f': No such file or directory");
  check([&] { ops.rename(dir / "x", dir / "y"); },
        "cannot rename '" + d + "/x' to '" + d + "/y': No such file or directory");
  ops.write_file(dir / "f", "");
  check([&] { ops.make_dirs(dir / "f/g"); },
        "cannot create the folder '" + d + "/f/g': Not a directory");
  check([&] { ops.chmod(dir / "x", 0444); },
        "cannot set the mode of '" + d + "/x': No such file or directory");
}

BOOST_AUTO_TEST_CASE(a_full_disk_is_the_environments_fault) {
  // /dev/full is a disk that is always full.
  BOOST_CHECK_EXCEPTION(
      real_file_ops().write_file("/dev/full", "text"), Error, [](const Error& error) {
        BOOST_TEST(
            std::string(error.what())
                .starts_with("the disk of '/dev/full' is full (cannot write it: No space left"));
        return error.kind() == ErrorKind::environment;
      });
  BOOST_TEST((file_error("write", "f", EDQUOT).kind() == ErrorKind::environment));
}

BOOST_AUTO_TEST_CASE(read_only_trees_can_be_removed) {
  const TempDir dir;
  FileOps& ops = real_file_ops();
  ops.make_dirs(dir / "t/sub");
  ops.write_file(dir / "t/sub/f", "");
  ops.write_file(dir / "keep", "");
  fs::create_symlink(dir / "keep", dir / "t/link");
  for (const char* name : {"t/sub/f", "t/sub", "t"}) ops.chmod(dir / name, 0);
  // Root may do it anyway, so the test steps down if it can.
  const int status = in_child([&] {
    if (::geteuid() == 0) {
      for (const char* name : {".", "t", "t/sub"}) {
        if (::lchown((dir / name).c_str(), 65534, 65534) != 0) ::_exit(2);
      }
      if (::setuid(65534) != 0) ::_exit(3);
    }
    ops.remove_all(dir / "t");
    ops.remove_all(dir / "t");
  });
  BOOST_TEST(status == 0);
  BOOST_TEST(!fs::exists(dir / "t"));
  BOOST_TEST(fs::exists(dir / "keep"));
}

BOOST_AUTO_TEST_CASE(replacing_leaves_the_old_or_the_new_at_every_fault) {
  const TempDir dir;
  for (const Fault::Kind kind : {Fault::Kind::fail, Fault::Kind::enospc, Fault::Kind::kill}) {
    bool struck = true;
    for (std::uint64_t n = 1; struck; ++n) {
      BOOST_REQUIRE(n < 50u);
      real_file_ops().replace_file(dir / "f", "old");
      real_file_ops().replace_symlink("old", dir / "link");
      const int status = in_child([&] {
        FaultyFileOps ops(real_file_ops(), {kind, n});
        ops.replace_file(dir / "f", "new");
        ops.replace_symlink("new", dir / "link");
      });
      struck = status != 0;
      if (kind == Fault::Kind::kill && struck) BOOST_TEST(WTERMSIG(status) == SIGKILL);
      const std::string text = read_text_file(dir / "f");
      const std::string target = fs::read_symlink(dir / "link").string();
      BOOST_TEST((text == "old" || text == "new"), text);
      BOOST_TEST((target == "old" || target == "new"), target);
      if (!struck) BOOST_TEST(text + target == "newnew");
    }
  }
}

BOOST_AUTO_TEST_CASE(a_fault_strikes_once_but_a_full_disk_stays_full) {
  const TempDir dir;
  FaultyFileOps once(real_file_ops(), {Fault::Kind::fail, 2});
  once.write_file(dir / "a", "1234");
  BOOST_CHECK_THROW(once.write_file(dir / "b", "1234"), Error);
  BOOST_TEST(read_text_file(dir / "b") == "12");
  once.write_file(dir / "b", "1234");
  BOOST_TEST(once.count() == 3u);

  FaultyFileOps full(real_file_ops(), {Fault::Kind::enospc, 1});
  BOOST_CHECK_THROW(full.write_file(dir / "c", "1234"), Error);
  BOOST_CHECK_THROW(full.make_dirs(dir / "d"), Error);
  full.remove_all(dir / "c");
  BOOST_TEST(!fs::exists(dir / "c"));
}

BOOST_AUTO_TEST_CASE(faults_come_from_the_environment) {
  const TempDir dir;
  const auto ops_for = [&](const char* fault) {
    ::setenv("CIFARPIPE_FAULT", fault, 1);
    const auto unset = std::unique_ptr<const char, void (*)(const char*)>(
        "CIFARPIPE_FAULT", [](const char* name) { ::unsetenv(name); });
    return faults_from_environment(real_file_ops());
  };
  BOOST_TEST(faults_from_environment(real_file_ops()) == nullptr);
  BOOST_CHECK_THROW(ops_for("fail:1")->make_dirs(dir / "x"), Error);
  ops_for("fail:2")->make_dirs(dir / "x");
  ops_for("fail:1@another-program")->make_dirs(dir / "x");
  const std::string me = std::string("fail:1@") + program_invocation_short_name;
  BOOST_CHECK_THROW(ops_for(me.c_str())->make_dirs(dir / "x"), Error);
  for (const char* wrong : {"", "fail", "fail:", "fail:0", "fail:x", "fail:1x", "burn:1"}) {
    BOOST_CHECK_EXCEPTION(ops_for(wrong), Error,
                          [](const Error& e) { return e.kind() == ErrorKind::usage; });
  }

  ::setenv("CIFARPIPE_FAULT_COUNT", (dir / "count").c_str(), 1);
  const auto counted = faults_from_environment(real_file_ops());
  ::unsetenv("CIFARPIPE_FAULT_COUNT");
  counted->make_dirs(dir / "y");
  counted->write_file(dir / "y/f", "");
  std::istringstream lines(read_text_file(dir / "count"));
  std::string program, pid, n, operation, path;
  lines >> program >> pid >> n >> operation >> path >> program >> pid >> n >> operation >> path;
  BOOST_TEST(n == "2");
  BOOST_TEST(operation == "write_file");
  BOOST_TEST(path == (dir / "y/f").string());
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
