// Everything that a report says of one run, read from the database, the store and the run's folder.
// What is gone (a result that gc removed, a deleted folder) is empty here, never an error. One
// thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/store.hpp"
#include "tracking/queries.hpp"

namespace cifarpipe::report {

struct StageData {
  StageRow row;
  std::filesystem::path dir;  ///< Of the result; empty without one.

  bool has(std::string_view port, std::string_view path) const;
  /// A file of the result; nothing if it is not there (any more) or larger than `most` bytes.
  std::optional<std::string> read(std::string_view port, std::string_view path,
                                  std::uint64_t most = 64 << 20) const;
};

struct RunData {
  RunRow row;
  std::vector<RunParam> params;
  std::vector<MetricSummary> metrics;
  std::vector<StageData> stages;
  std::vector<std::pair<std::string, std::string>> tags;
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<RunRow> children;  ///< Cells or linked runs, in the order of their making.
  std::string parent_name;
  std::string as_written;               ///< pipeline.toml
  std::string resolved;                 ///< resolved.toml
  std::string diff;                     ///< changes.diff
  std::vector<std::string> last_lines;  ///< Of run.log.
  std::int64_t now_ms = 0;
  std::vector<std::string> program;  ///< As Source has it.

  /// "" if it is not known.
  std::string fact(std::string_view key) const;
  const MetricSummary* metric(std::string_view key) const;
  /// From its start to its end, or until now.
  std::int64_t took_ms() const;
};

/// What reports read from.
struct Source {
  RunQueries& queries;
  const Store& store;
  std::int64_t now_ms = 0;
  std::vector<std::string> program = {"cifarpipe"};  ///< With what leads it to this store.
};

RunData load_run(const Source& source, const std::string& id);

}  // namespace cifarpipe::report
