// The one exception type of cifarpipe, and the place in a file that it may point at.
// Whoever catches an Error prints `what()` as it stands: a sentence that says what is wrong, where,
// and what to do. Values only, no shared state: any thread.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cifarpipe {

/// A position in a configuration file or in a `--set` argument. Lines and columns count from 1;
/// columns count code points; 0 means "unknown".
struct Place {
  std::string file;  ///< As the user wrote it, or "--set" for the command line.
  int line = 0;
  int column = 0;

  /// "file:line:column", leaving out what is unknown; for `--set` "--set 1:COL" with the number of
  /// the argument as the line.
  std::string str() const;
  bool known() const { return !file.empty(); }
  friend bool operator==(const Place&, const Place&) = default;
};

/// What went wrong, in the words of the exit codes.
enum class ErrorKind {
  stage = 1,        ///< A stage failed while it ran.
  usage = 2,        ///< The configuration or the command line is wrong.
  environment = 3,  ///< The machine or the store cannot do it (also: the store's disk is full).
};

class Error : public std::runtime_error {
 public:
  explicit Error(std::string message, ErrorKind kind = ErrorKind::stage)
      : std::runtime_error(std::move(message)), kind_(kind) {}
  Error(std::string message, Place place, ErrorKind kind = ErrorKind::usage)
      : std::runtime_error(std::move(message)), kind_(kind), place_(std::move(place)) {}

  ErrorKind kind() const { return kind_; }
  int exit_code() const { return static_cast<int>(kind_); }
  const std::optional<Place>& place() const { return place_; }

 private:
  ErrorKind kind_;
  std::optional<Place> place_;
};

/// Thrown out of `Stage::run` by a stage that was asked to stop and has written its checkpoint.
/// Not a failure: the run becomes KILLED and the same command goes on from the checkpoint.
class Interrupted : public Error {
 public:
  Interrupted() : Error("stopped on request") {}
};

/// An Error for a failed system call: "<what>: <strerror>". A full disk (ENOSPC, EDQUOT) is an
/// environment error, so that it ends with exit code 3.
Error system_error(std::string_view what, int error_number);

}  // namespace cifarpipe
