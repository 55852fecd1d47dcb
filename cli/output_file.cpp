#include "cli/output_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pipeline/error.hpp"

namespace cifarpipe::cli {
namespace {

namespace fs = std::filesystem;

/// A device, a pipe or an open descriptor: written to, since a file in its place would be another.
bool is_written_itself(const fs::path& file) {
  const std::string name = file.string();
  for (const std::string_view open : {"/dev/std", "/dev/fd/", "/proc/self/fd/"}) {
    if (name.starts_with(open)) return true;
  }
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  return fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status);
}

/// Whether it is empty or begins as one of `own` does.
bool is_own(const fs::path& file, const OwnFiles& own) {
  std::size_t longest = 1;
  for (const std::string_view b : own.beginnings) longest = std::max(longest, b.size());
  std::string begin(longest, '\0');
  std::ifstream in(file, std::ios::binary);
  if (!in) return false;  // What cannot be read may be anything.
  in.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<std::size_t>(in.gcount()));
  return begin.empty() || std::any_of(own.beginnings.begin(), own.beginnings.end(),
                                      [&](std::string_view b) { return begin.starts_with(b); });
}

}  // namespace

bool means_stdout(const std::string& path) {
  return path == "-" || path == "/dev/stdout";
}

void require_own_or_nothing(const fs::path& file, const OwnFiles& own) {
  if (file.empty()) throw Error("the name of the file to write is empty", ErrorKind::usage);
  std::error_code error;
  const fs::path parent = file.parent_path();
  if (!parent.empty() && !fs::is_directory(parent, error)) {
    throw Error(
        fmt::format("cannot write '{}': there is no folder '{}'", file.string(), parent.string()),
        ErrorKind::usage);
  }
  if (!file.has_filename() || fs::is_directory(file, error)) {
    throw Error(fmt::format("'{}' is a folder; a file is wanted", file.string()), ErrorKind::usage);
  }
  if (is_written_itself(file) || !fs::exists(file, error) || is_own(file, own)) return;
  throw Error(fmt::format("'{}' is there already and was not written by {}; choose another name, "
                          "or remove it first",
                          file.string(), own.command),
              ErrorKind::usage);
}

OutputFile::OutputFile(const fs::path& file, const OwnFiles& own) : file_(file) {
  require_own_or_nothing(file, own);
  errno = 0;
  if (is_written_itself(file)) {
    out_.open(file, std::ios::binary | std::ios::app);
  } else {
    std::error_code error;
    // A link stays, and what it points to is replaced.
    if (const fs::path target = fs::canonical(file, error); !error) file_ = target;
    part_ = file_;
    part_ += fmt::format(".part-{}", getpid());
    errno = 0;
    out_.open(part_, std::ios::binary | std::ios::trunc);
  }
  if (!out_) {
    throw Error(fmt::format("cannot write '{}': {}", file.string(), std::strerror(errno)),
                ErrorKind::environment);
  }
}

OutputFile::~OutputFile() {
  if (done_ || part_.empty()) return;
  out_.close();
  std::error_code ignored;
  fs::remove(part_, ignored);
}

void OutputFile::refuse(const std::string& problem) const {
  throw Error(fmt::format("cannot write '{}': {}", file_.string(), problem),
              ErrorKind::environment);
}

void OutputFile::close() {
  if (closed_) return;
  closed_ = true;
  const bool failed_before = !out_;  // Why is forgotten.
  errno = 0;
  out_.close();
  if (failed_before || (!out_ && errno == 0)) {
    refuse("a part of it is missing; is the disk full?");
  }
  if (!out_) refuse(std::strerror(errno));
}

void OutputFile::commit() {
  close();
  if (std::error_code error; !part_.empty()) {
    fs::rename(part_, file_, error);
    if (error) refuse(error.message());
  }
  done_ = true;
}

}  // namespace cifarpipe::cli
