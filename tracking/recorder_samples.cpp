// System metrics: points of a run itself, beside those of its jobs. None is ever superseded; what
// lists show of them is kept in the same transaction.
#include <cmath>
#include <optional>

#include "tracking/recorder.hpp"
#include "tracking/rows.hpp"

namespace cifarpipe {
namespace {

std::optional<double> finite(double v) {
  return std::isfinite(v) ? std::optional<double>(v) : std::nullopt;
}

}  // namespace

void SqliteRecorder::store_run_sample(const std::string& run_id, const RunSample& sample) {
  if (sample.values.empty()) return;
  Transaction transaction(db_);
  // From the summaries, of which there are few, not from the points.
  Statement& last =
      prepared("SELECT coalesce(max(last_step), -1) + 1 FROM run_point_summary WHERE run_id = ?");
  last.with(run_id).step();
  const std::int64_t step = last.integer(0);
  last.reset();
  for (const auto& [name, value] : sample.values) {
    const std::int64_t metric = metric_id(name);
    prepared("INSERT INTO run_point VALUES (?, ?, ?, ?, ?, ?)")
        .with(run_id, metric, step, sample.time_ms, finite(value), kind_of(value))
        .run();
    prepared(
        "INSERT INTO run_point_summary VALUES (?, ?, 1, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO UPDATE SET points = points + 1, last = excluded.last, "
        "last_kind = excluded.last_kind, last_step = excluded.last_step, "
        "last_time_ms = excluded.last_time_ms, "
        "minimum = coalesce(min(minimum, excluded.minimum), minimum, excluded.minimum), "
        "maximum = coalesce(max(maximum, excluded.maximum), maximum, excluded.maximum)")
        .with(run_id, metric, finite(value), kind_of(value), step, sample.time_ms, finite(value),
              finite(value))
        .run();
  }
  transaction.commit();
}

}  // namespace cifarpipe
