#include "tracking/report/report.hpp"

#include <array>

#include "pipeline/digest.hpp"
#include "tracking/quantities.hpp"
#include "tracking/report/assets.hpp"
#include "tracking/report/comparison.hpp"
#include "tracking/report/curves.hpp"
#include "tracking/report/judgement.hpp"
#include "tracking/report/sections.hpp"
#include "tracking/report/summary.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

constexpr std::size_t kMostCells = 1000;  // Of a sweep, in its table.
constexpr std::size_t kMostLines = 16;    // Of cells laid over each other.

/// What a page is made of: its sections with their headings, for the contents.
class Page {
 public:
  explicit Page(std::string prefix) : prefix_(std::move(prefix)) {}
  void add(std::string_view id, std::string_view title, const Markup& body) {
    if (body.empty()) return;
    const std::string name = prefix_ + std::string(id);
    contents_ += html("<a href=\"#{}\">{}</a>\n", name, title);
    sections_ += section(name, title, body);
  }
  Markup contents() const { return html("<nav>{}</nav>\n", contents_); }
  const Markup& sections() const { return sections_; }

 private:
  std::string prefix_;
  Markup contents_;
  Markup sections_;
};

/// Runs below this one: the cells of a sweep, or what it leads to in another experiment.
Markup below(const Source& source, const RunData& run) {
  std::vector<RunData> cells;
  for (const RunRow& child : run.children) {
    if (cells.size() < kMostCells) cells.push_back(load_run(source, child.record.id));
  }
  if (cells.empty()) return {};
  const std::vector<std::string> labels = labels_of(cells);
  Markup out = cells_table(cells, labels);
  if (run.children.size() > cells.size()) {
    out += html("<p class=\"dim\">The first {} of {}.</p>\n", cells.size(), run.children.size());
  }
  std::vector<RunData> drawn = std::move(cells);
  if (drawn.size() > kMostLines) {
    drawn.resize(kMostLines);
    out += html("<p class=\"dim\">Curves of the first {}.</p>\n", kMostLines);
  }
  return out += overlaid_curves(source, drawn, labels);
}

/// One run in full.
Markup article(const Source& source, const RunData& run, Pictures& pictures, std::size_t number,
               bool alone) {
  Page page(alone ? "" : fmt::format("run-{}-", number));
  const bool sweep = run.stages.empty() && !run.children.empty();
  if (sweep) page.add("cells", "Cells", below(source, run));
  page.add("curves", "Curves", curves(source, run));
  for (const StageData& stage : run.stages) {
    page.add("judged-" + stage.row.name, "Judged by " + stage.row.name, judgement(stage, pictures));
  }
  page.add("data", "Data", data_section(run, pictures));
  page.add("pictures", "Pictures", pictures_section(run, pictures));
  page.add("stages", "Stages", stages_section(run));
  if (!sweep) page.add("below", "Runs below it", below(source, run));
  page.add("system", "Machine", system_curves(source, run));
  Markup numbers = metrics_section(run);
  numbers += files_section(run);
  page.add("numbers", "Metrics and files", numbers);
  page.add("configuration", "Configuration", configuration_section(run));
  page.add("environment", "Environment", environment_section(run));
  page.add("reproduce", "Do it again", reproduce_section(run));
  return html("<article id=\"run-{}\">\n{}{}{}{}{}</article>\n", number, run_head(run, alone),
              headline(run), trouble(run), page.contents(), page.sections());
}

Markup comparison(const Source& source, const std::vector<RunData>& runs) {
  const std::vector<std::string> labels = labels_of(runs);
  Page page("");
  page.add("runs", "Runs", cells_table(runs, labels));
  page.add("curves", "Curves", overlaid_curves(source, runs, labels));
  page.add("differences", "Differences", comparison_tables(runs));
  Markup links;
  for (std::size_t r = 0; r < runs.size(); ++r) {
    links += html("<a href=\"#run-{}\">{}</a>\n", r + 1, labels[r]);
  }
  return html(
      "<article>\n<header><p class=\"eyebrow\">cifarpipe</p><h1>{} runs compared</h1>"
      "</header>\n<nav>{}</nav>\n{}</article>\n",
      runs.size(), links, page.sections());
}

/// The policy of a page that loads nothing and runs this one script: also what an escaped text
/// might smuggle in cannot run.
std::string policy() {
  Sha256 digest;
  digest.update(kScript);
  const std::array<std::uint8_t, 32> bytes = digest.finish();
  const std::string_view raw(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return fmt::format(
      "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src "
      "'sha256-{}'",
      base64(raw));
}

}  // namespace

std::string write_report(const Source& source, const std::vector<std::string>& ids,
                         const std::string& version) {
  std::vector<RunData> runs;
  for (const std::string& id : ids) runs.push_back(load_run(source, id));
  const bool alone = runs.size() == 1;
  Pictures pictures;
  Markup body;
  if (!alone) body += comparison(source, runs);
  for (std::size_t r = 0; r < runs.size(); ++r) {
    body += article(source, runs[r], pictures, r + 1, alone);
  }
  const std::string title = alone ? runs.front().row.record.name + " · cifarpipe"
                                  : fmt::format("{} runs · cifarpipe", runs.size());
  return html(
             "{}{}\">\n"
             "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
             "<meta http-equiv=\"Content-Security-Policy\" content=\"{}\">\n"
             "<meta name=\"color-scheme\" content=\"light dark\">\n"
             "<title>{}</title>\n"
             "<style>{}</style>\n</head>\n<body>\n<main>\n{}</main>\n"
             "<footer>Written by cifarpipe {} on {}.</footer>\n<script>{}</script>\n</body>\n"
             "</html>\n",
             Markup{std::string(kPageBegin)}, version, policy(), title, Markup{std::string(kStyle)},
             body, version, time_text(source.now_ms), Markup{std::string(kScript)})
      .html;
}

}  // namespace cifarpipe::report
