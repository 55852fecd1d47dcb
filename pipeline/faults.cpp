#include "pipeline/faults.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>

namespace cifarpipe {
namespace fs = std::filesystem;

Fault Fault::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view kind = text.substr(0, colon);
  Fault fault;
  if (kind == "fail") fault.kind = Kind::fail;
  if (kind == "enospc") fault.kind = Kind::enospc;
  if (kind == "kill") fault.kind = Kind::kill;
  const std::string_view number = colon == text.npos ? "" : text.substr(colon + 1);
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), fault.at);
  if (fault.kind == Kind::none || code != std::errc() || end != number.data() + number.size() ||
      fault.at == 0) {
    throw Error(fmt::format("CIFARPIPE_FAULT={}: expected fail:N, enospc:N or kill:N", text),
                ErrorKind::usage);
  }
  return fault;
}

FaultyFileOps::FaultyFileOps(FileOps& ops, Fault fault, fs::path trace)
    : ops_(ops), fault_(fault), trace_(std::move(trace)) {}

bool FaultyFileOps::due(std::string_view operation, const fs::path& path, bool needs_space) {
  const std::uint64_t n = ++count_;
  if (!trace_.empty()) {
    // One write with O_APPEND: the lines of several processes do not mix.
    const Descriptor fd = open_file(trace_, O_WRONLY | O_APPEND | O_CREAT);
    const std::string line = fmt::format("{} {} {} {} {}\n", program_invocation_short_name,
                                         ::getpid(), n, operation, path.string());
    if (::write(fd.get(), line.data(), line.size()) < 0) throw file_error("write", trace_, errno);
  }
  if (fault_.kind == Fault::Kind::none) return false;
  return n == fault_.at || (fault_.kind == Fault::Kind::enospc && n > fault_.at && needs_space);
}

void FaultyFileOps::strike(std::string_view verb, const fs::path& path) const {
  if (fault_.kind == Fault::Kind::kill) {
    ::kill(::getpid(), SIGKILL);
    for (;;) ::pause();
  }
  throw file_error(verb, path, fault_.kind == Fault::Kind::enospc ? ENOSPC : EIO);
}

void FaultyFileOps::make_dirs(const fs::path& dir) {
  if (due("make_dirs", dir, true)) strike("create the folder", dir);
  ops_.make_dirs(dir);
}

void FaultyFileOps::write_file(const fs::path& file, std::string_view text) {
  if (due("write_file", file, true)) {
    ops_.write_file(file, text.substr(0, text.size() / 2));
    strike("write", file);
  }
  ops_.write_file(file, text);
}

void FaultyFileOps::rename(const fs::path& from, const fs::path& to) {
  if (due("rename", from, true)) strike(fmt::format("rename '{}' to", from.string()), to);
  ops_.rename(from, to);
}

void FaultyFileOps::sync_file(const fs::path& file) {
  if (due("sync_file", file, false)) strike("make durable", file);
  ops_.sync_file(file);
}

void FaultyFileOps::sync_file_system(const fs::path& dir) {
  if (due("sync_file_system", dir, false)) strike("make durable", dir);
  ops_.sync_file_system(dir);
}

void FaultyFileOps::sync_dir(const fs::path& dir) {
  if (due("sync_dir", dir, false)) strike("make durable", dir);
  ops_.sync_dir(dir);
}

void FaultyFileOps::remove_all(const fs::path& path) {
  if (due("remove_all", path, false)) {
    std::error_code code;
    const fs::directory_iterator first(path, code);
    if (!code && first != fs::directory_iterator()) ops_.remove_all(first->path());
    strike("remove", path);
  }
  ops_.remove_all(path);
}

void FaultyFileOps::symlink(const fs::path& target, const fs::path& link) {
  if (due("symlink", link, true)) strike("link", link);
  ops_.symlink(target, link);
}

void FaultyFileOps::chmod(const fs::path& path, unsigned mode) {
  if (due("chmod", path, false)) strike("set the mode of", path);
  ops_.chmod(path, mode);
}

std::unique_ptr<FileOps> faults_from_environment(FileOps& ops) {
  const char* wish = std::getenv("CIFARPIPE_FAULT");
  const char* trace = std::getenv("CIFARPIPE_FAULT_COUNT");
  if (wish == nullptr && trace == nullptr) return nullptr;
  Fault fault;
  if (wish != nullptr) {
    const std::string_view text = wish;
    const std::size_t at = text.find('@');
    fault = Fault::parse(text.substr(0, at));
    if (at != text.npos && text.substr(at + 1) != program_invocation_short_name) fault = {};
  }
  return std::make_unique<FaultyFileOps>(ops, fault, trace != nullptr ? trace : "");
}

}  // namespace cifarpipe
