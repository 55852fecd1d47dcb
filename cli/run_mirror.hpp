// What `cifarpipe run` has to do with MLflow: which server, what the runs record about it, the
// thread that feeds it (tracking/live_mirror.hpp), and the last seconds. Never changes what the
// command does or returns. Main thread.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/command.hpp"
#include "cli/session.hpp"
#include "pipeline/observer.hpp"
#include "pipeline/run_book.hpp"
#include "tracking/live_mirror.hpp"

namespace cifarpipe::cli {

/// Of the server that the file or the environment names; empty: none. One that cannot be written to
/// is told and counts as none.
mlflow::Settings mirror_settings(const Configuration& configuration, RunObserver& observer);
/// What a run records, so that `sync` finds the same place later.
std::vector<std::pair<std::string, std::string>> mirror_facts(const Configuration& configuration,
                                                              const mlflow::Settings& settings);

class RunMirror {
 public:
  /// Begins to feed the runs of `book`, which are open, unless `settings` are empty.
  RunMirror(const Program& program, const Configuration& configuration,
            const mlflow::Settings& settings, Session& session, const RunBook& book,
            RunObserver& observer);
  ~RunMirror();

  /// The observer with what the mirror has to say, once each.
  RunObserver& observer();
  /// The runs have ended with this exit code: waits for what is left, within the deadline, and says
  /// what is left then.
  void finish(int exit_code, bool json);

 private:
  class Teller;
  void wait_for_rest(int exit_code);
  void tell_rest(bool json);

  const Program& program_;
  const Configuration& configuration_;
  Session& session_;
  RunObserver& observer_;
  std::string uri_;
  std::vector<std::string> runs_;
  std::unique_ptr<LiveMirror> live_;
  std::unique_ptr<Teller> teller_;
};

}  // namespace cifarpipe::cli
