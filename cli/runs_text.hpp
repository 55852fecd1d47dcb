// Runs as text for people: aligned, short, plain.
#pragma once

#include <string>
#include <vector>

#include "tracking/queries.hpp"

namespace cifarpipe::cli {

/// One line a run, newest first, the cells of a sweep below it.
std::string runs_table(const std::vector<RunRow>& runs);
/// All that there is to say about one run.
std::string run_page(const RunRow& run);
std::string metrics_table(const std::vector<MetricSummary>& metrics);

}  // namespace cifarpipe::cli
