// A recorded run as something that can be carried out again: its configuration with what was left
// to the machine filled in, and a store that holds what it took from elsewhere. Main thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/config_arguments.hpp"
#include "pipeline/lock.hpp"
#include "tracking/reproduction.hpp"

namespace cifarpipe::cli {

/// The run, which must be finished and have stages of its own. `in_use` is locked against gc.
/// Throws an Error (usage).
RunOutcome recorded_run(const Program& program, const std::string& name,
                        std::optional<Lock>& in_use);

/// The run's resolved.toml, checked; prints what is wrong with it. `sets`: as --set. Throws an
/// Error (environment): this program and its plugins cannot do what was recorded.
LoadedConfig recorded_configuration(const Program& program, const RunOutcome& run,
                                    const std::vector<std::string>& sets);

/// Each stage with the stages that its inputs come from.
std::vector<std::pair<std::string, std::vector<std::string>>> producers_of(const Cell& cell);

/// Fills in what the machine decided at that time (threads, and device and precision where they are
/// "auto"), lets paths below `top` name what is laid out in `files` (empty: nothing is), inputs
/// from earlier runs what `fill_store` puts there, and tells no MLflow server.
void as_recorded(Configuration& configuration, const RunOutcome& run,
                 const std::filesystem::path& top, const std::filesystem::path& files);

/// Makes the store at `runs` and puts into it, as copies, the results of earlier runs that `run`
/// took, and, unless `fetch`, its own results that came from the net, if they are still whole. The
/// stages of these. Throws an Error (environment).
std::vector<std::string> fill_store(const Program& program, const Configuration& configuration,
                                    const RunOutcome& run, const std::filesystem::path& runs,
                                    bool fetch);

/// What was made in such a store.
RunOutcome made_run(const std::filesystem::path& runs);
bool was_taken_over(const RunOutcome& made, const std::string& stage);

}  // namespace cifarpipe::cli
