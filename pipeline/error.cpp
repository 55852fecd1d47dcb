#include "pipeline/error.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace cifarpipe {

std::string Place::str() const {
  if (line == 0) return file;
  if (file == "--set") return fmt::format("--set {}:{}", line, column);
  if (column == 0) return fmt::format("{}:{}", file, line);
  return fmt::format("{}:{}:{}", file, line, column);
}

Error system_error(std::string_view what, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  return Error(fmt::format("{}: {}", what, std::strerror(error_number)),
               full ? ErrorKind::environment : ErrorKind::stage);
}

}  // namespace cifarpipe
