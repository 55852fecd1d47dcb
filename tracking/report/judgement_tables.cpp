#include <algorithm>
#include <cmath>

#include "tracking/report/judgement.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

constexpr std::size_t kMostCells = 30;  // A side of the matrix with numbers in it.
constexpr std::size_t kPairs = 12;

/// counts[truth][answer] with the classes' names.
struct Confusion {
  std::vector<std::string> names;
  std::vector<std::vector<double>> counts;
  std::vector<double> images;  ///< Of a true class.

  explicit Confusion(const CsvTable& table) {
    for (const CsvRow& row : table.rows()) {
      names.push_back(row.front());
      counts.emplace_back(table.rows().size(), 0.0);
      for (std::size_t c = 1; c < std::min(row.size(), table.rows().size() + 1); ++c) {
        counts.back()[c - 1] = parsed_number(row[c]).value_or(0);
      }
      images.push_back(0);
      for (const double count : counts.back()) images.back() += count;
    }
  }
  std::size_t size() const { return names.size(); }
  double share(std::size_t truth, std::size_t answer) const {
    return images[truth] > 0 ? counts[truth][answer] / images[truth] : 0;
  }
  std::string told(std::size_t truth, std::size_t answer) const {
    const std::string share_text = percent(share(truth, answer), 1);
    const auto count = grouped(static_cast<std::int64_t>(counts[truth][answer]));
    const auto all = grouped(static_cast<std::int64_t>(images[truth]));
    return truth == answer
               ? fmt::format("{}: {} of {} right ({})", names[truth], count, all, share_text)
               : fmt::format("{} taken for {}: {} of {} ({})", names[truth], names[answer], count,
                             all, share_text);
  }
};

/// How strongly a cell is coloured. Mistakes by the root: a few of a thousand shall be seen.
double strength(const Confusion& m, std::size_t truth, std::size_t answer, double worst) {
  const double share = m.share(truth, answer);
  return truth == answer ? 0.15 + 0.75 * share : 0.75 * std::sqrt(share / std::max(worst, 0.05));
}

double worst_share(const Confusion& m) {
  double worst = 0;
  for (std::size_t t = 0; t < m.size(); ++t) {
    for (std::size_t a = 0; a < m.size(); ++a) {
      if (t != a) worst = std::max(worst, m.share(t, a));
    }
  }
  return worst;
}

Markup with_numbers(const Confusion& m) {
  Markup head;
  for (const std::string& name : m.names) {
    head += html(R"(<th scope="col"><span>{}</span></th>)", name);
  }
  const double worst = worst_share(m);
  Markup rows;
  for (std::size_t t = 0; t < m.size(); ++t) {
    Markup cells;
    for (std::size_t a = 0; a < m.size(); ++a) {
      const double v = strength(m, t, a, worst);
      const char* kind = m.counts[t][a] == 0 ? "none" : t == a ? "right" : "wrong";
      cells += html(R"(<td class="{}{}" style="--v:{:.2f}" title="{}">{}</td>)", kind,
                    t == a && v > 0.5 ? " strong" : "", v, m.told(t, a),
                    m.counts[t][a] == 0 ? "·" : fmt::format("{:.0f}", m.counts[t][a]));
    }
    rows += html("<tr><th scope=\"row\">{}</th>{}</tr>\n", m.names[t], cells);
  }
  return html(
      "<div class=\"scroll\"><table class=\"confusion\"><thead><tr>"
      "<td class=\"corner\">truth ↓<br>answer →</td>{}</tr></thead><tbody>{}</tbody></table>"
      "</div>\n",
      head, rows);
}

