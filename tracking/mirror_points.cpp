#include "tracking/mirror_points.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "pipeline/checkpoints.hpp"
#include "pipeline/digest.hpp"
#include "tracking/mlflow/names.hpp"
#include "tracking/rows.hpp"

namespace cifarpipe {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr PointPlace kEnd{kMost, kMost};

// A point p, with the time at which it, or the equal one of an earlier attempt that it stands for,
// was logged first. A server unites points that are equal in key, time, step and value, so what a
// resumed attempt makes again is there once.
constexpr std::string_view kPoint =
    "metric.name, p.metric_id, p.step, p.kind, p.value, "
    "min(p.time_ms, coalesce((SELECT min(e.time_ms) FROM point AS e WHERE e.superseded = 1 "
    "AND e.job_id = p.job_id AND e.metric_id = p.metric_id AND e.step = p.step AND "
    "e.kind = p.kind AND e.value IS p.value AND e.attempt < p.attempt), p.time_ms))";

// ?1 the job; behind ?2, ?3; up to ?4, ?5 all, then up to ?6, ?7 what equal runs have equal.
constexpr std::string_view kUnsent =
    "p.job_id = ?1 AND (p.attempt, p.sequence) > (?2, ?3) AND "
    "(p.attempt, p.sequence) <= (?6, ?7) AND p.superseded = 0 AND "
    "((p.attempt, p.sequence) <= (?4, ?5) OR p.metric_id NOT IN "
    "(SELECT id FROM metric WHERE name LIKE '%\\_per\\_second' ESCAPE '\\'))";

constexpr int kColumns = 6;  // Of kPoint.

double value_of(Statement& row) {
  return stored_value(row, 4, 3);
}

/// The names of a folder's whole checkpoints: equal means that none has come or gone.
std::string checkpoint_names(const std::filesystem::path& dir) {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator i(dir, error), end; !error && i != end;
       i.increment(error)) {
    std::string name = i->path().filename().string();
    if (name.starts_with("checkpoint-") && !name.ends_with(".tmp"))
      names.push_back(std::move(name));
  }
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, "/"));
}

const char* kind_name(std::int64_t kind) {
  return kind == 1 ? "nan" : kind == 2 ? "inf" : "-inf";
}

}  // namespace

MetricNames::MetricNames(MirrorLedger& ledger, std::string run_id, bool colons)
    : ledger_(ledger),
      run_id_(std::move(run_id)),
      colons_(colons),
      names_(ledger.items(run_id_, "metric")) {
  for (const auto& entry : names_) taken_.insert(entry.second);
}

const std::string& MetricNames::name(const std::string& key) {
  const auto known = names_.find(key);
  if (known != names_.end()) return known->second;
  const std::string plain = mlflow::fitted_key(key, colons_);
  std::string name = plain;
  if (taken_.count(name) != 0) {
    const std::string end = "-" + sha256(key).substr(0, 8);
    // Code points would do; bytes are on the safe side, and the cut is made fit again.
    name = mlflow::fitted_key(plain.substr(0, mlflow::kKeyLength - end.size()), colons_) + end;
  }
  ledger_.put_item(run_id_, "metric", key, name);
  taken_.insert(name);
  return names_.emplace(key, name).first->second;
}

MirrorPoints::MirrorPoints(Database& db, const Store& store, MirrorLedger& ledger)
    : db_(db),
      store_(store),
      ledger_(ledger),
      next_(db, fmt::format("SELECT {}, p.attempt, p.sequence FROM point AS p CROSS JOIN metric ON "
                            "metric.id = p.metric_id WHERE {} "
                            "ORDER BY p.attempt, p.sequence LIMIT ?8",
                            kPoint, kUnsent)),
      unsent_(db, fmt::format("SELECT count(*) FROM point AS p WHERE {}", kUnsent)),
      held_(db,
            fmt::format("SELECT {}, p.superseded, EXISTS (SELECT 1 FROM point AS q WHERE "
                        "q.superseded = 0 AND q.job_id = p.job_id AND q.metric_id = p.metric_id "
                        "AND q.step > p.step AND q.kind = 0 AND (q.attempt, q.sequence) <= "
                        "(?4, ?5)) FROM point AS p CROSS JOIN metric ON metric.id = p.metric_id "
                        "WHERE p.job_id = ?1 AND p.attempt = ?2 AND p.sequence = ?3",
                        kPoint)) {}

