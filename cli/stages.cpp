// `cifarpipe stages`: what can be used in a file, from the plugins' descriptions.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/catalog.hpp"
#include "cli/say.hpp"
#include "pipeline/config.hpp"
#include "pipeline/diagnostics.hpp"
#include "pipeline/value_json.hpp"

namespace cifarpipe::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Arguments {
  std::string name;
  bool json = false;
  bool markdown = false;
  bool json_schema = false;
};

std::string default_text(const FieldInfo& field) {
  if (field.required) return "required";
  if (field.secret) return "none";
  return to_text(field.default_value);
}

// What a value may be, in a few words: "[1, 10000]", "adam | sgd".
std::string limits(const FieldInfo& field) {
  if (!field.choices.empty()) return fmt::format("{}", fmt::join(field.choices, " | "));
  if (!field.keywords.empty()) {
    return fmt::format("{} | URL | path", fmt::join(field.keywords, " | "));
  }
  const bool int_min = field.minimum == std::numeric_limits<int>::min();
  const bool int_max = field.maximum == std::numeric_limits<int>::max();
  const bool low = field.minimum && !int_min, high = field.maximum && !int_max;
  if (low && high) return fmt::format("[{}, {}]", *field.minimum, *field.maximum);
  if (low) return fmt::format(">= {}", *field.minimum);
  if (high) return fmt::format("<= {}", *field.maximum);
  return "";
}

std::string notes(const FieldInfo& field) {
  std::string out = field.help;
  if (!field.unit.empty()) out += fmt::format(" Unit: {}.", field.unit);
  if (field.no_effect && !field.secret) out += " Does not change results.";
  if (field.secret) out += " Secret.";
  if (!field.deprecated.empty()) out += fmt::format(" Deprecated: {}.", field.deprecated);
  return out;
}

using Row = std::vector<std::string>;

constexpr std::size_t kWidth = 110;
constexpr std::size_t kColumn = 30;  // Of a cell that is not the last one.
constexpr std::size_t kProse = 40;   // At least, whatever is left of kWidth.

// Lines of at most `width`, broken at spaces; newlines stay.
std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find_first_of(" \n", begin), text.size());
    std::string& line = lines.back();
    const std::string word(text.substr(begin, end - begin));
    if (line.empty()) {
      line = word;
    } else if (line.size() + 1 + word.size() <= width) {
      line += " " + word;
    } else {
      lines.push_back(word);
    }
    if (end < text.size() && text[end] == '\n') lines.emplace_back();
    begin = end + 1;
  }
  return lines;
}

// Columns of equal width; a cell that is too long goes on below itself.
void print_table(const std::vector<Row>& rows) {
  std::vector<std::size_t> widths;
  std::vector<std::vector<std::vector<std::string>>> cells;  // Of each row and column: lines.
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    cells.emplace_back();
    for (std::size_t i = 0; i + 1 < row.size(); ++i) {
      cells.back().push_back(wrapped(row[i], kColumn));
      for (const std::string& line : cells.back().back()) {
        widths[i] = std::max(widths[i], line.size());
      }
    }
  }
  std::size_t indent = 1;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) indent += widths[i] + 2;
  const std::size_t prose = kWidth > indent + kProse ? kWidth - indent : kProse;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    cells[r].push_back(wrapped(rows[r].back(), prose));
    std::size_t height = 0;
    for (const auto& lines : cells[r]) height = std::max(height, lines.size());
    for (std::size_t l = 0; l < height; ++l) {
      std::string line = " ";
      for (std::size_t i = 0; i < cells[r].size(); ++i) {
        line += fmt::format(" {:<{}} ", l < cells[r][i].size() ? cells[r][i][l] : "", widths[i]);
      }
      while (line.back() == ' ') line.pop_back();
      fmt::print("{}\n", line);
    }
  }
}

// Where a help explains choices, as "name = meaning" or "name: meaning", each begins a line.
std::string with_lines(std::string help, const FieldInfo& field) {
  for (const std::string& choice : field.choices) {
    for (const char* sign : {" = ", ": "}) {
      const std::size_t at = help.find(" " + choice + sign);
      if (at != std::string::npos) help[at] = '\n';
    }
  }
  return help;
}