/// For many classes: colours alone, and only where there is something.
Markup as_picture(const Confusion& m) {
  const double worst = worst_share(m);
  Markup cells;
  for (std::size_t t = 0; t < m.size(); ++t) {
    for (std::size_t a = 0; a < m.size(); ++a) {
      if (m.counts[t][a] == 0) continue;
      cells += html(R"(<rect class="{}" x="{}" y="{}" width="1" height="1" )"
                    R"(style="--v:{:.2f}"><title>{}</title></rect>)",
                    t == a ? "right" : "wrong", a, t, strength(m, t, a, worst), m.told(t, a));
    }
  }
  return html(R"(<svg class="confusion" viewBox="0 0 {} {}" role="img" )"
              R"(aria-label="Confusion matrix of {} classes">{}</svg>)"
              R"(<p class="dim">Down: the truth, across: the answer, in the classes’ order.</p>)"
              "\n",
              m.size(), m.size(), m.size(), cells);
}

struct Pair {
  std::size_t truth = 0;
  std::size_t answer = 0;
};

}  // namespace

Markup confusion_matrix(const CsvTable& table) {
  const Confusion m(table);
  if (m.size() == 0) return {};
  return m.size() <= kMostCells ? with_numbers(m) : as_picture(m);
}

Markup confused_pairs(const CsvTable& table) {
  const Confusion m(table);
  std::vector<Pair> pairs;
  for (std::size_t t = 0; t < m.size(); ++t) {
    for (std::size_t a = 0; a < m.size(); ++a) {
      if (t != a && m.counts[t][a] > 0) pairs.push_back({t, a});
    }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [&](const Pair& a, const Pair& b) {
    return m.share(a.truth, a.answer) > m.share(b.truth, b.answer);
  });
  if (pairs.size() > kPairs) pairs.resize(kPairs);
  if (pairs.empty()) return {};
  const double most = m.share(pairs.front().truth, pairs.front().answer);
  Markup rows;
  for (const Pair& pair : pairs) {
    const double share = m.share(pair.truth, pair.answer);
    rows += html(R"(<li><span><b>{}</b> taken for <b>{}</b></span><span class="bar">)"
                 R"(<i class="wrong" style="width:{:.1f}%"></i></span>)"
                 R"(<span class="num">{:.0f} of {:.0f} · {}</span></li>)",
                 m.names[pair.truth], m.names[pair.answer], 100 * share / most,
                 m.counts[pair.truth][pair.answer], m.images[pair.truth], percent(share, 1));
  }
  return html("<ul class=\"bars\">{}</ul>\n", rows);
}

Markup class_table(const CsvTable& classes) {
  if (classes.size() == 0) return {};
  double low = 1;
  for (std::size_t r = 0; r < classes.size(); ++r) {
    low = std::min(low, classes.number(r, "accuracy_low").value_or(1));
  }
  low = std::floor(low * 10) / 10;
  const auto cell = [&](std::size_t row, const char* column) {
    const auto value = classes.number(row, column);
    return value ? number_cell(*value, percent(*value, 1)) : Markup{"<td class=\"num\">–</td>"};
  };
  Markup rows;
  for (std::size_t r = 0; r < classes.size(); ++r) {
    const auto accuracy = classes.number(r, "accuracy");
    Markup bar;
    std::string range;
    if (accuracy) {
      const double least = classes.number(r, "accuracy_low").value_or(*accuracy);
      const double most = classes.number(r, "accuracy_high").value_or(*accuracy);
      bar = interval_bar(*accuracy, least, most, low);
      range = fmt::format("{:.1f} to {}", 100 * least, percent(most, 1));
    }
    const double images = classes.number(r, "images").value_or(0);
    rows += html("<tr><th scope=\"row\">{}</th>{}{}<td>{}</td><td class=\"dim\">{}</td>{}{}</tr>\n",
                 classes.text(r, "class"),
                 number_cell(images, grouped(static_cast<std::int64_t>(images))),
                 cell(r, "accuracy"), bar, range, cell(r, "precision"), cell(r, "f1"));
  }
  return scrolling(html(
      "<table class=\"sortable\"><thead><tr><th>class</th><th class=\"num\">images</th>"
      "<th class=\"num\">accuracy</th><th data-fixed>from {}</th><th data-fixed>95 % interval</th>"
      "<th class=\"num\">precision</th><th class=\"num\">F1</th></tr></thead><tbody>{}</tbody>"
      "</table>",
      percent(low, 0), rows));
}

