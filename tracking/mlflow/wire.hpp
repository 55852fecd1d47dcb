// JSON as MLflow's servers must get it and as they answer it. A server takes a field of a wrong
// type with 200, stores nonsense and drops the rest of the request: so nothing here is left to it.
// Numbers do not depend on the locale. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/mlflow/client.hpp"

namespace cifarpipe::mlflow {

/// Compact; what is not UTF-8 in it is replaced.
std::string dumped(const nlohmann::json& value);
/// Nothing if `text` is no JSON object. An empty text is an empty object: some calls answer so.
std::optional<nlohmann::json> parsed(std::string_view text);

/// [{"key": …, "value": …}, …]
nlohmann::json pairs_json(const Pairs& pairs);
Pairs pairs_of(const nlohmann::json& object, const char* field);

// Fields of an object that may be missing or of another type: "" and 0 then. Numbers may come as
// strings ("NaN", an int64).
std::string text_of(const nlohmann::json& object, const char* field);
std::int64_t integer_of(const nlohmann::json& object, const char* field);
double number_of(const nlohmann::json& object, const char* field);
/// An empty object or array if missing.
const nlohmann::json& object_of(const nlohmann::json& object, const char* field);
const nlohmann::json& array_of(const nlohmann::json& object, const char* field);

/// A double as JSON: the shortest text that reads back the same; "NaN" and "Infinity" as strings,
/// for a bare NaN is stored as 0.
std::string number_text(double value);

/// What one request of runs/log-batch may hold.
struct BatchLimits {
  std::size_t entities = 1000;
  std::size_t metrics = 1000;
  std::size_t params = 100;
  std::size_t tags = 100;
  std::size_t bytes = 900'000;
};

/// A request's share: ranges [from, to) of the three lists.
struct BatchPart {
  std::size_t metrics_from = 0;
  std::size_t metrics_to = 0;
  std::size_t params_from = 0;
  std::size_t params_to = 0;
  std::size_t tags_from = 0;
  std::size_t tags_to = 0;

  std::size_t size() const {
    return (metrics_to - metrics_from) + (params_to - params_from) + (tags_to - tags_from);
  }
  /// Two parts that are this one together; for more than one entity.
  std::pair<BatchPart, BatchPart> halves() const;
};

/// Everything in order, parameters and tags in the first requests.
std::vector<BatchPart> split_batch(const std::vector<Metric>& metrics, const Pairs& params,
                                   const Pairs& tags, const BatchLimits& limits = {});
/// `models`: with the metrics' model and dataset, which servers before 3.0 do not know.
std::string batch_body(const std::string& run_id, const std::vector<Metric>& metrics,
                       const Pairs& params, const Pairs& tags, const BatchPart& part, bool models);

}  // namespace cifarpipe::mlflow