std::vector<Row> param_rows(const StageDescription& d) {
  std::vector<Row> rows;
  for (const FieldInfo& field : d.params.fields) {
    rows.push_back({field.name, std::string(type_name(field.type)), default_text(field),
                    limits(field), with_lines(notes(field), field)});
  }
  return rows;
}

std::vector<Row> port_rows(const std::vector<Port>& ports) {
  std::vector<Row> rows;
  for (const Port& port : ports) {
    rows.push_back({port.name, port.type, (port.optional ? "Optional. " : "") + port.help});
  }
  return rows;
}

std::vector<Row> metric_rows(const StageDescription& d) {
  std::vector<Row> rows;
  for (const MetricInfo& metric : d.metrics) {
    const std::string_view goal = metric.goal == MetricInfo::Goal::minimize   ? "lower is better"
                                  : metric.goal == MetricInfo::Goal::maximize ? "higher is better"
                                                                              : "";
    rows.push_back({metric.name, std::string(goal), metric.help});
  }
  return rows;
}

std::string numerics_text(const StageDescription& d) {
  std::vector<std::string> uses;
  if (d.uses_seed) uses.emplace_back("the seed");
  if (d.numerics.device) uses.emplace_back("the device");
  if (d.numerics.precision) uses.emplace_back("the precision");
  if (d.numerics.threads) uses.emplace_back("the number of threads");
  return uses.empty() ? "nothing but its parameters and inputs"
                      : fmt::format("{}", fmt::join(uses, ", "));
}

void print_section(std::string_view title, const std::vector<Row>& rows) {
  if (rows.empty()) return;
  fmt::print("\n{}:\n", title);
  print_table(rows);
}

void print_stage(const StageType& type) {
  const StageDescription& d = type.description;
  fmt::print("{}: {}\n", d.name, d.summary);
  fmt::print("plugin {} {}, revision {}, {}\n", type.plugin_name, type.plugin_version, d.revision,
             type.plugin_path);
  fmt::print("its results depend on {}\n", numerics_text(d));
  print_section("inputs", port_rows(d.inputs));
  print_section("outputs", port_rows(d.outputs));
  print_section("parameters", param_rows(d));
  print_section("metrics", metric_rows(d));
}

std::string cell_text(std::string text) {
  for (std::size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) {
    text.insert(at, "\\");
  }
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n')) {
    text.replace(at, 1, "<br>");
  }
  return text;
}

void print_markdown_table(std::string_view title, const Row& head, const std::vector<Row>& rows) {
  if (rows.empty()) return;
  fmt::print("\n{}\n\n", title);
  std::string line = "|", rule = "|";
  for (const std::string& name : head) {
    line += " " + name + " |";
    rule += "---|";
  }
  fmt::print("{}\n{}\n", line, rule);
  for (const Row& row : rows) {
    line = "|";
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i == 0 ? fmt::format(" `{}` |", row[i]) : fmt::format(" {} |", cell_text(row[i]));
    }
    fmt::print("{}\n", line);
  }
}

void print_markdown(const StageType& type) {
  const StageDescription& d = type.description;
  fmt::print("## {}\n\n{}\n", d.name, d.summary);
  print_markdown_table("Inputs", {"input", "type", ""}, port_rows(d.inputs));
  print_markdown_table("Outputs", {"output", "type", ""}, port_rows(d.outputs));
  print_markdown_table("Parameters", {"parameter", "type", "default", "values", ""}, param_rows(d));
  print_markdown_table("Metrics", {"metric", "goal", ""}, metric_rows(d));
}

Json field_json(const FieldInfo& field) {
  Json out = {{"name", field.name}, {"type", type_name(field.type)}, {"help", field.help}};
  out["required"] = field.required;
  if (!field.required && !field.secret) out["default"] = value_json(field.default_value);
  if (field.minimum) out["minimum"] = *field.minimum;
  if (field.maximum) out["maximum"] = *field.maximum;
  if (!field.choices.empty()) out["choices"] = field.choices;
  if (!field.keywords.empty()) out["keywords"] = field.keywords;
  if (!field.unit.empty()) out["unit"] = field.unit;
  if (!field.deprecated.empty()) out["deprecated"] = field.deprecated;
  if (field.no_effect) out["no_effect"] = true;
  if (field.secret) out["secret"] = true;
  return out;
}

