// What people and programs ask of the history: runs with their parameters, stages and metrics, as
// plain structs, and as the JSON that the commands print. Read-only. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/recorder.hpp"

namespace cifarpipe {

class Database;

/// A metric of a run, with the instance in front: "train/loss".
struct MetricSummary {
  std::string key;
  std::int64_t count = 0;
  std::int64_t step = 0;  ///< Of the last point.
  double last = 0;
  double minimum = 0;  ///< Of the finite points.
  double maximum = 0;
};

struct StageRow {
  RunStage stage;
  int attempts = 0;
  Usage usage;
  std::vector<PortFiles> outputs;
  std::vector<std::pair<std::string, std::string>> facts;
};

struct RunRow {
  RunRecord run;
  bool deleted = false;
  std::string note;
  std::string command;
  std::string message;
  std::vector<std::pair<std::string, Value>> params;
  std::vector<std::pair<std::string, std::string>> tags;
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<StageRow> stages;
  std::vector<MetricSummary> metrics;
};

struct RunFilter {
  std::string experiment;  ///< Empty: all.
  std::string status;      ///< "FAILED", …; empty: all.
  bool deleted = false;    ///< Deleted ones too.
  int limit = 0;           ///< 0: all.
};

/// Newest first, with parameters and metrics but without stages and facts.
std::vector<RunRow> list_runs(Database& db, const RunFilter& filter);
/// Everything about one run.
RunRow show_run(Database& db, const RunRecord& run);
/// All points of a run's metric, in the order in which they were made.
std::vector<VisiblePoint> run_metric(Database& db, const std::string& run_id,
                                     const std::string& key);

/// As `runs list --json` and `runs show --json` print them.
std::string runs_json(const std::vector<RunRow>& runs);
std::string run_json(const RunRow& run);
std::string points_json(const std::vector<VisiblePoint>& points);

}  // namespace cifarpipe
