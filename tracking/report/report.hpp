// A report on runs as one HTML page that needs nothing else: no server, no network, no script to be
// read. Reads only. One thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tracking/report/run_data.hpp"

namespace cifarpipe::report {

/// What every page begins with, by which an earlier one is known.
inline constexpr std::string_view kPageBegin =
    "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
    "<meta name=\"generator\" content=\"cifarpipe ";

/// The page for these runs (ids, at least one): one in full, or several compared and then each.
/// A sweep shows its cells as a table. `version` is the program's.
std::string write_report(const Source& source, const std::vector<std::string>& ids,
                         const std::string& version);

}  // namespace cifarpipe::report
