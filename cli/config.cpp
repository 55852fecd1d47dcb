// `cifarpipe config`: the whole configuration of one cell, and where each value came from.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/config_arguments.hpp"
#include "cli/runs.hpp"
#include "pipeline/diagnostics.hpp"

namespace cifarpipe::cli {
namespace {

struct Arguments {
  ConfigArguments config;
  std::string cell;
  bool origin = false;
};

constexpr std::size_t kNamesShown = 8;

const Cell& chosen(const Configuration& configuration, const std::string& name) {
  const auto& cells = configuration.cells;
  if (name.empty() && cells.size() == 1) return cells.front();
  std::vector<std::string> names;
  for (const Cell& cell : cells) {
    if (cell.name == name) return cell;
    names.push_back(cell.name);
  }
  if (!configuration.has_matrix) {
    throw Error(fmt::format("{} has no matrix, so it has no cell '{}'", configuration.file, name),
                ErrorKind::usage);
  }
  std::string list;
  for (std::size_t i = 0; i < std::min(names.size(), kNamesShown); ++i) {
    list += "\n  " + printable(names[i]);
  }
  if (names.size() > kNamesShown)
    list += fmt::format("\n  … and {} more", names.size() - kNamesShown);
  const std::string guess = name.empty() ? "" : nearest(name, names);
  const std::string what =
      name.empty() ? fmt::format("{} has {} cells; choose one with --cell:", configuration.file,
                                 cells.size())
      : guess.empty()
          ? fmt::format("{} has no cell '{}'; its cells:", configuration.file, name)
          : fmt::format("{} has no cell '{}'; did you mean '{}'? Its cells:", configuration.file,
                        name, guess);
  throw Error(what + list, ErrorKind::usage);
}

void print_origins(const Configuration& configuration, const Cell& cell, const Secrets& secrets) {
  struct Row {
    std::string path, value, from;
  };
  std::vector<Row> rows;
  for (const OriginLine& line : origins(configuration, cell)) {
    rows.push_back({line.path,
                    line.secret ? "<secret>"
                                : text_shown(secrets.redacted(to_text(line.value), TextKind::data)),
                    line.place.known() ? line.place.str() : "default"});
  }
  for (Row& row : rows) {
    // An input that nobody wrote is no default but the only stage that fits.
    const bool input =
        row.path.starts_with("stages.") && row.path.find(".inputs.") != std::string::npos;
    if (input && row.from == "default") row.from = "the only one that fits";
  }
  std::size_t path_width = 0, value_width = 0;
  for (const Row& row : rows) {
    path_width = std::max(path_width, row.path.size());
    value_width = std::max(value_width, std::min<std::size_t>(row.value.size(), 40));
  }
  for (const Row& row : rows) {
    fmt::print("{:<{}} = {:<{}}  # {}\n", row.path, path_width, row.value, value_width, row.from);
  }
}

int config(const Program& program, const Arguments& arguments) {
  const LoadedConfig loaded = load_config(program, arguments.config);
  const Cell& cell = chosen(loaded.configuration, arguments.cell);
  const Secrets secrets = secrets_of(program, loaded.configuration);
  if (arguments.origin) {
    print_origins(loaded.configuration, cell, secrets);
  } else {
    fmt::print("{}", secrets.redacted(resolved_toml(loaded.configuration, cell), TextKind::data));
  }
  return 0;
}

}  // namespace

void add_config_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "config", "Show a file with everything filled in, and where it came from.");
  auto arguments = std::make_shared<Arguments>();
  add_config_arguments(*command, arguments->config);
  command->add_flag("--origin", arguments->origin,
                    "One line a value, with the place that it came from.");
  command->add_option("--cell", arguments->cell, "Which cell, if the file has a matrix.")
      ->type_name("NAME");
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return config(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
