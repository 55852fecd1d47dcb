#include <algorithm>
#include <nlohmann/json.hpp>

#include "tracking/quantities.hpp"
#include "tracking/report/judgement.hpp"
#include "tracking/report/sections.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMostOfSeries = 6;  // Pictures of one output, evenly chosen.

Json parsed(const std::optional<std::string>& text) {
  Json json = Json::parse(text.value_or("{}"), nullptr, false);
  return json.is_object() ? json : Json::object();
}

std::int64_t integer_of(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? found->get<std::int64_t>() : 0;
}

std::string numbers_of(const Json& json, const char* key) {
  std::string out;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) return out;
  for (const Json& value : *found) {
    if (value.is_number()) out += (out.empty() ? "" : ", ") + figure(value.get<double>());
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> told_of(const Json& summary) {
  std::vector<std::pair<std::string, std::string>> out;
  if (const auto image = summary.find("image"); image != summary.end() && image->is_object()) {
    out.emplace_back(
        "images",
        fmt::format("{} × {} pixels, {}", integer_of(*image, "width"), integer_of(*image, "height"),
                    counted(integer_of(*image, "channels"), "channel", "channels")));
  }
  for (const char* key : {"layout", "normalization"}) {
    const auto found = summary.find(key);
    if (found != summary.end() && found->is_string()) {
      out.emplace_back(key, found->get<std::string>());
    }
  }
  if (const std::string mean = numbers_of(summary, "mean"); !mean.empty()) {
    out.emplace_back("mean", mean);
    out.emplace_back("deviation", numbers_of(summary, "std"));
  }
  return out;
}

/// A row a class, a column a split.
Markup class_counts(const Json& summary) {
  const auto splits = summary.find("splits");
  const auto classes = summary.find("classes");
  if (splits == summary.end() || !splits->is_object() || classes == summary.end() ||
      !classes->is_array()) {
    return {};
  }
  Markup head = html("<th>class</th>");
  Markup all = html("<th scope=\"row\">all</th>");
  for (const auto& split : splits->items()) {
    const std::int64_t images = integer_of(split.value(), "images");
    head += html("<th class=\"num\">{}</th>", split.key());
    all += html("<td class=\"num\">{}</td>", grouped(images));
  }
  Markup rows;
  for (const Json& name : *classes) {
    if (!name.is_string()) continue;
    const std::string text = name.get<std::string>();
    Markup cells = html("<th scope=\"row\">{}</th>", text);
    for (const auto& split : splits->items()) {
      const auto counts = split.value().find("classes");
      const std::int64_t count =
          counts != split.value().end() ? integer_of(*counts, text.c_str()) : 0;
      cells += number_cell(static_cast<double>(count), grouped(count));
    }
    rows += html("<tr>{}</tr>\n", cells);
  }
  return scrolling(
      html("<table class=\"sortable\"><thead><tr>{}</tr></thead><tbody>{}</tbody>"
           "<tfoot><tr>{}</tr></tfoot></table>",
           head, rows, all));
}

/// duplicates.json: images of a split that have a duplicate in another.
Markup duplicate_counts(const Json& duplicates) {
  const auto images = duplicates.find("images");
  if (images == duplicates.end() || !images->is_object()) return {};
  Markup rows;
  for (const auto& own : images->items()) {
    if (!own.value().is_object()) continue;
    for (const auto& other : own.value().items()) {
      if (!other.value().is_object()) continue;
      const std::int64_t exact = integer_of(other.value(), "exact");
      const std::int64_t near = integer_of(other.value(), "near");
      rows += html(
          "<tr><td>{} images with one in {}</td><td class=\"num\">{}</td>"
          "<td class=\"num\">{}</td><td class=\"num\">{}</td></tr>\n",
          own.key(), other.key(), grouped(exact), grouped(near),
          grouped(integer_of(other.value(), "other_label")));
    }
  }
  if (rows.empty()) return {};
  return html("<h3>Duplicates</h3>\n{}",
              scrolling(html("<table><thead><tr><th></th><th class=\"num\">exact</th>"
                             "<th class=\"num\">near</th><th class=\"num\">other label</th></tr>"
                             "</thead><tbody>{}</tbody></table>",
                             rows)));
}

/// The outputs that other stages may have read, by their content.
Markup digests(const RunData& run) {
  Markup rows;
  for (const StageData& stage : run.stages) {
    for (const PortFiles& port : stage.row.outputs) {
      std::uint64_t bytes = 0;
      for (const FileDigest& file : port.files) bytes += file.size;
      rows += html(
          "<tr><th scope=\"row\">{}.{}</th><td class=\"num\">{}</td><td class=\"num\">{}"
          "</td><td class=\"mono\">{}</td></tr>\n",
          stage.row.name, port.port, port.files.size(), bytes_text(bytes),
          combined_digest(port.files));
    }
  }
  if (rows.empty()) return {};
  return details("Content of every output",
                 scrolling(html("<table><thead><tr><th>output</th><th class=\"num\">files</th>"
                                "<th class=\"num\">size</th><th>SHA-256 over its files</th></tr>"
                                "</thead><tbody>{}</tbody></table>",
                                rows)));
}

bool is_elsewhere(const StageData& stage, const std::string& port) {
  return port == evaluation_port(stage) || port == dataset_port(stage);
}

}  // namespace

std::string dataset_port(const StageData& stage) {
  for (const PortFiles& port : stage.row.outputs) {
    if (stage.has(port.port, "summary.json") && stage.has(port.port, "contact-sheet.png")) {
      return port.port;
    }
  }
  return "";
}

Markup data_section(const RunData& run, Pictures& pictures) {
  Markup out;
  for (const StageData& stage : run.stages) {
    const std::string port = dataset_port(stage);
    if (port.empty()) continue;
    const Json summary = parsed(stage.read(port, "summary.json"));
    Markup tables = pairs_table(told_of(summary));
    tables += class_counts(summary);
    tables += duplicate_counts(parsed(stage.read(port, "duplicates.json")));
    Markup sheets =
        pictures.show(stage, port, "contact-sheet.png", "The first images of each class.");
    sheets += pictures.show(stage, port, "duplicates.png", "Pairs of duplicates.");
    out += html("<div class=\"two data\"><div>{}</div><div>{}</div></div>\n", tables, sheets);
  }
  return out += digests(run);
}

Markup pictures_section(const RunData& run, Pictures& pictures) {
  Markup out;
  for (const StageData& stage : run.stages) {
    if (stage.row.uses == "download") continue;  // The images that are learned from.
    for (const PortFiles& port : stage.row.outputs) {
      if (is_elsewhere(stage, port.port)) continue;
      std::vector<std::string> paths;
      for (const FileDigest& file : port.files) {
        if (Pictures::is_picture(file.path)) paths.push_back(file.path);
      }
      if (paths.empty()) continue;
      const std::size_t count = std::min(paths.size(), kMostOfSeries);
      Markup shown;
      // The last first: of a training it is the one that counts.
      for (std::size_t i = count; i-- > 0;) {
        const std::size_t at = count == 1 ? 0 : i * (paths.size() - 1) / (count - 1);
        Markup one = pictures.show(stage, port.port, paths[at], paths[at]);
        if (i + 1 == count) {
          out += html("<h3>{}.{}</h3>\n{}", stage.row.name, port.port, one);
        } else {
          shown += one;
        }
      }
      out += details(fmt::format("{} more of {}", count - 1, paths.size() - 1), shown);
    }
  }
  return out;
}

}  // namespace cifarpipe::report
