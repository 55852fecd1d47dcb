#include "pipeline/lock.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>
#include <cstring>
#include <filesystem>
#include <thread>

#include "pipeline/error.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using testing::TempDir;
namespace fs = std::filesystem;

/// A child that does `body` and then sleeps until it is killed; ready when this returns.
template <class Body>
pid_t sleeping_child(Body body) {
  int ready[2];
  BOOST_REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    [[maybe_unused]] auto kept = body();
    [[maybe_unused]] ssize_t n = ::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char byte;
  BOOST_REQUIRE(::read(ready[0], &byte, 1) == 1);
  ::close(ready[0]);
  ::close(ready[1]);
  return child;
}

void kill_and_reap(pid_t child) {
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

void send_descriptor(int socket, int fd) {
  char byte = 'x';
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  BOOST_REQUIRE(::sendmsg(socket, &message, 0) == 1);
}

int receive_descriptor(int socket) {
  char byte;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (::recvmsg(socket, &message, 0) != 1) return -1;
  int fd = -1;
  std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
  return fd;
}

BOOST_AUTO_TEST_SUITE(lock)

BOOST_AUTO_TEST_CASE(one_holder_within_a_process) {
  const TempDir dir;
  const fs::path file = dir / "l";
  BOOST_TEST(!is_locked(file));
  BOOST_TEST(!fs::exists(file));
  auto first = Lock::try_lock(file);
  BOOST_REQUIRE(first.has_value());
  BOOST_TEST(first->held());
  BOOST_TEST(is_locked(file));
  BOOST_TEST(!Lock::try_lock(file).has_value());
  BOOST_TEST(is_locked(file));  // The failed attempt's close has freed nothing.
  std::thread([&] { BOOST_TEST(!Lock::try_lock(file).has_value()); }).join();

  Lock moved = std::move(*first);
  BOOST_TEST(!first->held());
  BOOST_TEST(is_locked(file));
  moved.release();
  BOOST_TEST(!is_locked(file));
  BOOST_TEST(Lock::try_lock(file).has_value());
}

BOOST_AUTO_TEST_CASE(descriptors_are_closed_by_exec) {
  const TempDir dir;
  const auto lock = Lock::try_lock(dir / "l");
  BOOST_TEST((::fcntl(lock->fd(), F_GETFD) & FD_CLOEXEC) != 0);
}

BOOST_AUTO_TEST_CASE(kill_frees) {
  const TempDir dir;
  const fs::path file = dir / "l";
  for (int i = 0; i < 20; ++i) {
    const pid_t child = sleeping_child([&] {
      auto lock = Lock::try_lock(file);
      if (!lock) ::_exit(1);
      describe_holder(*lock, "stage 'train' of run a-b");
      return lock;
    });
    BOOST_TEST(!Lock::try_lock(file).has_value());
    BOOST_TEST(is_locked(file));
    BOOST_TEST(lock_holder(file) == child);
    BOOST_TEST(holder_description(file) == "stage 'train' of run a-b");
    kill_and_reap(child);
    BOOST_TEST(!is_locked(file));
    BOOST_TEST(lock_holder(file) == 0);
    BOOST_TEST(Lock::try_lock(file).has_value());
  }
}

BOOST_AUTO_TEST_CASE(a_sent_descriptor_keeps_the_lock) {
  const TempDir dir;
  const fs::path file = dir / "l";
  int pair[2];
  BOOST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
  // The child is forked before the lock exists: all that it has of it is what is sent.
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pair[0]);
    Lock lock = Lock::adopt(receive_descriptor(pair[1]));
    if (!lock.held()) ::_exit(1);
    char byte = 'r';
    if (::write(pair[1], &byte, 1) != 1) ::_exit(2);
    if (::read(pair[1], &byte, 1) != 1) ::_exit(3);
    lock.release();
    if (::write(pair[1], &byte, 1) != 1) ::_exit(4);
    ::pause();
  }
  auto lock = Lock::try_lock(file);
  BOOST_REQUIRE(lock.has_value());
  send_descriptor(pair[0], lock->fd());
  char byte = 0;
  BOOST_REQUIRE(::read(pair[0], &byte, 1) == 1);
  lock->release();
  BOOST_TEST(is_locked(file));
  BOOST_TEST(!Lock::try_lock(file).has_value());
  BOOST_REQUIRE(::write(pair[0], "x", 1) == 1);
  BOOST_REQUIRE(::read(pair[0], &byte, 1) == 1);
  BOOST_TEST(!is_locked(file));
  kill_and_reap(child);
  ::close(pair[0]);
  ::close(pair[1]);
}

BOOST_AUTO_TEST_CASE(a_replaced_file_is_another_lock) {
  const TempDir dir;
  const fs::path file = dir / "l";
  const auto old = Lock::try_lock(file);
  fs::remove(file);
  BOOST_TEST(!is_locked(file));
  const auto fresh = Lock::try_lock(file);
  BOOST_REQUIRE(fresh.has_value());
  BOOST_TEST(!Lock::try_lock(file).has_value());
}

BOOST_AUTO_TEST_CASE(two_never_hold_it_while_files_come_and_go) {
  // Four processes lock, check that they are alone, unlink and unlock. Without the check of the
  // inode after locking, two of them would hold "the" lock, on two files.
  const TempDir dir;
  const fs::path file = dir / "l";
  std::vector<pid_t> children;
  for (int c = 0; c < 4; ++c) {
    const pid_t child = ::fork();
    if (child == 0) {
      for (int done = 0; done < 500;) {
        auto lock = Lock::try_lock(file);
        if (!lock) continue;
        const int alone = ::open((dir / "alone").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (alone < 0) ::_exit(1);
        ::close(alone);
        if (::unlink((dir / "alone").c_str()) != 0) ::_exit(2);
        if (::unlink(file.c_str()) != 0) ::_exit(3);
        ++done;
      }
      ::_exit(0);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = -1;
    ::waitpid(child, &status, 0);
    BOOST_TEST(status == 0);
  }
}

BOOST_AUTO_TEST_CASE(texts_stay_apart_from_what_a_locked_file_holds) {
  const TempDir dir;
  const std::string ring(8192, 'r');
  real_file_ops().write_file(dir / "ring", ring);
  const auto lock = Lock::try_lock(dir / "ring");
  describe_holder(*lock, "me");
  BOOST_TEST((read_text_file(dir / "ring") == ring));
  BOOST_TEST(holder_description(dir / "ring") == "");
  BOOST_TEST(lock_holder(dir / "ring") == 0);
}

BOOST_AUTO_TEST_CASE(what_cannot_be_locked_is_an_error) {
  const TempDir dir;
  BOOST_CHECK_THROW(Lock::try_lock(dir / "none/l"), Error);
  BOOST_CHECK_THROW(Lock::try_lock(dir.path()), Error);
  BOOST_TEST(!is_locked(dir / "none/l"));
  BOOST_CHECK_THROW(Lock::adopt(-1), Error);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
