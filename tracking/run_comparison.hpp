// What runs have different: parameters, metrics point by point, the state of the source, data,
// environment, plugins. Reads the database and, for the source, the runs' folders. One thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tracking/queries.hpp"

namespace cifarpipe {

/// One thing that runs have, with what each has of it; nothing where one lacks it.
struct ComparedValue {
  std::string key;
  std::vector<std::optional<std::string>> values;
  bool differs = false;
};

struct ComparedMetric {
  std::string key;
  std::vector<std::optional<MetricSummary>> summaries;
  std::vector<std::vector<MetricPoint>> points;
  bool differs = false;  ///< In steps or values; when they were logged does not matter.
  std::optional<std::int64_t> first_step;  ///< Where they part, if they differ.
  bool may_differ = false;  ///< Of speed or of the machine: equal runs can differ in it.
};

struct RunComparison {
  std::vector<RunRow> runs;
  std::vector<ComparedValue> outcome;  ///< Status, and the stages that a run has.
  std::vector<ComparedValue> params;
  std::vector<ComparedMetric> metrics;
  std::vector<ComparedValue> git;          ///< commit, branch, dirty
  std::vector<ComparedValue> changes;      ///< Files changed since the commit; a digest of how.
  std::vector<ComparedValue> data;         ///< Digests of what stages read from outside and made.
  std::vector<ComparedValue> environment;  ///< Other facts: host, cpu, libtorch, seeds, numerics.
  std::vector<ComparedValue> plugins;

  /// Whether nothing differs but what may.
  bool equal() const;
};

RunComparison compare_runs(RunQueries& queries, const std::vector<std::string>& ids);

/// `all`: what is equal too. Points are left out; `runs export` has them.
nlohmann::ordered_json to_json(const RunComparison& comparison, bool all);

/// The files of a diff in git's format, each with its part of the text.
std::vector<std::pair<std::string, std::string>> files_of_diff(std::string_view diff);

/// Whether equal runs may differ in this metric: rates, and what the machine did.
bool may_differ(std::string_view metric);

}  // namespace cifarpipe
