// What people and programs ask about runs: rows with their parameters and metrics, one run in full,
// one metric's points, and the JSON of all of it. Reads only. One thread.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/recorder.hpp"
#include "tracking/database.hpp"
#include "tracking/where.hpp"

namespace cifarpipe {

struct RunFilter {
  std::optional<std::string> experiment;
  std::optional<std::string> status;  ///< "FINISHED", …
  std::optional<std::string> parent;  ///< Only children of this run.
  bool deleted = false;               ///< Deleted ones too.
  std::optional<SqlText> where;       ///< A condition on rows of `run`.
  std::optional<SqlText> order;       ///< A value to sort by; without one, newest first.
  bool descending = false;            ///< Runs without the value come last either way.
};

/// A parameter as it was given: its type and its text (a string without quotes; JSON for lists).
struct RunParam {
  std::string key;   ///< "train.lr"
  std::string type;  ///< "bool", "integer", "number", "string", "json"
  std::string text;
};

/// What a metric of a run came to. `last` may be NaN or infinite; least and greatest are those of
/// its finite values, if it has any.
struct MetricSummary {
  std::string key;  ///< "train/loss"
  std::int64_t points = 0;
  double last = 0;
  std::int64_t step = 0;
  std::int64_t time_ms = 0;
  std::optional<double> min;
  std::optional<double> max;
};

/// One attempt of a job, with what became of its points.
struct AttemptRow {
  int number = 0;
  std::string status;  ///< "running", "finished", "failed", "killed"
  std::int64_t start_ms = 0;
  std::int64_t end_ms = 0;         ///< 0: unknown, it was killed.
  int from_attempt = 0;            ///< Whose checkpoint it went on from; 0: from the beginning.
  std::int64_t from_sequence = 0;  ///< The last point of that attempt that it covers.
  std::optional<std::int64_t> from_step;  ///< That point's step, if there is one.
  std::optional<Usage> usage;
  std::int64_t points = 0;      ///< That it made, also those hidden by now.
  std::int64_t superseded = 0;  ///< Of them, those that a later attempt made again.
};

/// One stage of a run, with the job that it points to as far as that is known.
struct StageRow {
  std::string name;
  std::string uses;
  std::string action;
  std::string status;
  std::string reason;
  std::string message;
  std::optional<JobRef> job;
  std::int64_t attempts = 0;
  std::optional<Usage> usage;  ///< Of the result, or else of the last attempt that ended.
  std::vector<PortFiles> outputs;
  std::vector<std::pair<std::string, std::string>> facts;  ///< What the stage said of its result.
  std::vector<AttemptRow> history;                         ///< Its job's attempts.
  std::string key_document;  ///< The JSON that the key is the digest of, once there is a result.
};

struct RunRow {
  RunRecord record;
  bool deleted = false;
  std::string command;
  std::string note;
  std::string message;
};

struct MetricPoint {
  std::int64_t step = 0;
  std::int64_t time_ms = 0;
  double value = 0;
};

/// Questions to a database that `SqliteRecorder` opened.
class RunQueries {
 public:
  explicit RunQueries(Database& db);
  Database& database() { return db_; }

  /// Newest first, or in the filter's order.
  std::vector<RunRow> runs(const RunFilter& filter);
  RunRow run(const std::string& id);
  std::vector<RunParam> params(const std::string& run_id);
  std::vector<MetricSummary> metrics(const std::string& run_id);
  std::vector<StageRow> stages(const std::string& run_id);
  std::vector<std::pair<std::string, std::string>> tags(const std::string& run_id);
  std::vector<std::pair<std::string, std::string>> facts(const std::string& run_id);
  /// The points of "train/loss" in the order in which they were made; empty if there are none.
  std::vector<MetricPoint> points(const std::string& run_id, std::string_view key);
  /// "train.lr=0.003,…" of an experiment's newest runs that are cells of a sweep; at most `limit`.
  std::vector<std::string> newest_cells(const std::string& experiment, int limit);

  /// System metrics: points of the run itself. `metrics` leaves them out, `points` knows them.
  std::vector<MetricSummary> system_metrics(const std::string& run_id);
  /// Of "system/cpu_utilization_percentage", by step; those after `after_step`.
  std::vector<MetricPoint> run_points(const std::string& run_id, std::string_view key,
                                      std::int64_t after_step = -1);

  nlohmann::ordered_json list_json(const RunFilter& filter, std::size_t limit);
  nlohmann::ordered_json show_json(const std::string& id);

 private:
  nlohmann::ordered_json row_json(const RunRow& row);
  nlohmann::ordered_json metrics_json(const std::string& run_id);
  nlohmann::ordered_json stage_json(const StageRow& stage);
  std::vector<PortFiles> outputs(std::int64_t job_id);
  std::vector<AttemptRow> attempts(std::int64_t job_id);
  std::vector<std::pair<std::string, std::string>> pairs(const char* sql, const auto& id);

  Database& db_;
  Statement params_;
  Statement metrics_;
  Statement system_;
  Statement outputs_;
};

}  // namespace cifarpipe