Markup reliability_diagram(const CsvTable& bins, const std::optional<double>& error) {
  constexpr double kLeft = 46;
  constexpr double kSide = 300;  // Of the square that shows accuracy by confidence.
  constexpr double kTop = 8;
  constexpr double kFoot = kTop + kSide;
  constexpr double kCounts = 56;  // Height of the bars that tell how many.
  constexpr double kCountsFoot = kFoot + 14 + kCounts;
  double most = 0;
  for (std::size_t b = 0; b < bins.size(); ++b) {
    most = std::max(most, bins.number(b, "images").value_or(0));
  }
  if (most <= 0) return {};
  const auto x = [&](double v) { return kLeft + v * kSide; };
  const auto y = [&](double v) { return kFoot - v * kSide; };
  Markup out;
  for (const double tick : {0.0, 0.2, 0.4, 0.6, 0.8, 1.0}) {
    out += html(R"(<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>)"
                R"(<text class="tick" text-anchor="end" x="{}" y="{:.1f}">{}</text>)"
                R"(<text class="tick" text-anchor="middle" x="{:.1f}" y="{}">{}</text>)",
                kLeft, kLeft + kSide, y(tick), y(tick), kLeft - 7, y(tick) + 4, percent(tick, 0),
                x(tick), kCountsFoot + 16, percent(tick, 0));
  }
  for (std::size_t b = 0; b < bins.size(); ++b) {
    const auto low = bins.number(b, "lower");
    const auto high = bins.number(b, "upper");
    const auto confidence = bins.number(b, "confidence");
    const auto accuracy = bins.number(b, "accuracy");
    const double images = bins.number(b, "images").value_or(0);
    if (!low || !high || !confidence || !accuracy) continue;
    const double width = std::max(1.0, (*high - *low) * kSide - 2);
    const double gap_top = std::max(*accuracy, *confidence);
    const double gap = std::abs(*accuracy - *confidence) * kSide;
    out += html(R"(<g><title>{} images of confidence {}: {} right</title>)"
                R"(<rect class="hit" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)"
                R"(<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)"
                R"(<rect class="many" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/></g>)",
                grouped(static_cast<std::int64_t>(images)), percent(*confidence, 1),
                percent(*accuracy, 1), x(*low) + 1, y(*accuracy), width, *accuracy * kSide,
                *accuracy < *confidence ? "over" : "under", x(*low) + 1, y(gap_top), width, gap,
                x(*low) + 1, kCountsFoot - images / most * kCounts, width, images / most * kCounts);
  }
  out += html(R"(<line class="ideal" x1="{}" y1="{}" x2="{}" y2="{}"/>)", x(0), y(0), x(1), y(1));
  out += html(R"(<line class="axis" x1="{}" x2="{}" y1="{}" y2="{}"/>)", kLeft, kLeft + kSide,
              kCountsFoot, kCountsFoot);
  return html(R"(<figure class="chart reliability"><div class="legend"><span><i class="hit"></i>)"
              R"(right</span><span><i class="over"></i>too sure by</span><span>)"
              R"(<i class="under"></i>not sure enough by</span></div><svg viewBox="0 0 {} {}" )"
              R"(role="img" aria-label="Reliability diagram">{}</svg><figcaption class="below">)"
              "By confidence: how many answers are right, and how many there are.{}"
              "</figcaption></figure>\n",
              kLeft + kSide + 16, kCountsFoot + 24, out,
              error ? fmt::format(" Expected calibration error {}.", percent(*error)) : "");
}

}  // namespace cifarpipe::report
