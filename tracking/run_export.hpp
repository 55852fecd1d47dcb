// Runs with everything that the database knows of them, every point included, as JSON, JSON Lines
// or CSV. docs/runs.md has the formats. Points are streamed: a run may have millions. One thread.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include "tracking/queries.hpp"

namespace cifarpipe {

/// One document: {"format": "cifarpipe-runs", "version": 1, "runs": […]}.
void export_json(RunQueries& queries, const std::vector<std::string>& ids, std::ostream& out);
/// A line a run, each followed by a line a point of it.
void export_jsonl(RunQueries& queries, const std::vector<std::string>& ids, std::ostream& out);

/// The tables that export_csv writes, in its order: "runs", "params", …, "points".
const std::vector<std::string>& export_tables();
/// `table` gives where a table goes; called once for each.
void export_csv(RunQueries& queries, const std::vector<std::string>& ids,
                const std::function<std::ostream&(const std::string& table)>& table);

}  // namespace cifarpipe
