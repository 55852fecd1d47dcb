#include "tracking/report/csv.hpp"

#include <algorithm>
#include <charconv>

namespace cifarpipe::report {

std::vector<CsvRow> read_csv(std::string_view text) {
  std::vector<CsvRow> rows;
  CsvRow row;
  std::string field;
  bool quoted = false;
  const auto end_row = [&] {
    if (!row.empty() || !field.empty()) {
      row.push_back(std::move(field));
      rows.push_back(std::move(row));
    }
    row.clear();
    field.clear();
  };
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quoted) {
      if (c != '"') {
        field += c;
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        field += '"';
        ++at;
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      quoted = true;
    } else if (c == ',') {
      row.push_back(std::move(field));
      field.clear();
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r') {
      field += c;
    }
  }
  end_row();
  return rows;
}

CsvTable::CsvTable(std::string_view text) : rows_(read_csv(text)) {
  if (rows_.empty()) return;
  head_ = std::move(rows_.front());
  rows_.erase(rows_.begin());
}

bool CsvTable::has(std::string_view column) const {
  return std::find(head_.begin(), head_.end(), column) != head_.end();
}

std::string CsvTable::text(std::size_t row, std::string_view column) const {
  const auto found = std::find(head_.begin(), head_.end(), column);
  const auto at = static_cast<std::size_t>(found - head_.begin());
  return found == head_.end() || at >= rows_[row].size() ? "" : rows_[row][at];
}

std::optional<double> CsvTable::number(std::size_t row, std::string_view column) const {
  return parsed_number(text(row, column));
}

std::optional<double> parsed_number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace cifarpipe::report
