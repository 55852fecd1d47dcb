// Several runs beside each other: only what differs. And the cells of a sweep. Values only: any
// thread.
#pragma once

#include <string>
#include <vector>

#include "tracking/report/pieces.hpp"

namespace cifarpipe::report {

/// Parameters of which the runs have different values, with each run's value ("" where it has
/// none), in the order of the first run that has them.
struct Difference {
  std::string key;
  std::vector<std::string> values;
};
std::vector<Difference> different_params(const std::vector<RunData>& runs);
std::vector<Difference> different_facts(const std::vector<RunData>& runs);

/// The best of these values in the direction `goal` (words.hpp); those that are equally good, all.
/// Nothing where there is no direction, only one value, or all are equal.
std::vector<bool> best_of(const std::vector<std::optional<double>>& values, int goal);

/// Column a run: metrics, parameters, circumstances.
Markup comparison_tables(const std::vector<RunData>& runs);
/// Row a run: what varies between them and what they came to; sorts on a click.
Markup cells_table(const std::vector<RunData>& cells, const std::vector<std::string>& labels);
/// For cells of one sweep what varies, "lr=0.1 optimizer=adam"; else the names.
std::vector<std::string> labels_of(const std::vector<RunData>& runs);

}  // namespace cifarpipe::report