std::vector<PointSource> MirrorPoints::sources(const RunRecord& run) {
  Statement rows(db_,
                 "SELECT run_stage.name, run_stage.status, job.id, job.key, job.generation, "
                 "job.published_ms IS NOT NULL FROM run_stage JOIN job ON "
                 "job.key = run_stage.key AND job.generation = run_stage.generation "
                 "WHERE run_id = ? ORDER BY position, run_stage.name");
  rows.with(run.id);
  std::vector<PointSource> out;
  while (rows.step()) {
    PointSource source{rows.text(0), rows.integer(2), kEnd, kEnd};
    const JobRef job{rows.text(3), static_cast<int>(rows.integer(4))};
    const bool finished = rows.text(1) == "finished" || rows.integer(5) != 0;
    // What a resumed attempt would make again waits, unless nobody is left to resume it now.
    if (!finished) {
      const bool over = run.status != RunStatus::running && !is_locked(store_.lock_file(job));
      source.settled = covered(job);
      source.last = over ? kEnd : source.settled;
    }
    out.push_back(std::move(source));
  }
  return out;
}

bool MirrorPoints::all_may_go(const RunRecord& run) {
  for (const PointSource& source : sources(run)) {
    if (!(source.last == kEnd)) return false;
  }
  return true;
}

PointPlace MirrorPoints::covered(const JobRef& job) {
  const std::filesystem::path dir = store_.partial_dir(job);
  const std::string names = checkpoint_names(dir);
  Checkpoints& known = checkpoints_[job];
  if (known.names == names) return known.cover;
  const auto latest = checkpoints::latest_cover(dir);
  // None: perhaps the old one went while it was read; the new one covers what it did.
  if (!latest && !names.empty()) return known.cover;
  known.cover = {};
  if (latest) {
    known.cover = {latest->attempt, static_cast<std::int64_t>(latest->sequence)};
  }
  known.names = names;
  return known.cover;
}

std::int64_t MirrorPoints::newest_attempt(std::int64_t job) {
  Statement row(db_, "SELECT coalesce(max(number), 0) FROM attempt WHERE job_id = ?");
  row.with(job).step();
  return row.integer(0);
}

std::map<std::int64_t, std::int64_t> MirrorPoints::reach(std::int64_t job, std::int64_t newest) {
  std::map<std::int64_t, std::int64_t> out{{newest, kMost}};
  Statement cover(db_,
                  "SELECT cover_attempt, cover_sequence FROM attempt "
                  "WHERE job_id = ? AND number = ?");
  for (std::int64_t at = newest; cover.with(job, at).step();) {
    const std::int64_t from = cover.integer(0);
    if (from <= 0 || from >= at) break;
    out[from] = cover.integer(1);
    at = from;
  }
  return out;
}

StageMark MirrorPoints::mark_of(const std::string& run_id, const PointSource& source) {
  StageMark mark;
  mark.job = source.job;
  mark.newest = newest_attempt(source.job);
  const auto marks = ledger_.marks(run_id, source.stage);
  const auto found = std::find_if(marks.begin(), marks.end(),
                                  [&](const StageMark& m) { return m.job == source.job; });
  if (found == marks.end()) return mark;
  mark.place = found->place;
  if (mark.newest == found->newest) return mark;
  // A later attempt may have gone on from a checkpoint that the last one had passed by: points that
  // were hidden, and behind the mark, are visible again. Sent twice, they are there once.
  const auto before = reach(source.job, found->newest);
  for (const auto& [attempt, sequence] : reach(source.job, mark.newest)) {
    if (attempt > found->newest) continue;
    const auto earlier = before.find(attempt);
    if (earlier == before.end() || earlier->second < sequence) mark.place = {};
  }
  return mark;
}

std::int64_t MirrorPoints::time_sent(const std::vector<StageMark>& marks, std::int64_t job,
                                     Statement& row) {
  const std::int64_t own = row.integer(5);
  for (const StageMark& mark : marks) {
    if (mark.job == job) continue;
    std::optional<std::int64_t> sent;
    for (const char* sql :
         {"SELECT min(time_ms) FROM point WHERE superseded = 0 AND job_id = ? AND metric_id = ? "
          "AND step = ? AND kind = ? AND value IS ? AND (attempt, sequence) <= (?, ?)",
          "SELECT min(time_ms) FROM point WHERE superseded = 1 AND job_id = ? AND metric_id = ? "
          "AND step = ? AND kind = ? AND value IS ? AND (attempt, sequence) <= (?, ?)"}) {
      Statement find(db_, sql);
      if (row.is_null(4)) {
        find.with(mark.job, row.integer(1), row.integer(2), row.integer(3), nullptr,
                  mark.place.attempt, mark.place.sequence);
      } else {
        find.with(mark.job, row.integer(1), row.integer(2), row.integer(3), row.real(4),
                  mark.place.attempt, mark.place.sequence);
      }
      if (!find.step() || find.is_null(0)) continue;
      sent = std::min(sent.value_or(kMost), find.integer(0));
    }
    if (sent) return *sent;
  }
  return own;
}

