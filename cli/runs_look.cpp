// How `cifarpipe runs` looks: tables, times, amounts.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "cli/progress.hpp"
#include "cli/runs.hpp"
#include "pipeline/diagnostics.hpp"

namespace cifarpipe::cli {

Look Look::of_stdout() {
  Look look;
  if (isatty(STDOUT_FILENO) != 1) return look;
  const char* no_color = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  look.color = (no_color == nullptr || *no_color == '\0') && term != nullptr &&
               std::string_view(term) != "dumb";
  winsize size{};
  const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 20;
  look.width = known ? size.ws_col : 80;
  return look;
}

std::string Look::paint(const char* code, std::string_view text) const {
  return color && *code != '\0' ? fmt::format("{}{}\033[0m", code, text) : std::string(text);
}

const char* status_color(std::string_view status) {
  if (status == "FINISHED" || status == "finished") return "\033[32m";
  if (status == "FAILED" || status == "failed") return "\033[31m";
  if (status == "KILLED" || status == "killed") return "\033[33m";
  if (status == "RUNNING" || status == "running") return "\033[36m";
  return "";
}

void print_heading(const Look& look, std::string_view text) {
  fmt::print("\n{}\n", look.paint(kBold, text));
}

std::size_t text_width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string text_cut(std::string text, std::size_t width) {
  std::size_t seen = 0;
  std::size_t end = 0;  // Of what is left beside the "…".
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) continue;
    if (++seen == std::max<std::size_t>(width, 1)) end = i;
  }
  if (seen <= width) return text;
  text.resize(end);
  return text + "…";
}

std::string text_shown(std::string_view text) {
  constexpr std::size_t kMost = 200;
  constexpr std::size_t kBytes = 4 * kMost + 4;  // More are cut in any case.
  return text_cut(printable(text.substr(0, kBytes)), kMost);
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (Column& column : columns_) column.head = text_shown(column.head);
}

void Table::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = text_shown(cell);
  rows_.push_back(std::move(cells));
}

void Table::print(const Look& look, std::string_view indent) const {
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) widths.push_back(text_width(column.head));
  for (const auto& row : rows_) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], text_width(row[c]));
    }
  }
  constexpr std::size_t kWidest = 60;  // Where nothing is cut: one long name widens no other row.
  if (look.width == 0) {
    for (std::size_t& width : widths) width = std::min(width, kWidest);
  }
  std::vector<bool> shown(columns_.size(), true);
  const auto total = [&] {
    std::size_t sum = indent.size();
    for (std::size_t c = 0; c < columns_.size(); ++c) sum += shown[c] ? widths[c] + 2 : 0;
    return sum - 2;
  };
  if (look.width > 0) {
    constexpr std::size_t kLeast = 16;  // Of the first column, for the sake of the others.
    const std::size_t spare = widths[0] > kLeast ? widths[0] - kLeast : 0;
    const auto fits = [&] { return total() <= look.width + spare; };
    for (std::size_t c = columns_.size(); c-- > 0;) {
      if (columns_[c].goes == 1 && !fits()) shown[c] = false;
    }
    for (const int rank : {2, 3}) {
      if (fits()) break;
      for (std::size_t c = 0; c < columns_.size(); ++c) {
        if (columns_[c].goes == rank) shown[c] = false;
      }
    }
    if (total() > look.width) {
      const std::size_t over = total() - look.width;
      widths[0] = widths[0] > over + kLeast ? widths[0] - over : std::min(widths[0], kLeast);
    }
  }
  const auto line = [&](const std::vector<std::string>& cells, bool head) {
    std::string out(indent);
    std::size_t used = out.size();
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (!shown[c]) continue;
      if (c > 0) out += "  ";
      used += c > 0 ? 2 : 0;
      std::size_t width = widths[c];
      if (look.width > 0) width = std::min(width, look.width - std::min(look.width, used));
      if (width == 0) break;  // No colour is begun that the line's end would cut off.
      const std::string text = look.width > 0 ? text_cut(cells[c], width) : cells[c];
      const std::string pad(width - std::min(width, text_width(text)), ' ');
      const std::string painted = look.paint(head ? kDim : status_color(text), text);
      out += columns_[c].right ? pad + painted : painted + pad;
      used += width;
    }
    out.erase(out.find_last_not_of(' ') + 1);
    fmt::print("{}\n", out);
  };
  std::vector<std::string> heads;
  for (const Column& column : columns_) heads.push_back(column.head);
  if (std::any_of(heads.begin(), heads.end(), [](const auto& h) { return !h.empty(); })) {
    line(heads, true);
  }
  for (const auto& row : rows_) line(row, false);
}

std::string time_ago(std::int64_t ms, std::int64_t now_ms) {
  const std::int64_t s = (now_ms - ms) / 1000;
  if (s < 2) return "now";
  if (s < 60) return fmt::format("{} s ago", s);
  if (s < 3600) return fmt::format("{} min ago", s / 60);
  if (s < 86'400) return fmt::format("{} h ago", s / 3600);
  if (s < 30 * 86'400) return fmt::format("{} d ago", s / 86'400);
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(ms / 1000)));
}

std::string took_text(const RunRecord& run, std::int64_t now_ms) {
  return duration_text(took_ms(run, now_ms));
}

}  // namespace cifarpipe::cli
