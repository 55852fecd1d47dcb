#include "pipeline/lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "pipeline/error.hpp"
#include "pipeline/file_ops.hpp"

namespace cifarpipe {
namespace fs = std::filesystem;
namespace {

// More than this is no holder's text: a ring, for instance, carries its lock itself.
constexpr off_t kMaxText = 4096;

struct flock whole_file(short type) {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;  // l_start = l_len = 0: the whole file; l_pid has to be 0 for these locks.
}

std::string holder_text(const fs::path& file) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat info;
  if (fd.get() < 0 || ::fstat(fd.get(), &info) != 0 || info.st_size > kMaxText) return "";
  std::array<char, kMaxText> text;
  const ssize_t n = ::read(fd.get(), text.data(), text.size());
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : "";
}

Descriptor open_to_lock(const fs::path& file, short type) {
  if (type == F_RDLCK && ::access(file.c_str(), R_OK) == 0 && ::access(file.c_str(), W_OK) != 0) {
    return open_file(file, O_RDONLY);
  }
  return open_file(file, O_RDWR | O_CREAT);
}

}  // namespace

Lock::Lock(Lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Lock& Lock::operator=(Lock&& other) noexcept {
  if (this != &other) {
    release();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

Lock::~Lock() {
  release();
}

std::optional<Lock> Lock::try_lock(const fs::path& file) {
  return take(file, F_WRLCK);
}

std::optional<Lock> Lock::try_share(const fs::path& file) {
  return take(file, F_RDLCK);
}

std::optional<Lock> Lock::take(const fs::path& file, short type) {
  for (;;) {
    Descriptor fd = open_to_lock(file, type);
    // The lock belongs to the open file description, not to the process: two of them exclude each
    // other within a process as well, and closing another descriptor of the file frees nothing.
    struct flock lock = whole_file(type);
    if (::fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN || errno == EACCES) return std::nullopt;
      throw file_error("lock", file, errno);
    }
    // Between open and lock someone may have removed or replaced the file: a lock on a file that
    // nobody else can open by this path any more excludes nobody.
    struct stat mine;
    struct stat there;
    if (::fstat(fd.get(), &mine) != 0) throw file_error("look at", file, errno);
    if (::stat(file.c_str(), &there) != 0) {
      if (errno == ENOENT) continue;
      throw file_error("look at", file, errno);
    }
    if (mine.st_ino != there.st_ino || mine.st_dev != there.st_dev) continue;
    Lock result;
    result.fd_ = fd.release();
    return result;
  }
}

Lock Lock::adopt(int fd) {
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) throw system_error("adopting a lock", errno);
  Lock lock;
  lock.fd_ = fd;
  return lock;
}

void Lock::release() {
  // Closing and not unlocking: F_UNLCK would take the lock from whoever was sent the descriptor.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

bool is_locked(const fs::path& file) {
  const Descriptor fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) {
    if (errno == ENOENT || errno == ENOTDIR) return false;
    throw file_error("open", file, errno);
  }
  struct flock lock = whole_file(F_RDLCK);
  while (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0) {
    if (errno != EINTR) throw file_error("look for a lock on", file, errno);
  }
  return lock.l_type != F_UNLCK;
}

int lock_holder(const fs::path& file) {
  if (!is_locked(file)) return 0;
  // The kernel knows no process for these locks (l_pid is -1), so the file's text has to tell. It
  // may be an earlier holder's; a process that is gone is none.
  const std::string text = holder_text(file);
  int pid = 0;
  std::from_chars(text.data(), text.data() + text.size(), pid);
  if (pid <= 0 || (::kill(pid, 0) != 0 && errno == ESRCH)) return 0;
  return pid;
}

void describe_holder(const Lock& lock, std::string_view what) {
  struct stat info;
  if (!lock.held() || ::fstat(lock.fd(), &info) != 0 || info.st_size > kMaxText) return;
  const std::string text = fmt::format("{} {}\n", ::getpid(), what.substr(0, kMaxText - 32));
  // Only for people: a full disk does not matter here.
  if (::ftruncate(lock.fd(), 0) != 0) return;
  [[maybe_unused]] const ssize_t n = ::pwrite(lock.fd(), text.data(), text.size(), 0);
}

std::string holder_description(const fs::path& file) {
  std::string text = holder_text(file);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  const std::size_t space = text.find(' ');
  return space == text.npos ? "" : text.substr(space + 1);
}

}  // namespace cifarpipe
