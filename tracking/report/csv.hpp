// CSV as the stages write it (RFC 4180): quoted fields, doubled quotes, newlines in them. Values
// only: any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cifarpipe::report {

using CsvRow = std::vector<std::string>;

/// Every row, the head too. Empty lines are no rows; what is not CSV is read as far as it goes.
std::vector<CsvRow> read_csv(std::string_view text);

/// A table by the names in its head.
class CsvTable {
 public:
  explicit CsvTable(std::string_view text);
  std::size_t size() const { return rows_.size(); }
  const CsvRow& head() const { return head_; }
  const std::vector<CsvRow>& rows() const { return rows_; }
  bool has(std::string_view column) const;
  /// "" where the column or the cell is missing.
  std::string text(std::size_t row, std::string_view column) const;
  /// Nothing where the cell is empty or no number.
  std::optional<double> number(std::size_t row, std::string_view column) const;

 private:
  CsvRow head_;
  std::vector<CsvRow> rows_;
};

/// The whole text as a number; "nan" and "inf" too.
std::optional<double> parsed_number(const std::string& text);

}  // namespace cifarpipe::report
