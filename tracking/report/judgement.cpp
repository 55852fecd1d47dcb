#include "tracking/report/judgement.hpp"

#include <nlohmann/json.hpp>

#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

using Json = nlohmann::json;

/// A figure of summary.json, if it is there.
std::optional<double> number_of(const Json& summary, const char* key) {
  const auto found = summary.find(key);
  if (found == summary.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

std::string text_of(const Json& summary, const char* key) {
  const auto found = summary.find(key);
  return found != summary.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<std::pair<double, double>> interval_of(const Json& summary, const char* key) {
  const auto found = summary.find(key);
  if (found == summary.end() || !found->is_array() || found->size() != 2) return std::nullopt;
  if (!(*found)[0].is_number() || !(*found)[1].is_number()) return std::nullopt;
  return std::pair((*found)[0].get<double>(), (*found)[1].get<double>());
}

std::string with_interval(const Json& summary, const char* key, const char* interval) {
  const auto value = number_of(summary, key);
  if (!value) return "";
  const auto range = interval_of(summary, interval);
  return percent(*value) +
         (range ? fmt::format(" (95 %: {:.2f} to {})", 100 * range->first, percent(range->second))
                : "");
}

/// The sentence below the heading.
Markup lead(const Json& summary) {
  const auto images = number_of(summary, "images");
  if (!images) return {};
  std::string text = fmt::format("{} of the split “{}”",
                                 counted(static_cast<std::int64_t>(*images), "image", "images"),
                                 text_of(summary, "split"));
  if (text_of(summary, "tta") == "flip") {
    text += ", answers averaged over each image and its mirror image";
  }
  if (const std::string a = with_interval(summary, "accuracy", "accuracy_interval_95");
      !a.empty()) {
    text += "; accuracy " + a;
  }
  const auto duplicates = number_of(summary, "duplicates");
  const std::string rest = with_interval(summary, "accuracy_without_duplicates",
                                         "accuracy_without_duplicates_interval_95");
  if (duplicates && !rest.empty()) {
    text += fmt::format("; {} without the {} that have a near-duplicate in the training split",
                        rest, grouped(static_cast<std::int64_t>(*duplicates)));
  }
  return html("<p class=\"lead\">{}.</p>\n", text);
}

Json parsed(const std::optional<std::string>& text) {
  Json json = Json::parse(text.value_or("{}"), nullptr, false);
  return json.is_object() ? json : Json::object();
}

Markup titled(std::string_view title, const Markup& body) {
  return body.empty() ? Markup{} : html("<div><h3>{}</h3>{}</div>\n", title, body);
}

}  // namespace

std::string evaluation_port(const StageData& stage) {
  for (const PortFiles& port : stage.row.outputs) {
    if (stage.has(port.port, "confusion.csv") && stage.has(port.port, "per_class.csv")) {
      return port.port;
    }
  }
  return "";
}

Markup judgement(const StageData& stage, Pictures& pictures) {
  const std::string port = evaluation_port(stage);
  if (port.empty()) return {};
  const auto counts_text = stage.read(port, "confusion.csv");
  if (!counts_text) {
    return html("<p class=\"dim\">The files of {} are no longer in the store.</p>\n",
                stage.row.name);
  }
  const CsvTable counts(*counts_text);
  const CsvTable classes(stage.read(port, "per_class.csv").value_or(""));
  const CsvTable bins(stage.read(port, "calibration.csv").value_or(""));
  const Json summary = parsed(stage.read(port, "summary.json"));
  Markup out = lead(summary);
  const auto error = number_of(summary, "calibration_error");
  out += html(
      "<div class=\"two\">{}{}{}{}</div>\n", titled("Confusion matrix", confusion_matrix(counts)),
      titled("Calibration", reliability_diagram(bins, error)),
      titled("Classes", class_table(classes)), titled("Mixed up most", confused_pairs(counts)));
  out += pictures.show(stage, port, "mistakes.png", "The surest wrong answers.");
  out += pictures.show(stage, port, "saliency.png", "What the surest wrong answers hung on.");
  return out;
}

}  // namespace cifarpipe::report
