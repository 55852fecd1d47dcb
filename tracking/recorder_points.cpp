// Metric points: what is stored once, what later attempts hide, and the summaries that lists show.
#include <algorithm>
#include <cmath>
#include <tuple>
#include <unordered_map>
#include <utility>

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

/// A point on its way into the table, and what is known of its metric.
struct SqliteRecorder::NewRow {
  const RingPoint* point;
  std::int64_t job;
  std::int64_t metric;
  NewPoints* news;
};

/// Puts points into the table, many with one statement: starting and ending a statement costs about
/// as much as a row. One of these is used within one transaction.
class SqliteRecorder::NewRows {
 public:
  explicit NewRows(SqliteRecorder& recorder) : recorder_(recorder) { rows_.reserve(kRows); }

  /// `again`: this very point may have been stored before.
  void add(const NewRow& row, bool again) {
    if (again) finish();
    rows_.push_back(row);
    if (again) finish();
    if (rows_.size() == kRows) store(recorder_.prepared(kInsertRows.c_str()));
  }
  void finish() {
    const std::vector<NewRow> rest = std::exchange(rows_, {});
    for (const NewRow& row : rest) {
      rows_.assign(1, row);
      store(recorder_.prepared(kInsertRow.c_str()));
    }
  }

 private:
  static constexpr std::size_t kRows = 32;
  static constexpr int kColumns = 8;
  static std::string insert_of(std::size_t rows) {
    std::string sql = "INSERT OR IGNORE INTO point VALUES ";
    for (std::size_t i = 0; i < rows; ++i) sql += i == 0 ? kValues : std::string(",") + kValues;
    return sql;
  }
  static constexpr const char* kValues = "(?,?,?,?,?,?,?,?,0)";
  static const std::string kInsertRow;
  static const std::string kInsertRows;

  void store(Statement& insert) {
    int first = 1;
    for (const NewRow& row : rows_) {
      const RingPoint& p = *row.point;
      insert.bind_from(first, row.job, row.metric, p.attempt, p.sequence, p.step, p.time_ms,
                       finite(p.value), kind_of(p.value));
      first += kColumns;
    }
    insert.run();
    // Nearly always all of them; else some are equal to points that were there.
    const bool all = recorder_.db_.changes() == static_cast<std::int64_t>(rows_.size());
    for (const NewRow& row : rows_) {
      if (all || (rows_.size() > 1 && recorder_.has_point(row))) row.news->add(*row.point);
    }
    rows_.clear();
  }

  SqliteRecorder& recorder_;
  std::vector<NewRow> rows_;
};

const std::string SqliteRecorder::NewRows::kInsertRow = insert_of(1);
const std::string SqliteRecorder::NewRows::kInsertRows = insert_of(kRows);

std::uint64_t SqliteRecorder::newest_point(std::int64_t job, int attempt) {
  Statement& newest =
      prepared("SELECT coalesce(max(sequence), 0) FROM point WHERE job_id = ? AND attempt = ?");
  newest.with(job, attempt).step();
  const auto sequence = static_cast<std::uint64_t>(newest.integer(0));
  newest.reset();
  return sequence;
}

bool SqliteRecorder::has_point(const NewRow& row) {
  Statement& find =
      prepared("SELECT 1 FROM point WHERE job_id = ? AND attempt = ? AND sequence = ?");
  const bool found = find.with(row.job, row.point->attempt, row.point->sequence).step();
  find.reset();
  return found;
}

void SqliteRecorder::store_points(const std::string& ring, std::span<const RingPoint> points,
                                  std::uint64_t last_sequence) {
  struct Series {
    std::int64_t metric = 0;
    NewPoints news;
  };
  struct Job {
    std::int64_t id = 0;
    int newest = 0;  ///< Attempt that there is.
    bool late = false;
    std::unordered_map<std::string_view, Series> series;  // Names in `points`.
  };
  Transaction transaction(db_);
  const std::uint64_t stored = drained(ring);
  std::map<JobRef, Job> jobs;
  auto job = jobs.end();  // That of the point before: a ring has long runs of points of one job.
  int attempt = 0;
  std::uint64_t known = 0;  // Sequence of the newest point of this attempt that is there already.
  NewRows rows(*this);
  for (const RingPoint& p : points) {
    if (p.sequence <= stored) continue;
    if (job == jobs.end() || job->first != p.job) {
      bool added = false;
      std::tie(job, added) = jobs.try_emplace(p.job);
      if (added) {
        job->second.id = job_id(p.job, "");
        job->second.newest = newest_attempt(job->second.id);
      }
      attempt = 0;
    }
    if (p.attempt != attempt) {
      attempt = p.attempt;
      known = newest_point(job->second.id, attempt);
    }
    const auto [series, added] = job->second.series.try_emplace(p.metric);
    if (added) series->second.metric = metric_id(p.metric);
    rows.add({&p, job->second.id, series->second.metric, &series->second.news},
             p.sequence <= known);
    if (p.attempt < job->second.newest) job->second.late = true;
  }
  rows.finish();
  for (const auto& [ref, of] : jobs) {
    for (const auto& [name, series] : of.series) {
      if (series.news.points > 0) add_summary(of.id, series.metric, series.news);
    }
    if (!of.late) continue;
    supersede(of.id, of.newest);
    summarize(of.id);  // What stays visible of them is older than what was there already.
  }
  prepared("INSERT OR REPLACE INTO ring VALUES (?, ?)")
      .with(ring, std::max(stored, last_sequence))
      .run();
  transaction.commit();
  for (const auto& [ref, of] : jobs) {
    for (const auto& [name, series] : of.series) metric_ids_.emplace(name, series.metric);
  }
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