Json ports_json(const std::vector<Port>& ports, bool inputs) {
  Json out = Json::array();
  for (const Port& port : ports) {
    out.push_back({{"name", port.name}, {"type", port.type}, {"help", port.help}});
    if (inputs) out.back()["optional"] = port.optional;
  }
  return out;
}

Json stage_json(const StageType& type) {
  const StageDescription& d = type.description;
  Json out = {{"name", d.name},
              {"summary", d.summary},
              {"plugin",
               {{"name", type.plugin_name},
                {"version", type.plugin_version},
                {"path", type.plugin_path},
                {"build_id", type.build_id}}},
              {"revision", d.revision},
              {"uses_seed", d.uses_seed},
              {"numerics", Json::array()},
              {"inputs", ports_json(d.inputs, true)},
              {"outputs", ports_json(d.outputs, false)},
              {"params", Json::array()},
              {"metrics", Json::array()}};
  if (d.numerics.device) out["numerics"].push_back("device");
  if (d.numerics.precision) out["numerics"].push_back("precision");
  if (d.numerics.threads) out["numerics"].push_back("threads");
  for (const FieldInfo& field : d.params.fields) out["params"].push_back(field_json(field));
  for (const MetricInfo& metric : d.metrics) {
    static constexpr std::string_view kGoals[] = {"none", "minimize", "maximize"};
    out["metrics"].push_back({{"name", metric.name},
                              {"goal", kGoals[static_cast<std::size_t>(metric.goal)]},
                              {"help", metric.help}});
  }
  return out;
}

std::vector<const StageType*> chosen(const StageCatalog& catalog, const std::string& name) {
  std::vector<const StageType*> out;
  const std::vector<std::string> names = catalog.names();
  if (name.empty()) {
    for (const std::string& each : names) {
      if (const StageType* type = catalog.find(each)) out.push_back(type);
    }
    return out;
  }
  if (const StageType* type = catalog.find(name)) return {type};
  if (const auto problem = catalog.problem_for(name)) throw Error(*problem, ErrorKind::environment);
  const std::string guess = nearest(name, names);
  throw Error(fmt::format("unknown stage '{}'{}", name,
                          guess.empty() ? fmt::format("; known: {}", fmt::join(names, ", "))
                                        : fmt::format("; did you mean '{}'?", guess)),
              ErrorKind::usage);
}

void print_list(const std::vector<const StageType*>& types) {
  std::size_t width = 0;
  for (const StageType* type : types) width = std::max(width, type->description.name.size());
  for (const StageType* type : types) {
    fmt::print("{:<{}}  {}\n", type->description.name, width, type->description.summary);
  }
}

int stages(const Program& program, const Arguments& arguments) {
  const std::unique_ptr<StageCatalog> catalog = open_catalog(program, {});
  if (arguments.json_schema) {
    fmt::print("{}\n", file_json_schema(*catalog));
    return 0;
  }
  const std::vector<const StageType*> types = chosen(*catalog, arguments.name);
  if (arguments.name.empty()) {
    for (const StageCatalog::Problem& problem : catalog->problems()) {
      say("cifarpipe: warning: {}\n", problem.message);
    }
  }
  if (arguments.json) {
    Json out = Json::array();
    for (const StageType* type : types) out.push_back(stage_json(*type));
    if (!arguments.name.empty()) out = Json(out.front());
    fmt::print("{}\n", out.dump(2, ' ', false, Json::error_handler_t::replace));
  } else if (arguments.markdown) {
    for (std::size_t i = 0; i < types.size(); ++i) {
      if (i > 0) fmt::print("\n");
      print_markdown(*types[i]);
    }
  } else if (!arguments.name.empty()) {
    print_stage(*types.front());
  } else if (types.empty()) {
    say("no plugins were found; see cifarpipe doctor\n");
  } else {
    print_list(types);
  }
  return 0;
}

}  // namespace

void add_stages_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand("stages", "List the stages, or one with its parameters.");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("NAME", arguments->name, "Only this stage, in full.");
  auto* json = command->add_flag("--json", arguments->json, "All of it as JSON.");
  auto* markdown = command->add_flag("--markdown", arguments->markdown, "All of it as Markdown.");
  command
      ->add_flag("--json-schema", arguments->json_schema,
                 "A JSON Schema of the whole pipeline file, for editors.")
      ->excludes(json)
      ->excludes(markdown);
  json->excludes(markdown);
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return stages(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
