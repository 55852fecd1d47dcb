#include "tracking/views.hpp"

namespace cifarpipe {

// Deleted runs are hidden in all of them. Times are text, UTC; `…_ms` are milliseconds since 1970.
// A metric's value is NULL where it is not finite, so that no comparison matches it; what it is
// then stands in a column of its own.
const char* const kViews = R"(
CREATE VIEW runs AS SELECT run.id, run.name, run.experiment, parent.name AS parent, run.cell,
  run.status, run.attempt,
  strftime('%Y-%m-%d %H:%M:%S', run.start_ms / 1000, 'unixepoch') AS started,
  strftime('%Y-%m-%d %H:%M:%S', run.end_ms / 1000, 'unixepoch') AS ended,
  iif(run.end_ms IS NULL, NULL, run.worked_ms / 1000.0) AS seconds, run.message, run.note, run.command, run.folder
  FROM run LEFT JOIN run AS parent ON parent.id = run.parent_id WHERE run.deleted_ms IS NULL
  ORDER BY run.number DESC;

CREATE VIEW run_params AS SELECT run.id AS run_id, run.name AS run, key, type, value
  FROM run JOIN run_param ON run_param.run_id = run.id WHERE deleted_ms IS NULL;

CREATE VIEW run_tags AS SELECT run.id AS run_id, run.name AS run, key, value
  FROM run JOIN run_tag ON run_tag.run_id = run.id WHERE deleted_ms IS NULL;

CREATE VIEW run_facts AS SELECT run.id AS run_id, run.name AS run, key, value
  FROM run JOIN run_fact ON run_fact.run_id = run.id WHERE deleted_ms IS NULL;

CREATE VIEW run_stages AS SELECT run.id AS run_id, run.name AS run, run_stage.name AS stage, uses,
  action, run_stage.status, run_stage.key, run_stage.generation,
  coalesce(job.attempts, (SELECT max(number) FROM attempt WHERE job_id = job.id)) AS attempts,
  wall_ms, cpu_ms, peak_rss_bytes, reason, run_stage.message
  FROM run JOIN run_stage ON run_stage.run_id = run.id
  LEFT JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation
  WHERE deleted_ms IS NULL;

CREATE VIEW run_metrics AS SELECT run.id AS run_id, run.name AS run,
  run_stage.name || '/' || metric.name AS key, step,
  strftime('%Y-%m-%d %H:%M:%f', time_ms / 1000.0, 'unixepoch') AS time, time_ms, value,
  kind = 1 AS is_nan,
  CASE kind WHEN 1 THEN 'nan' WHEN 2 THEN 'inf' WHEN 3 THEN '-inf' END AS not_finite,
  run_stage.name AS stage, metric.name AS metric
  FROM run JOIN run_stage ON run_stage.run_id = run.id
  JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation
  JOIN point ON point.job_id = job.id AND superseded = 0
  JOIN metric ON metric.id = point.metric_id WHERE deleted_ms IS NULL
  UNION ALL SELECT run.id, run.name, metric.name, step,
  strftime('%Y-%m-%d %H:%M:%f', time_ms / 1000.0, 'unixepoch'), time_ms, value, kind = 1,
  CASE kind WHEN 1 THEN 'nan' WHEN 2 THEN 'inf' WHEN 3 THEN '-inf' END,
  'system', substr(metric.name, 8)
  FROM run JOIN run_point ON run_point.run_id = run.id
  JOIN metric ON metric.id = run_point.metric_id WHERE deleted_ms IS NULL;

CREATE VIEW run_metric_summary AS SELECT run.id AS run_id, run.name AS run,
  run_stage.name || '/' || metric.name AS key, points, last,
  last_kind = 1 AS is_nan,
  CASE last_kind WHEN 1 THEN 'nan' WHEN 2 THEN 'inf' WHEN 3 THEN '-inf' END AS last_not_finite,
  last_step AS step, minimum AS min, maximum AS max,
  run_stage.name AS stage, metric.name AS metric
  FROM run JOIN run_stage ON run_stage.run_id = run.id
  JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation
  JOIN metric_summary ON metric_summary.job_id = job.id
  JOIN metric ON metric.id = metric_summary.metric_id WHERE deleted_ms IS NULL
  UNION ALL SELECT run.id, run.name, metric.name, points, last, last_kind = 1,
  CASE last_kind WHEN 1 THEN 'nan' WHEN 2 THEN 'inf' WHEN 3 THEN '-inf' END,
  last_step, minimum, maximum, 'system', substr(metric.name, 8)
  FROM run JOIN run_point_summary AS s ON s.run_id = run.id
  JOIN metric ON metric.id = s.metric_id WHERE deleted_ms IS NULL;

CREATE VIEW run_attempts AS SELECT run.id AS run_id, run.name AS run, run_stage.name AS stage,
  attempt.number AS attempt, attempt.status,
  strftime('%Y-%m-%d %H:%M:%S', attempt.start_ms / 1000, 'unixepoch') AS started,
  strftime('%Y-%m-%d %H:%M:%S', attempt.end_ms / 1000, 'unixepoch') AS ended,
  nullif(cover_attempt, 0) AS from_attempt, attempt.wall_ms, attempt.cpu_ms,
  attempt.peak_rss_bytes
  FROM run JOIN run_stage ON run_stage.run_id = run.id
  JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation
  JOIN attempt ON attempt.job_id = job.id WHERE run.deleted_ms IS NULL;

CREATE VIEW run_points AS SELECT run.id AS run_id, run.name AS run,
  run_stage.name || '/' || metric.name AS key, step,
  strftime('%Y-%m-%d %H:%M:%f', time_ms / 1000.0, 'unixepoch') AS time, time_ms, value,
  kind = 1 AS is_nan,
  CASE kind WHEN 1 THEN 'nan' WHEN 2 THEN 'inf' WHEN 3 THEN '-inf' END AS not_finite,
  run_stage.name AS stage, metric.name AS metric, point.attempt, superseded
  FROM run JOIN run_stage ON run_stage.run_id = run.id
  JOIN job ON job.key = run_stage.key AND job.generation = run_stage.generation
  JOIN point ON point.job_id = job.id
  JOIN metric ON metric.id = point.metric_id WHERE deleted_ms IS NULL;

CREATE VIEW results AS SELECT key, generation, stage AS uses,
  strftime('%Y-%m-%d %H:%M:%S', published_ms / 1000, 'unixepoch') AS published, attempts, wall_ms,
  cpu_ms, peak_rss_bytes,
  (SELECT count(*) FROM result_file WHERE job_id = job.id) AS files,
  (SELECT sum(size) FROM result_file WHERE job_id = job.id) AS bytes
  FROM job WHERE published_ms IS NOT NULL;

CREATE VIEW outputs AS SELECT key, generation, stage AS uses, port, path, size, sha256
  FROM job JOIN result_file ON result_file.job_id = job.id WHERE published_ms IS NOT NULL;

CREATE VIEW run_mirrors AS SELECT run.id AS run_id, run.name AS run, uri AS server, version,
  experiment_id, remote_id, m.deleted,
  (SELECT count(*) FROM mirror_parked AS p WHERE p.server = m.server AND p.run_id = run.id) AS parked
  FROM mirror_run AS m JOIN mirror_server ON mirror_server.number = m.server
  JOIN run ON run.id = m.run_id WHERE m.state = 'there';

CREATE VIEW mirror_refused AS SELECT run.id AS run_id, run.name AS run, uri AS server, item, reason,
  way_out, strftime('%Y-%m-%d %H:%M:%S', time_ms / 1000, 'unixepoch') AS time
  FROM mirror_parked AS p JOIN mirror_server ON mirror_server.number = p.server
  JOIN run ON run.id = p.run_id;

CREATE VIEW result_facts AS SELECT job.key, generation, stage AS uses, f.key AS fact, value
  FROM job JOIN result_fact AS f ON f.job_id = job.id WHERE published_ms IS NOT NULL;
)";

const char* const kDropViews = R"(
DROP VIEW IF EXISTS runs; DROP VIEW IF EXISTS run_params; DROP VIEW IF EXISTS run_tags;
DROP VIEW IF EXISTS run_facts; DROP VIEW IF EXISTS run_stages; DROP VIEW IF EXISTS run_metrics;
DROP VIEW IF EXISTS run_metric_summary; DROP VIEW IF EXISTS results; DROP VIEW IF EXISTS outputs;
DROP VIEW IF EXISTS result_facts; DROP VIEW IF EXISTS run_mirrors;
DROP VIEW IF EXISTS mirror_refused; DROP VIEW IF EXISTS run_attempts;
DROP VIEW IF EXISTS run_points;
)";

}  // namespace cifarpipe
