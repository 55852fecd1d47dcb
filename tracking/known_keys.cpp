#include "tracking/known_keys.hpp"

#include <algorithm>

#include "pipeline/diagnostics.hpp"

namespace cifarpipe {
namespace {

const char* table_of(RunField::Of of) {
  return of == RunField::Of::param ? "run_param" : of == RunField::Of::tag ? "run_tag" : "run_fact";
}

}  // namespace

bool StoreKeys::has(RunField::Of of, const std::string& key) {
  if (of == RunField::Of::attribute) return attribute_type(key).has_value();
  if (of != RunField::Of::metric) {
    Statement row(db_, std::string("SELECT 1 FROM ") + table_of(of) + " WHERE key = ? LIMIT 1");
    return row.with(key).step();
  }
  if (key.starts_with("system/")) {
    Statement row(db_,
                  "SELECT 1 FROM run_point_summary JOIN metric ON metric.id = metric_id "
                  "WHERE name = ? LIMIT 1");
    return row.with(key).step();
  }
  const std::size_t slash = key.find('/');
  if (slash == std::string::npos) return false;
  Statement metric(db_, "SELECT id FROM metric WHERE name = ?");
  if (!metric.with(key.substr(slash + 1)).step()) return false;
  Statement row(db_,
                "SELECT 1 FROM run_stage AS s JOIN job AS j ON j.key = s.key AND "
                "j.generation = s.generation JOIN metric_summary AS m ON m.job_id = j.id AND "
                "m.metric_id = ? WHERE s.name = ? LIMIT 1");
  return row.with(metric.integer(0), key.substr(0, slash)).step();
}

std::vector<std::string> StoreKeys::candidates(RunField::Of of) {
  const auto texts = [&](const std::string& sql) {
    std::vector<std::string> out;
    Statement rows(db_, sql);
    while (rows.step()) out.push_back(rows.text(0));
    return out;
  };
  if (of == RunField::Of::attribute) return attribute_names();
  if (of != RunField::Of::metric) {
    return texts(std::string("SELECT DISTINCT key FROM ") + table_of(of) + " ORDER BY key");
  }
  std::vector<std::string> out = texts("SELECT name FROM metric WHERE name LIKE 'system/%'");
  const auto metrics = texts("SELECT name FROM metric WHERE name NOT LIKE 'system/%' ORDER BY id");
  for (const std::string& stage : texts("SELECT DISTINCT name FROM run_stage ORDER BY name")) {
    for (const std::string& metric : metrics) out.push_back(stage + "/" + metric);
  }
  return out;
}

std::string StoreKeys::near(RunField::Of of, const std::string& key) {
  std::vector<std::string> all = candidates(of);
  for (const std::string& candidate : all) {  // "loss" for "train/loss", "lr" for "train.lr".
    const bool ends_so = candidate.ends_with("/" + key) || candidate.ends_with("." + key);
    if (ends_so && has(of, candidate)) return candidate;
  }
  for (int tries = 0; tries < 20; ++tries) {
    std::string found = nearest(key, all);
    if (found.empty() || has(of, found)) return found;
    std::erase(all, found);
  }
  return "";
}

FieldReader::FieldReader(Database& db, const RunField& field, std::int64_t now_ms)
    : text_(to_shown_sql(field, now_ms)),
      statement_(db, "SELECT " + text_.sql + " FROM run WHERE id = ?") {}

FieldReader::Value FieldReader::of(const std::string& run_id) {
  std::vector<SqlValue> values = text_.values;
  values.emplace_back(run_id);
  Value value;
  if (statement_.with_all(values).step() && !statement_.is_null(0)) {
    if (statement_.is_real(0)) {
      value = statement_.real(0);
    } else if (statement_.is_integer(0)) {
      value = statement_.integer(0);
    } else {
      value = statement_.text(0);
    }
  }
  statement_.reset();
  return value;
}

}  // namespace cifarpipe
