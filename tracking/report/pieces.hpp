// The pieces that sections of a report are made of. Values only, but for Pictures: one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tracking/report/html.hpp"
#include "tracking/report/run_data.hpp"

namespace cifarpipe::report {

/// A section with a heading; nothing if there is nothing in it.
Markup section(std::string_view id, std::string_view title, const Markup& body);
/// Opens on a click, in print always.
Markup details(std::string_view summary, const Markup& body);
/// A wide table scrolls by itself, so that the page never does.
Markup scrolling(const Markup& table);
/// "<tr><th>key</th><td>value</td></tr>…" in a table.
Markup pairs_table(const std::vector<std::pair<std::string, std::string>>& pairs);
/// Text with its line breaks, in a box of its own.
Markup code_block(std::string_view text);
/// The same for TOML and for diffs: comments, tables and changed lines stand out.
Markup toml_block(std::string_view text);
Markup diff_block(std::string_view text);
/// A cell with a number that a script sorts by.
Markup number_cell(double value, std::string_view text, bool best = false);

/// An estimate with its interval on a line from `low` to 1.
Markup interval_bar(double value, double interval_low, double interval_high, double low);

std::string status_class(std::string_view status);  ///< "good", "bad", "warn", "busy", "".

/// Pictures of results as data: URIs, as long as a report stays of a size that can be mailed.
class Pictures {
 public:
  /// Nothing if it is not there; a line that names it if the report is full.
  Markup show(const StageData& stage, const std::string& port, const std::string& path,
              std::string_view caption);
  static bool is_picture(std::string_view path);

 private:
  std::uint64_t left_ = 20 << 20;  // Bytes, before they are a third longer as text.
};

}  // namespace cifarpipe::report
