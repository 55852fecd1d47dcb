// The top of a report on a run: what it is, how it ended, and the few figures that matter. Values
// only: any thread.
#pragma once

#include <string>
#include <vector>

#include "tracking/report/pieces.hpp"

namespace cifarpipe::report {

/// Name, status, when, how long, from which commit, on what machine; note and tags.
Markup run_head(const RunData& run, bool alone);
/// Why it failed or who killed it, with the last lines of its log; nothing for others.
Markup trouble(const RunData& run);
/// Accuracies with their intervals first, then what training came to.
Markup headline(const RunData& run);

/// The metrics that stand for a run in a table, the most telling first; at most `count` of those
/// that are in `runs`.
std::vector<std::string> telling_metrics(const std::vector<const RunData*>& runs,
                                         std::size_t count);

}  // namespace cifarpipe::report
