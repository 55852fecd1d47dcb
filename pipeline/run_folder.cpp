#include "pipeline/run_folder.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <utility>

#include "pipeline/file_ops.hpp"
#include "pipeline/random_id.hpp"

namespace cifarpipe {

std::string RunFolder::folder_name(std::int64_t start_ms, std::string_view name,
                                   std::string_view id) {
  std::string safe;
  for (const char c : name) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
    safe += ok ? c : '-';
  }
  if (safe.size() > 80) safe.resize(80);  // A cell's name can be longer than a file name may be.
  const std::string_view short_id = id.substr(0, 6);
  // A name that was not chosen ends with the id already.
  const std::string end = fmt::format("-{}", short_id);
  if (safe.ends_with(end)) safe.resize(safe.size() - end.size());
  return fmt::format("{}_{}_{}", folder_time(start_ms), safe, short_id);
}

RunFolder RunFolder::open(const std::filesystem::path& folder) {
  RunFolder run;
  run.path_ = folder;
  file_ops().make_dirs(folder / "stages");
  auto lock = Lock::try_lock(folder / "alive");
  if (!lock) {
    throw Error(fmt::format("{} is in use by another cifarpipe", folder.string()),
                ErrorKind::environment);
  }
  run.alive_ = std::move(*lock);
  const auto log = folder / "run.log";
  run.log_fd_ = ::open(log.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (run.log_fd_ < 0) throw system_error(fmt::format("cannot write {}", log.string()), errno);
  return run;
}

bool RunFolder::is_alive(const std::filesystem::path& folder) {
  return is_locked(folder / "alive");
}

void RunFolder::write(std::string_view name, std::string_view text) const {
  // Not made durable: the database holds the truth, and a sweep writes thousands of these.
  const auto file = path_ / name;
  const auto fresh = path_ / fmt::format("{}.new", name);
  std::ofstream out(fresh, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) throw system_error(fmt::format("cannot write {}", file.string()), errno);
  std::filesystem::rename(fresh, file);
}

void RunFolder::log(std::string_view line) {
  if (log_fd_ < 0) return;
  const std::string text = fmt::format("{} {}\n", log_time(now_ms()), line);
  // A log line that cannot be written (a full disk) must not end a training; results fail loudly.
  [[maybe_unused]] const ssize_t n = ::write(log_fd_, text.data(), text.size());
}

void RunFolder::link_stage(const std::string& stage, const std::filesystem::path& result) const {
  file_ops().replace_symlink(std::filesystem::relative(result, path_ / "stages"),
                             path_ / "stages" / stage);
}

void RunFolder::touch() const {
  futimens(alive_.fd(), nullptr);
}

void RunFolder::close() {
  if (log_fd_ >= 0) ::close(log_fd_);
  log_fd_ = -1;
  alive_.release();
}

RunFolder::RunFolder(RunFolder&& other) noexcept
    : path_(std::move(other.path_)),
      alive_(std::move(other.alive_)),
      log_fd_(std::exchange(other.log_fd_, -1)) {}

RunFolder& RunFolder::operator=(RunFolder&& other) noexcept {
  if (this != &other) {
    close();
    path_ = std::move(other.path_);
    alive_ = std::move(other.alive_);
    log_fd_ = std::exchange(other.log_fd_, -1);
  }
  return *this;
}

RunFolder::~RunFolder() {
  close();
}

}  // namespace cifarpipe
