#include "tracking/rows.hpp"

#include <cmath>
#include <limits>

namespace cifarpipe {

RunStatus status_from_text(const std::string& text) {
  for (const RunStatus s : {RunStatus::running, RunStatus::finished, RunStatus::failed}) {
    if (to_string(s) == text) return s;
  }
  return RunStatus::killed;
}

RunRecord run_from_row(Statement& row) {
  return {row.text(0),
          row.text(1),
          row.text(2),
          row.text(3),
          row.optional_text(4),
          row.text(5),
          row.text(6),
          row.text(7),
          status_from_text(row.text(8)),
          static_cast<int>(row.integer(9)),
          row.integer(10),
          row.integer(11),
          row.integer(12),
          row.integer(13)};
}

int kind_of(double value) {
  return std::isfinite(value) ? 0 : std::isnan(value) ? 1 : value > 0 ? 2 : 3;
}

double stored_value(Statement& row, int value_column, int kind_column) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  switch (row.integer(kind_column)) {
    case 0:
      return row.real(value_column);
    case 1:
      return std::numeric_limits<double>::quiet_NaN();
    case 2:
      return kInf;
    default:
      return -kInf;
  }
}

}  // namespace cifarpipe
