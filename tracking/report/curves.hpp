// Learning curves: of one run by groups of its metrics, of several laid over each other. One
// thread.
#pragma once

#include <string>
#include <vector>

#include "tracking/report/chart.hpp"
#include "tracking/report/run_data.hpp"

namespace cifarpipe::report {

/// A metric's points by step, as a line.
std::vector<ChartPoint> curve_of(RunQueries& queries, const std::string& run_id,
                                 const std::string& key);

/// "train/val_loss" belongs to the chart "train/loss".
std::string chart_of(std::string_view key);
/// What steps of this metric are: "epoch" or "step".
std::string step_name(const RunData& run, std::string_view key);

/// "system/…": of the run as a whole and its machine, by time.
bool is_system(std::string_view key);
/// Every metric of its stages with more than one point; training and validation in one chart.
Markup curves(const Source& source, const RunData& run);
/// What the machine did meanwhile.
Markup system_curves(const Source& source, const RunData& run);
/// A chart for each metric that has a curve in any of the runs, a line for each run. `labels` names
/// them.
Markup overlaid_curves(const Source& source, const std::vector<RunData>& runs,
                       const std::vector<std::string>& labels);

}  // namespace cifarpipe::report
