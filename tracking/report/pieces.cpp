#include "tracking/report/pieces.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

constexpr std::uint64_t kMostPicture = 6 << 20;

std::string mime_type(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  if (dot == std::string_view::npos) return "";
  std::string ending(path.substr(dot + 1));
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending == "png" || ending == "gif" || ending == "webp") return "image/" + ending;
  if (ending == "jpg" || ending == "jpeg") return "image/jpeg";
  if (ending == "svg") return "image/svg+xml";
  return "";
}

/// Calls `each(line)` for every line, without its newline.
template <class F>
void for_lines(std::string_view text, const F& each) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    each(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

}  // namespace

Markup section(std::string_view id, std::string_view title, const Markup& body) {
  if (body.empty()) return {};
  return html("<section id=\"{}\"><h2>{}</h2>\n{}</section>\n", id, title, body);
}

Markup details(std::string_view summary, const Markup& body) {
  if (body.empty()) return {};
  return html("<details><summary>{}</summary>\n{}</details>\n", summary, body);
}

Markup scrolling(const Markup& table) {
  return table.empty() ? Markup{} : html("<div class=\"scroll\">{}</div>\n", table);
}

Markup pairs_table(const std::vector<std::pair<std::string, std::string>>& pairs) {
  if (pairs.empty()) return {};
  Markup rows;
  for (const auto& [key, value] : pairs) {
    rows += html("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", key, value);
  }
  return scrolling(html("<table class=\"pairs\">{}</table>", rows));
}

Markup code_block(std::string_view text) {
  return text.empty() ? Markup{} : html("<pre tabindex=\"0\">{}</pre>\n", text);
}

Markup toml_block(std::string_view text) {
  if (text.empty()) return {};
  Markup lines;
  for_lines(text, [&](std::string_view line) {
    const std::size_t first = line.find_first_not_of(" \t");
    const char c = first == std::string_view::npos ? ' ' : line[first];
    const std::size_t equals = line.find(" = ");
    if (c == '#') {
      lines += html("<span class=\"dim\">{}</span>\n", line);
    } else if (c == '[') {
      lines += html("<b>{}</b>\n", line);
    } else if (equals != std::string_view::npos) {
      lines +=
          html("<span class=\"key\">{}</span>{}\n", line.substr(0, equals), line.substr(equals));
    } else {
      lines += html("{}\n", line);
    }
  });
  return html("<pre tabindex=\"0\">{}</pre>\n", lines);
}

Markup diff_block(std::string_view text) {
  if (text.empty()) return {};
  Markup lines;
  for_lines(text, [&](std::string_view line) {
    const bool head = line.starts_with("diff ") || line.starts_with("+++") ||
                      line.starts_with("---") || line.starts_with("index ");
    const char* kind = head                     ? "dim"
                       : line.starts_with("+")  ? "plus"
                       : line.starts_with("-")  ? "minus"
                       : line.starts_with("@@") ? "key"
                                                : "";
    lines +=
        *kind == '\0' ? html("{}\n", line) : html("<span class=\"{}\">{}</span>\n", kind, line);
  });
  return html("<pre tabindex=\"0\">{}</pre>\n", lines);
}

Markup number_cell(double value, std::string_view text, bool best) {
  return html(R"(<td class="num{}" data-sort="{}">{}</td>)", best ? " best" : "",
              std::isnan(value) ? "" : fmt::format("{:.17g}", value), text);
}

Markup interval_bar(double value, double interval_low, double interval_high, double low) {
  constexpr double kWidth = 120;
  const auto at = [&](double v) {
    return std::clamp((v - low) / std::max(1 - low, 1e-9), 0.0, 1.0) * (kWidth - 8) + 4;
  };
  return html(R"(<svg class="interval" viewBox="0 0 {} 12" aria-hidden="true">)"
              R"(<line class="track" x1="4" x2="{}" y1="6" y2="6"/>)"
              R"(<line class="range" x1="{:.1f}" x2="{:.1f}" y1="6" y2="6"/>)"
              R"(<circle cx="{:.1f}" cy="6" r="3.2"/></svg>)",
              kWidth, kWidth - 4, at(interval_low), at(interval_high), at(value));
}

std::string status_class(std::string_view status) {
  if (status == "FINISHED" || status == "finished") return "good";
  if (status == "FAILED" || status == "failed") return "bad";
  if (status == "KILLED" || status == "killed") return "warn";
  if (status == "RUNNING" || status == "running") return "busy";
  return "";
}

bool Pictures::is_picture(std::string_view path) {
  return !mime_type(path).empty();
}

Markup Pictures::show(const StageData& stage, const std::string& port, const std::string& path,
                      std::string_view caption) {
  if (!stage.has(port, path)) return {};
  const auto bytes = stage.read(port, path, std::min(left_, kMostPicture));
  if (!bytes) {
    return html(
        "<p class=\"dim\">{}/{} of {} is not shown: {}.</p>\n", port, path, stage.row.name,
        stage.dir.empty() ? "it is no longer in the store" : "the report would be too large");
  }
  left_ -= bytes->size();
  return html(
      "<figure class=\"picture\"><div class=\"scroll\"><img alt=\"{}\" "
      "src=\"data:{};base64,{}\"></div><figcaption>{}</figcaption></figure>\n",
      caption, mime_type(path), Markup{base64(*bytes)}, caption);
}

}  // namespace cifarpipe::report
