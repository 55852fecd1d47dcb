// How rows of the database become values: for the recorder and the queries.
#pragma once

#include <string>

#include "pipeline/recorder.hpp"
#include "tracking/database.hpp"

namespace cifarpipe {

/// The columns of `run` that run_from_row reads, in its order.
inline constexpr const char* kRunColumns =
    "id, name, experiment, parent_id, cell, identity, forced, folder, status, attempt, start_ms, "
    "coalesce(end_ms, 0), worked_ms, coalesce(working_since_ms, 0)";
inline constexpr int kRunColumnCount = 14;
RunRecord run_from_row(Statement& row);
RunStatus status_from_text(const std::string& text);

/// 0 finite, 1 NaN, 2 +inf, 3 -inf: the column `kind` beside a value that is NULL unless finite.
int kind_of(double value);
/// From such a pair of columns.
double stored_value(Statement& row, int value_column, int kind_column);

}  // namespace cifarpipe