PointBatch MirrorPoints::next(const std::string& run_id, const PointSource& source,
                              MetricNames& names, std::size_t limit) {
  PointBatch batch;
  batch.mark = mark_of(run_id, source);
  const auto marks = ledger_.marks(run_id, source.stage);
  const PointPlace from = batch.mark.place;
  next_.with(source.job, from.attempt, from.sequence, source.settled.attempt,
             source.settled.sequence, source.last.attempt, source.last.sequence, limit);
  std::size_t rows = 0;
  for (; next_.step(); ++rows) {
    batch.mark.place = {next_.integer(kColumns), next_.integer(kColumns + 1)};
    if (next_.integer(3) != 0) {
      batch.held.push_back({source.stage, source.job, batch.mark.place});
      continue;
    }
    mlflow::Metric& metric = batch.metrics.emplace_back();
    metric.key = source.stage + "/" + next_.text(0);
    metric.step = next_.integer(2);
    metric.value = value_of(next_);
    metric.time_ms = time_sent(marks, source.job, next_);
  }
  next_.reset();
  // A new name is written down, which SQLite refuses for good while a statement here still reads
  // what another connection has written past.
  for (mlflow::Metric& metric : batch.metrics) metric.key = names.name(metric.key);
  batch.more = rows == limit;
  return batch;
}

std::int64_t MirrorPoints::unsent(const std::string& run_id, const PointSource& source) {
  const PointPlace from = mark_of(run_id, source).place;
  unsent_
      .with(source.job, from.attempt, from.sequence, source.settled.attempt,
            source.settled.sequence, source.last.attempt, source.last.sequence)
      .step();
  const std::int64_t count = unsent_.integer(0);
  unsent_.reset();
  return count;
}

std::vector<MirrorPoints::SystemMark> MirrorPoints::system_marks(const std::string& run_id) {
  Statement rows(db_,
                 "SELECT metric.id, metric.name FROM run_point_summary JOIN metric ON "
                 "metric.id = metric_id WHERE run_id = ? ORDER BY metric.id");
  const auto sent = ledger_.items(run_id, "system");
  std::vector<SystemMark> marks;
  rows.with(run_id);
  while (rows.step()) {
    const auto known = sent.find(rows.text(1));
    marks.push_back(
        {rows.integer(0), rows.text(1), known == sent.end() ? -1 : std::stoll(known->second)});
  }
  return marks;
}

SystemBatch MirrorPoints::next_system(const std::string& run_id, MetricNames& names,
                                      std::size_t limit) {
  SystemBatch batch;
  Statement rows(db_,
                 "SELECT step, time_ms, value, kind FROM run_point WHERE run_id = ? AND "
                 "metric_id = ? AND step > ? ORDER BY step LIMIT ?");
  for (const SystemMark& mark : system_marks(run_id)) {
    rows.with(run_id, mark.metric, mark.step, limit - batch.metrics.size());
    while (rows.step()) {
      batch.marks[mark.name] = std::to_string(rows.integer(0));
      mlflow::Metric& metric = batch.metrics.emplace_back();
      metric.key = mark.name;
      metric.step = rows.integer(0);
      metric.time_ms = rows.integer(1);
      metric.value = stored_value(rows, 2, 3);
    }
    batch.more = batch.metrics.size() == limit;
    if (batch.more) break;
  }
  rows.reset();
  for (mlflow::Metric& metric : batch.metrics) metric.key = names.name(metric.key);
  return batch;
}

std::int64_t MirrorPoints::unsent_system(const std::string& run_id) {
  Statement rows(db_,
                 "SELECT count(*) FROM run_point WHERE run_id = ? AND metric_id = ? AND step > ?");
  std::int64_t count = 0;
  for (const SystemMark& mark : system_marks(run_id)) {
    rows.with(run_id, mark.metric, mark.step).step();
    count += rows.integer(0);
  }
  return count;
}

/// Whether a finite point has come behind a held one of its metric. Thousands may be held for good.
bool MirrorPoints::may_release(const std::string& run_id) {
  Statement rows(db_,
                 "SELECT p.job_id, p.metric_id, min(p.step) FROM mirror_held AS h JOIN point AS p "
                 "ON p.job_id = h.job_id AND p.attempt = h.attempt AND p.sequence = h.sequence "
                 "WHERE h.server = ? AND h.run_id = ? AND p.superseded = 0 "
                 "GROUP BY p.job_id, p.metric_id");
  Statement later(db_,
                  "SELECT 1 FROM point WHERE superseded = 0 AND job_id = ? AND metric_id = ? AND "
                  "step > ? AND kind = 0 LIMIT 1");
  rows.with(ledger_.server(), run_id);
  while (rows.step()) {
    if (later.with(rows.integer(0), rows.integer(1), rows.integer(2)).step()) return true;
  }
  return false;
}

