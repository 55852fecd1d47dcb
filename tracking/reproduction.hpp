// A run and its reproduction, side by side: what each stage made and measured, as it is recorded,
// and what differed around it. Values; reads one database at a time. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tracking/recorder.hpp"

namespace cifarpipe {

/// What one stage of a run made.
struct StageOutcome {
  std::string name;
  std::string uses;
  std::string action;  ///< "run", "cached", …
  std::string status;  ///< "finished", …
  JobRef job;          ///< key empty while unknown.
  std::string key_document;
  std::vector<PortFiles> outputs;
  std::vector<VisiblePoint> points;  ///< In the order in which they were made.
  std::vector<std::pair<std::string, std::string>> facts;  ///< What the stage said of its result.
};

struct RunOutcome {
  RunRecord record;
  std::vector<StageOutcome> stages;  ///< In the file's order.
  std::vector<std::pair<std::string, std::string>> facts;
};

/// Throws an Error (usage) if there is no such run.
RunOutcome outcome_of(SqliteRecorder& recorder, const std::string& run_id);

/// One metric of one stage at the first point where it is not as it was. Nothing on one side: it
/// has no such point.
struct PointDifference {
  std::string metric;        ///< Without the stage: "loss".
  std::size_t position = 0;  ///< Among all points of the stage: the earliest is told first.
  std::int64_t step = 0;
  std::optional<double> before;
  std::optional<double> now;
  std::optional<std::int64_t> step_now;  ///< If the point is there, but of another step.
};

struct StageComparison {
  enum class Verdict {
    same,     ///< All files and points; within the tolerance, if there is one.
    differs,  ///< `files` or `points` say in what.
    missing,  ///< The reproduction did not get to its end.
  };
  std::string name;
  Verdict verdict = Verdict::same;
  std::size_t file_count = 0;           ///< Recorded.
  std::size_t point_count = 0;          ///< Recorded and compared.
  std::vector<std::string> files;       ///< "port/path", sorted: not as they were.
  std::vector<PointDifference> points;  ///< The first of each metric, the earliest first.
};

/// Each stage of `before` beside the stage of that name in `now`. Files by digest, metrics point by
/// point in their order: equal bits (any NaN equals any other), or, with a tolerance, at most that
/// far apart; files then do not decide, since they hold the digits that may differ.
std::vector<StageComparison> compare_outcomes(const RunOutcome& before, const RunOutcome& now,
                                              std::optional<double> tolerance);

/// Something around a run that is not as it was; empty: not recorded there.
struct Circumstance {
  std::string name;  ///< "cpu", "plugin.train", "data.train.labels"
  std::string before;
  std::string now;
};
/// The machine, the program, plugins, numerics, seeds, data. What git says is left out: the
/// reproduction is no checkout.
std::vector<Circumstance> differing_circumstances(const RunOutcome& before, const RunOutcome& now);

}  // namespace cifarpipe
