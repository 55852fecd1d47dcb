#include "cli/output_file.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "pipeline/error.hpp"

namespace cifarpipe::cli {

namespace fs = std::filesystem;

OutputFile::OutputFile(const fs::path& file) : file_(file) {
  std::error_code error;
  const fs::path parent = file.parent_path();
  if (!parent.empty() && !fs::is_directory(parent, error)) {
    throw Error(
        fmt::format("cannot write '{}': there is no folder '{}'", file.string(), parent.string()),
        ErrorKind::usage);
  }
  if (file.empty() || fs::is_directory(file, error)) {
    throw Error(fmt::format("'{}' is a folder; a file is wanted", file.string()), ErrorKind::usage);
  }
  part_ = file;
  part_ += fmt::format(".part-{}", getpid());
  errno = 0;
  out_.open(part_, std::ios::binary | std::ios::trunc);
  if (!out_) {
    throw Error(fmt::format("cannot write '{}': {}", file.string(), std::strerror(errno)),
                ErrorKind::environment);
  }
}

OutputFile::~OutputFile() {
  if (done_) return;
  out_.close();
  std::error_code ignored;
  fs::remove(part_, ignored);
}

void OutputFile::commit() {
  errno = 0;
  out_.close();
  std::error_code error;
  if (!out_) {
    error.assign(errno != 0 ? errno : EIO, std::generic_category());
  } else {
    fs::rename(part_, file_, error);
  }
  if (error) {
    throw Error(fmt::format("cannot write '{}': {}", file_.string(), error.message()),
                ErrorKind::environment);
  }
  done_ = true;
}

}  // namespace cifarpipe::cli
