// The sections of a report on one run below its curves. Each is empty where a run has nothing to
// say there. Values only, but for Pictures: one thread.
#pragma once

#include "tracking/report/pieces.hpp"

namespace cifarpipe::report {

/// What the stages that made a dataset told of it: splits, classes, duplicates, pictures, and the
/// content digests of all that went in.
Markup data_section(const RunData& run, Pictures& pictures);
/// Pictures that no other section shows; the epochs of a series are thinned.
Markup pictures_section(const RunData& run, Pictures& pictures);
/// How long each stage took, with processor time, memory and attempts.
Markup stages_section(const RunData& run);
/// Every metric in one table.
Markup metrics_section(const RunData& run);
/// Every file that the run made, with its digest.
Markup files_section(const RunData& run);
/// What was asked for: the values that a sweep varied, the file as written, and resolved.
Markup configuration_section(const RunData& run);
/// Machine, versions, commit and changes, seeds.
Markup environment_section(const RunData& run);
/// The commands that do it again.
Markup reproduce_section(const RunData& run);

/// The port whose summary.json tells of a dataset; "" if none does.
std::string dataset_port(const StageData& stage);

}  // namespace cifarpipe::report
