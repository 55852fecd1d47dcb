#include "pipeline/file_ops.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "pipeline/faults.hpp"

namespace cifarpipe {
namespace fs = std::filesystem;
namespace {

/// Calls until the call is not interrupted by a signal.
template <class Call>
auto retry(Call call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

void sync_path(const fs::path& path, int flags) {
  const Descriptor fd = open_file(path, flags);
  // Some file systems cannot fsync a folder; there is nothing more to do for it then.
  const bool folder = (flags & O_DIRECTORY) != 0;
  if (retry([&] { return ::fsync(fd.get()); }) != 0 && !(folder && errno == EINVAL)) {
    throw file_error("make durable", path, errno);
  }
}

class RealFileOps final : public FileOps {
 public:
  void make_dirs(const fs::path& dir) override {
    std::error_code code;
    fs::create_directories(dir, code);
    if (code) throw file_error("create the folder", dir, code.value());
  }

  void write_file(const fs::path& file, std::string_view text) override {
    Descriptor fd = open_file(file, O_WRONLY | O_CREAT | O_TRUNC);
    while (!text.empty()) {
      const ssize_t n = retry([&] { return ::write(fd.get(), text.data(), text.size()); });
      if (n < 0) throw file_error("write", file, errno);
      text.remove_prefix(static_cast<std::size_t>(n));
    }
    if (retry([&] { return ::fsync(fd.get()); }) != 0) throw file_error("write", file, errno);
    // close may be what tells of a failed write (NFS); it frees the descriptor even on EINTR.
    if (::close(fd.release()) != 0 && errno != EINTR) throw file_error("write", file, errno);
  }

  void rename(const fs::path& from, const fs::path& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) {
      throw file_error(fmt::format("rename '{}' to", from.string()), to, errno);
    }
  }

  void sync_file(const fs::path& file) override { sync_path(file, O_RDONLY); }
  void sync_dir(const fs::path& dir) override { sync_path(dir, O_RDONLY | O_DIRECTORY); }

  void sync_file_system(const fs::path& dir) override {
    const Descriptor fd = open_file(dir, O_RDONLY | O_DIRECTORY);
    if (retry([&] { return ::syncfs(fd.get()); }) != 0)
      throw file_error("make durable", dir, errno);
  }

  void remove_all(const fs::path& path) override {
    std::error_code code;
    fs::remove_all(path, code);
    if (code == std::errc::permission_denied) {
      // A folder without the owner's write bit: whoever is not root has to give it back first.
      make_writable(path);
      fs::remove_all(path, code);
    }
    if (code) throw file_error("remove", path, code.value());
  }

  void symlink(const fs::path& target, const fs::path& link) override {
    if (::symlink(target.c_str(), link.c_str()) != 0) throw file_error("link", link, errno);
  }

  void chmod(const fs::path& path, unsigned mode) override {
    if (::chmod(path.c_str(), mode) != 0) throw file_error("set the mode of", path, errno);
  }

 private:
  static void make_writable(const fs::path& path) {
    struct stat info;
    if (::lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) return;
    ::chmod(path.c_str(), 0700);
    std::error_code code;
    for (fs::directory_iterator i(path, code), end; !code && i != end; i.increment(code)) {
      make_writable(i->path());
    }
  }
};

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor open_file(const fs::path& file, int flags, unsigned mode) {
  const int fd = retry([&] { return ::open(file.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) throw file_error("open", file, errno);
  return Descriptor(fd);
}

Error file_error(std::string_view verb, const fs::path& file, int error_number) {
  const std::string reason = std::strerror(error_number);
  if (error_number == ENOSPC || error_number == EDQUOT) {
    return Error(
        fmt::format("the disk of '{}' is full (cannot {} it: {}); free some space and give "
                    "the same command again",
                    file.string(), verb, reason),
        ErrorKind::environment);
  }
  return Error(fmt::format("cannot {} '{}': {}", verb, file.string(), reason));
}

void FileOps::replace_file(const fs::path& file, std::string_view text) {
  // The process id keeps two writers of one file from each other's text.
  const fs::path tmp = file.string() + fmt::format(".{}.tmp", ::getpid());
  try {
    write_file(tmp, text);
    rename(tmp, file);
  } catch (...) {
    try_remove_all(tmp);
    throw;
  }
  sync_dir(file.has_parent_path() ? file.parent_path() : fs::path("."));
}

void FileOps::replace_symlink(const fs::path& target, const fs::path& link) {
  const fs::path tmp = link.string() + fmt::format(".{}.tmp", ::getpid());
  try {
    remove_all(tmp);  // A killed process of the same number may have left it.
    symlink(target, tmp);
    rename(tmp, link);
  } catch (...) {
    try_remove_all(tmp);
    throw;
  }
}

void FileOps::sync_tree(const fs::path& dir) {
  std::error_code code;
  for (fs::directory_iterator i(dir, code), end; !code && i != end; i.increment(code)) {
    const fs::file_status status = i->symlink_status(code);
    if (code) break;
    if (fs::is_directory(status)) {
      sync_tree(i->path());
    } else if (fs::is_regular_file(status)) {
      sync_file(i->path());
    }
  }
  if (code) throw file_error("list", dir, code.value());
  sync_dir(dir);
}

void FileOps::try_remove_all(const fs::path& path) noexcept {
  try {
    remove_all(path);
  } catch (const std::exception&) {
    // What stays behind is what a kill leaves too, and is cleared away where that is.
  }
}

FileOps& real_file_ops() {
  static RealFileOps ops;
  return ops;
}

FileOps& file_ops() {
  static const std::unique_ptr<FileOps> faulty = faults_from_environment(real_file_ops());
  return faulty ? *faulty : real_file_ops();
}

std::string read_text_file(const fs::path& file) {
  const Descriptor fd = open_file(file, O_RDONLY);
  std::string text;
  std::size_t used = 0;
  for (;;) {
    if (text.size() - used < 4096) text.resize(text.size() * 2 + 16384);
    const ssize_t n =
        retry([&] { return ::read(fd.get(), text.data() + used, text.size() - used); });
    if (n < 0) throw file_error("read", file, errno);
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  text.resize(used);
  return text;
}

}  // namespace cifarpipe
