// How rows of the database become values: shared by the recorder and the queries.
#pragma once

#include "pipeline/recorder.hpp"
#include "tracking/database.hpp"

namespace cifarpipe {

/// The columns of `run` that run_from_row reads, in its order.
inline constexpr const char* kRunColumns =
    "id, name, experiment, parent_id, cell, identity, forced, folder, status, attempt, start_ms, "
    "end_ms";
inline constexpr int kRunColumnCount = 12;
RunRecord run_from_row(Statement& row);

RunStatus status_from_text(const std::string& text);

/// 0 finite, 1 NaN, 2 +inf, 3 -inf: the column `kind` beside a value that is NULL unless finite.
int kind_of(double value);
double stored_value(int kind, double stored);

}  // namespace cifarpipe
