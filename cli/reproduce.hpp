// What the files of `cifarpipe reproduce` share. Main thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tracking/reproduction.hpp"

namespace cifarpipe::cli {

/// How the program that carries the reproduction out ended.
struct ReproductionEnd {
  int exit_code = 0;
  int signal = 0;       ///< That we were asked to stop with and passed on; 0: none.
  std::string failure;  ///< "train failed: …", as far as it said so.
};

/// Runs `command` (a `cifarpipe run … --json`) to its end, in a process group of its own, and shows
/// on a live terminal what it does. Its stderr goes to the file `errors`. A signal for us is passed
/// on; it dies with us. Expects INT, TERM and HUP blocked. Throws Error (environment).
ReproductionEnd carry_out(const std::vector<std::string>& command,
                          const std::filesystem::path& errors, bool live);

/// All that is told at the end.
struct Reproduction {
  RunOutcome before;
  RunOutcome now;
  std::vector<StageComparison> stages;
  std::vector<Circumstance> circumstances;
  std::vector<std::string> taken_over;  ///< Stages whose result was read again and not made again.
  std::vector<std::pair<std::string, std::vector<std::string>>>
      producers;         ///< Stage → its inputs'.
  std::string commit;    ///< Laid out; empty: none.
  bool changed = false;  ///< What was changed since that commit was laid out too.
  std::string missing;   ///< Of the state at that time.
  std::optional<double> tolerance;
  ReproductionEnd end;
  std::filesystem::path kept;  ///< Empty: nothing is left.
};
bool is_reproduced(const Reproduction& reproduction);
void print_reproduction(const Reproduction& reproduction);
void print_reproduction_json(const Reproduction& reproduction);

}  // namespace cifarpipe::cli
