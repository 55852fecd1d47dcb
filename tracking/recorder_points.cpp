// Metric points: what is stored once, what later attempts hide, and the summaries that lists show.
#include <algorithm>
#include <cmath>

#include "tracking/recorder.hpp"
#include "tracking/rows.hpp"

namespace cifarpipe {
namespace {

std::optional<double> finite(double v) {
  return std::isfinite(v) ? std::optional<double>(v) : std::nullopt;
}

}  // namespace

void SqliteRecorder::NewPoints::add(const RingPoint& point) {
  ++points;
  last = point.value;
  step = point.step;
  time_ms = point.time_ms;
  if (!std::isfinite(point.value)) return;
  minimum = minimum ? std::min(*minimum, point.value) : point.value;
  maximum = maximum ? std::max(*maximum, point.value) : point.value;
}

/// Makes visible exactly what attempt `newest` made and what it, or what it went on from, covers.
/// A pure function of the attempts: points that were hidden come back when a later attempt goes on
/// from a checkpoint that covers them.
void SqliteRecorder::supersede(std::int64_t job, int newest) {
  Statement cover(db_,
                  "SELECT cover_attempt, cover_sequence FROM attempt "
                  "WHERE job_id = ? AND number = ?");
  std::int64_t changed = 0;
  std::int64_t later = newest;
  while (cover.with(job, later).step()) {
    const std::int64_t from = cover.integer(0);
    const std::int64_t sequence = cover.integer(1);
    // Attempts between the covered one and the later one, and the covered one's tail.
    prepared(
        "UPDATE point SET superseded = 1 WHERE job_id = ? AND superseded = 0 AND "
        "attempt < ? AND (attempt > ? OR (attempt = ? AND sequence > ?))")
        .with(job, later, from, from, sequence)
        .run();
    changed += db_.changes();
    prepared(
        "UPDATE OR IGNORE point SET superseded = 0 WHERE job_id = ? AND superseded = 1 AND "
        "attempt = ? AND sequence <= ?")
        .with(job, from, sequence)
        .run();
    changed += db_.changes();
    if (from <= 0 || from >= later) break;
    later = from;
  }
  if (changed > 0) summarize(job);
}

/// Makes the summaries of a job from its visible points.
void SqliteRecorder::summarize(std::int64_t job) {
  prepared("DELETE FROM metric_summary WHERE job_id = ?").with(job).run();
  prepared(
      "INSERT INTO metric_summary "
      "SELECT job_id, metric_id, points, value, kind, step, time_ms, low, high "
      "FROM (SELECT *, count(*) OVER same AS points, min(value) OVER same AS low, "
      "    max(value) OVER same AS high, row_number() OVER "
      "    (PARTITION BY metric_id ORDER BY attempt DESC, sequence DESC) AS back "
      "  FROM point WHERE job_id = ? AND superseded = 0 "
      "  WINDOW same AS (PARTITION BY metric_id)) WHERE back = 1")
      .with(job)
      .run();
}

/// Adds the summary of new points, all later than what there is.
void SqliteRecorder::add_summary(std::int64_t job, std::int64_t metric, const NewPoints& news) {
  prepared(
      "INSERT INTO metric_summary VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT DO UPDATE SET points = points + excluded.points, last = excluded.last, "
      "last_kind = excluded.last_kind, last_step = excluded.last_step, "
      "last_time_ms = excluded.last_time_ms, "
      "minimum = coalesce(min(minimum, excluded.minimum), minimum, excluded.minimum), "
      "maximum = coalesce(max(maximum, excluded.maximum), maximum, excluded.maximum)")
      .with(job, metric, news.points, finite(news.last), kind_of(news.last), news.step,
            news.time_ms, news.minimum, news.maximum)
      .run();
}

std::int64_t SqliteRecorder::metric_id(const std::string& name) {
  const auto known = metric_ids_.find(name);
  if (known != metric_ids_.end()) return known->second;
  prepared("INSERT OR IGNORE INTO metric (name) VALUES (?)").with(name).run();
  Statement& find = prepared("SELECT id FROM metric WHERE name = ?");
  find.with(name).step();
  const std::int64_t id = find.integer(0);
  find.reset();
  return id;  // Remembered only after the commit: a rollback would take the row away again.
}

void SqliteRecorder::store_points(const std::string& ring, std::span<const RingPoint> points,
                                  std::uint64_t last_sequence) {
  Transaction transaction(db_);
  const std::uint64_t stored = drained(ring);
  std::map<JobRef, std::pair<std::int64_t, int>> jobs;  // Id, and the newest attempt there is.
  Statement& insert = prepared("INSERT OR IGNORE INTO point VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)");
  std::set<std::pair<std::int64_t, int>> late;
  std::map<std::string, std::int64_t> names;
  std::map<std::pair<std::int64_t, std::int64_t>, NewPoints> news;
  for (const RingPoint& p : points) {
    if (p.sequence <= stored) continue;
    auto job = jobs.find(p.job);
    if (job == jobs.end()) {
      const std::int64_t id = job_id(p.job, "");
      Statement newest(db_, "SELECT coalesce(max(number), 0) FROM attempt WHERE job_id = ?");
      newest.with(id).step();
      job = jobs.emplace(p.job, std::make_pair(id, static_cast<int>(newest.integer(0)))).first;
    }
    auto [name, added] = names.emplace(p.metric, 0);
    if (added) name->second = metric_id(p.metric);
    insert
        .with(job->second.first, name->second, p.attempt, p.sequence, p.step, p.time_ms,
              finite(p.value), kind_of(p.value))
        .run();
    if (p.attempt < job->second.second) late.insert(job->second);
    if (db_.changes() > 0) news[{job->second.first, name->second}].add(p);
  }
  for (const auto& [of, points_of] : news) add_summary(of.first, of.second, points_of);
  for (const auto& [job, attempt] : late) {
    supersede(job, attempt);
    summarize(job);  // What stays visible of them is older than what was there already.
  }
  prepared("INSERT OR REPLACE INTO ring VALUES (?, ?)")
      .with(ring, std::max(stored, last_sequence))
      .run();
  transaction.commit();
  metric_ids_.merge(names);
}

std::vector<VisiblePoint> SqliteRecorder::points(const JobRef& job) {
  Statement& rows = prepared(
      "SELECT metric.name, point.step, point.time_ms, point.value, point.kind FROM point "
      "JOIN metric ON metric.id = point.metric_id "
      "WHERE job_id = (SELECT id FROM job WHERE key = ? AND generation = ?) AND superseded = 0 "
      "ORDER BY attempt, sequence");
  std::vector<VisiblePoint> points;
  rows.with(job.key, job.generation);
  while (rows.step()) {
    points.push_back({rows.text(0), rows.integer(1), rows.integer(2), stored_value(rows, 3, 4)});
  }
  rows.reset();
  return points;
}

void SqliteRecorder::restore_points(const JobRef& job, const std::vector<VisiblePoint>& points) {
  Transaction transaction(db_);
  const std::int64_t id = job_id(job, "");
  prepared("DELETE FROM point WHERE job_id = ?").with(id).run();
  std::int64_t sequence = 0;
  for (const VisiblePoint& p : points) {
    prepared("INSERT OR IGNORE INTO point VALUES (?, ?, 0, ?, ?, ?, ?, ?, 0)")
        .with(id, metric_id(p.metric), ++sequence, p.step, p.time_ms, finite(p.value),
              kind_of(p.value))
        .run();
  }
  summarize(id);
  transaction.commit();
}

std::uint64_t SqliteRecorder::drained(const std::string& ring) {
  Statement& find = prepared("SELECT drained FROM ring WHERE name = ?");
  const std::uint64_t sequence =
      find.with(ring).step() ? static_cast<std::uint64_t>(find.integer(0)) : 0;
  find.reset();
  return sequence;
}

void SqliteRecorder::forget_ring(const std::string& ring) {
  prepared("DELETE FROM ring WHERE name = ?").with(ring).run();
}

}  // namespace cifarpipe
