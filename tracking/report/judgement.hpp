// What evaluations found, from the files that they wrote: confusion, classes, calibration,
// mistakes. Values only: any thread.
#pragma once

#include "tracking/report/csv.hpp"
#include "tracking/report/pieces.hpp"

namespace cifarpipe::report {

/// Head: "label" and the classes that were answered; a row a true class with counts.
Markup confusion_matrix(const CsvTable& counts);
/// The pairs of classes that are mixed up most, as a table; nothing without mistakes.
Markup confused_pairs(const CsvTable& counts);
/// Of per_class.csv: accuracy with its interval, precision, F1.
Markup class_table(const CsvTable& classes);
/// Of calibration.csv: how often answers of some confidence are right, and how many there are.
/// `error` is the expected calibration error.
Markup reliability_diagram(const CsvTable& bins, const std::optional<double>& error);

/// All of it for one stage's result that has these files; nothing for others.
Markup judgement(const StageData& stage, Pictures& pictures);
/// The port that holds an evaluation's files; "" if none does.
std::string evaluation_port(const StageData& stage);

}  // namespace cifarpipe::report
