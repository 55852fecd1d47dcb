// Which metrics, parameters, tags and facts the runs of a store have: for messages about misspelt
// ones, and for completion. One thread.
#pragma once

#include "tracking/where.hpp"

namespace cifarpipe {

class StoreKeys : public KnownKeys {
 public:
  explicit StoreKeys(Database& db) : db_(db) {}
  bool has(RunField::Of of, const std::string& key) override;
  std::string near(RunField::Of of, const std::string& key) override;
  /// All keys there may be; of metrics also pairs of stage and metric that no run has.
  std::vector<std::string> candidates(RunField::Of of);

 private:
  Database& db_;
};

/// The values of a field for runs, as they are shown; the statement is prepared once.
class FieldReader {
 public:
  FieldReader(Database& db, const RunField& field, std::int64_t now_ms);
  using Value = std::variant<std::monostate, std::int64_t, double, std::string>;
  Value of(const std::string& run_id);

 private:
  SqlText text_;
  Statement statement_;
};

}  // namespace cifarpipe