PointBatch MirrorPoints::released(const std::string& run_id,
                                  const std::vector<PointSource>& sources, MetricNames& names,
                                  std::size_t limit) {
  PointBatch batch;
  if (!may_release(run_id)) return batch;
  std::vector<HeldPoint> hidden;
  for (const HeldPoint& point : ledger_.held(run_id)) {
    if (batch.metrics.size() == limit) {
      batch.more = true;
      break;
    }
    const auto source = std::find_if(sources.begin(), sources.end(), [&](const PointSource& s) {
      return s.stage == point.stage && s.job == point.job;
    });
    const auto marks = ledger_.marks(run_id, point.stage);
    const auto mark = std::find_if(marks.begin(), marks.end(),
                                   [&](const StageMark& m) { return m.job == point.job; });
    const PointPlace sent = mark == marks.end() ? PointPlace{} : mark->place;
    held_.with(point.job, point.place.attempt, point.place.sequence, sent.attempt, sent.sequence);
    if (source == sources.end() || !held_.step() || held_.integer(kColumns) != 0) {
      hidden.push_back(point);  // Of a job that the stage has left, or superseded.
    } else if (held_.integer(kColumns + 1) != 0) {
      mlflow::Metric& metric = batch.metrics.emplace_back();
      metric.key = point.stage + "/" + held_.text(0);
      metric.step = held_.integer(2);
      metric.value = value_of(held_);
      metric.time_ms = time_sent(marks, point.job, held_);
      batch.held.push_back(point);
    }
    held_.reset();
  }
  for (mlflow::Metric& metric : batch.metrics) metric.key = names.name(metric.key);
  if (hidden.empty()) return batch;
  Transaction transaction = ledger_.transaction();
  for (const HeldPoint& point : hidden) ledger_.let_go(run_id, point);
  transaction.commit();
  return batch;
}

std::vector<HeldMetric> MirrorPoints::held(const std::string& run_id) {
  Statement rows(db_,
                 "SELECT h.stage || '/' || metric.name, p.kind, count(*), min(p.step), max(p.step) "
                 "FROM mirror_held AS h JOIN point AS p ON p.job_id = h.job_id AND "
                 "p.attempt = h.attempt AND p.sequence = h.sequence "
                 "JOIN metric ON metric.id = p.metric_id JOIN run_stage ON "
                 "run_stage.run_id = h.run_id AND run_stage.name = h.stage JOIN job ON "
                 "job.id = h.job_id AND job.key = run_stage.key AND "
                 "job.generation = run_stage.generation "
                 "WHERE h.server = ? AND h.run_id = ? AND p.superseded = 0 "
                 "GROUP BY h.stage, metric.name, p.kind ORDER BY 1, 2");
  std::vector<HeldMetric> out;
  rows.with(ledger_.server(), run_id);
  while (rows.step()) {
    const std::string key = rows.text(0);
    if (out.empty() || out.back().key != key) {
      out.push_back({key, "", 0, rows.integer(3), rows.integer(4)});
    }
    HeldMetric& metric = out.back();
    metric.kinds += (metric.kinds.empty() ? "" : ", ") + std::string(kind_name(rows.integer(1)));
    metric.points += rows.integer(2);
    metric.first_step = std::min(metric.first_step, rows.integer(3));
    metric.last_step = std::max(metric.last_step, rows.integer(4));
  }
  return out;
}

std::optional<mlflow::Metric> MirrorPoints::latest(const std::string& run_id,
                                                   const std::vector<PointSource>& sources,
                                                   const std::string& key, MetricNames& names) {
  const std::size_t slash = key.find('/');
  if (slash == std::string::npos) return std::nullopt;
  const std::string stage = key.substr(0, slash);
  const auto source = std::find_if(sources.begin(), sources.end(),
                                   [&](const PointSource& s) { return s.stage == stage; });
  if (source == sources.end()) return std::nullopt;
  Statement row(db_, fmt::format("SELECT {} FROM point AS p CROSS JOIN metric ON "
                                 "metric.id = p.metric_id WHERE p.superseded = 0 AND "
                                 "p.job_id = ? AND "
                                 "p.metric_id = (SELECT id FROM metric WHERE name = ?) "
                                 "ORDER BY p.step DESC, p.time_ms DESC LIMIT 1",
                                 kPoint));
  if (!row.with(source->job, key.substr(slash + 1)).step() || row.integer(3) != 0) {
    return std::nullopt;
  }
  mlflow::Metric metric;
  metric.step = row.integer(2);
  metric.value = value_of(row);
  metric.time_ms = time_sent(ledger_.marks(run_id, stage), source->job, row);
  row.reset();
  metric.key = names.name(key);
  return metric;
}

}  // namespace cifarpipe
