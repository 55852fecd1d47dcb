// Tables of an evaluation for MLflow's table viewer: the CSV files again, as JSON.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "tracking/content_run.hpp"

namespace cifarpipe::content {
namespace {

using nlohmann::ordered_json;

constexpr std::size_t kMostRows = 10'000;  // The viewer holds a whole table in the page.

/// A cell as JSON: a number where it is written as one.
ordered_json cell_json(const std::string& text, bool quoted) {
  if (quoted) return text;
  if (text.empty()) return nullptr;
  const std::size_t digits = text[0] == '-' ? 1 : 0;
  const bool number = digits < text.size() && text[digits] >= '0' && text[digits] <= '9';
  const bool padded = text[digits] == '0' && digits + 1 < text.size() && text[digits + 1] >= '0' &&
                      text[digits + 1] <= '9';
  if (!number || padded) return text;
  const char* end = text.data() + text.size();
  std::int64_t whole = 0;
  if (const auto read = std::from_chars(text.data(), end, whole);
      read.ec == std::errc() && read.ptr == end) {
    return whole;
  }
  double value = 0;
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end || !std::isfinite(value)) return text;
  return value;
}

/// The rows of a CSV (RFC 4180), the header among them; at most `most`.
class CsvReader {
 public:
  explicit CsvReader(const std::string& text) : text_(text) {}

  std::vector<ordered_json> rows(std::size_t most) {
    std::vector<ordered_json> out;
    while (at_ < text_.size() && out.size() < most) out.push_back(row());
    return out;
  }

 private:
  ordered_json row() {
    ordered_json out = ordered_json::array();
    while (true) {
      out.push_back(cell());
      const char after = at_ < text_.size() ? text_[at_++] : '\n';
      if (after == ',') continue;
      if (after == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
      return out;
    }
  }

  ordered_json cell() {
    std::string value;
    const bool quoted = at_ < text_.size() && text_[at_] == '"';
    if (quoted) {
      for (++at_; at_ < text_.size(); ++at_) {
        if (text_[at_] == '"') {
          if (at_ + 1 >= text_.size() || text_[at_ + 1] != '"') break;
          ++at_;
        }
        value += text_[at_];
      }
      if (at_ < text_.size()) ++at_;
    }
    while (at_ < text_.size() && text_[at_] != ',' && text_[at_] != '\n' && text_[at_] != '\r') {
      value += text_[at_++];
    }
    return cell_json(value, quoted);
  }

  const std::string& text_;
  std::size_t at_ = 0;
};

/// A table as pandas writes it with orient="split".
std::optional<std::string> table_json(const std::filesystem::path& csv) {
  const auto text = read_text(csv);
  if (!text) return std::nullopt;
  std::vector<ordered_json> rows = CsvReader(*text).rows(kMostRows + 1);
  if (rows.empty()) return std::nullopt;
  ordered_json columns = ordered_json::array();
  for (const ordered_json& name : rows.front()) {
    columns.push_back(name.is_string() ? name : ordered_json(dump(name)));
  }
  rows.erase(rows.begin());
  return dump(ordered_json{{"columns", std::move(columns)}, {"data", std::move(rows)}});
}

}  // namespace

std::vector<Upload> tables_of(const RunView& view) {
  std::vector<Upload> out;
  for (const StageRow& stage : view.stages) {
    if (stage.uses != "evaluate") continue;
    // The first one is what the page begins with: a row a class, runs side by side.
    for (const char* name : {"per_class", "confusion", "predictions"}) {
      const auto file = view.file(stage, "report", fmt::format("{}.csv", name));
      if (!file) continue;
      if (auto json = table_json(file->file)) {
        out.push_back(text_upload(fmt::format("tables/{}_{}.json", plain_name(stage.name), name),
                                  std::move(*json)));
      }
    }
  }
  return out;
}

}  // namespace cifarpipe::content
