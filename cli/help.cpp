#include "cli/help.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "pipeline/diagnostics.hpp"

namespace cifarpipe::cli {
namespace {

constexpr std::size_t kWidth = 96;
constexpr std::size_t kColumn = 24;

// `text` from column kColumn on, broken between words.
std::string described(std::string left, std::string_view text) {
  std::string out = "  " + std::move(left);
  if (out.size() + 2 > kColumn)
    out += "\n" + std::string(kColumn, ' ');
  else
    out.append(kColumn - out.size(), ' ');
  std::size_t column = kColumn;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (column > kColumn && column + 1 + (end - begin) > kWidth) {
      out += "\n" + std::string(kColumn, ' ');
      column = kColumn;
    } else if (column > kColumn) {
      out += ' ';
      ++column;
    }
    out += text.substr(begin, end - begin);
    column += end - begin;
    begin = end + 1;
  }
  return out + "\n";
}

std::string names_of(const CLI::Option& option) {
  std::string out;
  for (const std::string& name : option.get_snames()) out += (out.empty() ? "-" : ", -") + name;
  for (const std::string& name : option.get_lnames()) out += (out.empty() ? "--" : ", --") + name;
  // Checks add what they check after a colon; the sentence beside it says that better.
  const std::string full_type = option.get_type_name();
  const std::string type = full_type.substr(0, full_type.find(':'));
  if (!type.empty() && option.get_items_expected_max() > 0) out += " " + type;
  return out;
}

std::string full_name(const CLI::App& app) {
  if (app.get_parent() == nullptr) return app.get_name();
  return full_name(*app.get_parent()) + " " + app.get_name();
}

class OwnHelp : public CLI::Formatter {
 public:
  std::string make_help(const CLI::App* app, std::string, CLI::AppFormatMode) const override {
    const CLI::App* root = app;
    while (root->get_parent() != nullptr) root = root->get_parent();
    if (root == app) return front_page(*app);
    std::string usage, arguments, options;
    for (const CLI::Option* option : app->get_options({})) {
      if (option->get_group().empty()) continue;  // Not for people.
      if (option->get_positional()) {
        const std::string name = option->get_name(true);
        const std::string several = option->get_items_expected_max() > 1 ? "..." : "";
        usage += option->get_required() ? fmt::format(" {}{}", name, several)
                                        : fmt::format(" [{}{}]", name, several);
        arguments += described(name, option->get_description());
      } else {
        options += described(names_of(*option), option->get_description());
      }
    }
    std::string commands;
    for (const CLI::App* sub : app->get_subcommands({})) {
      commands += described(sub->get_name(), sub->get_description());
    }
    std::string out =
        fmt::format("{}\n\nusage: {}{}{}{}\n", app->get_description(), full_name(*app),
                    commands.empty() ? "" : " COMMAND", usage, options.empty() ? "" : " [options]");
    if (!commands.empty()) out += "\ncommands:\n" + commands;
    if (!arguments.empty()) out += "\narguments:\n" + arguments;
    if (!options.empty()) out += "\noptions:\n" + options;
    if (const std::string footer = app->get_footer(); !footer.empty()) out += "\n" + footer + "\n";
    return out;
  }
};

const CLI::App& deepest(const CLI::App& app) {
  const auto parsed = app.get_subcommands();
  return parsed.empty() ? app : deepest(*parsed.front());
}

void collect_options(const CLI::App& app, std::vector<std::string>& out) {
  for (const CLI::Option* option : app.get_options({})) {
    for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
  }
  if (app.get_parent() != nullptr) collect_options(*app.get_parent(), out);
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* sub : app.get_subcommands({})) out.push_back(sub->get_name());
  return out;
}

std::string meant(const std::string& word, const std::vector<std::string>& candidates) {
  const std::string guess = nearest(word, candidates);
  return guess.empty() ? "" : fmt::format("; did you mean '{}'?", guess);
}

}  // namespace

std::string front_page(const CLI::App& app) {
  struct Group {
    std::string_view title;
    std::vector<std::string> names;
  };
  static const std::vector<Group> groups = {
      {"pipelines", {"run", "plan", "check", "config", "stages", "init"}},
      {"results", {"runs", "sync", "report", "ui", "reproduce", "export-run", "gc", "verify"}},
      {"this machine", {"doctor", "completion"}},
  };
  std::string out =
      fmt::format("{}\n\nusage: cifarpipe COMMAND [options]\n", app.get_description());
  std::vector<std::string> shown;
  for (const Group& group : groups) {
    std::string lines;
    for (const std::string& name : group.names) {
      for (const CLI::App* sub : app.get_subcommands({})) {
        if (sub->get_name() == name) lines += described(name, sub->get_description());
      }
      shown.push_back(name);
    }
    if (!lines.empty()) out += fmt::format("\n{}:\n{}", group.title, lines);
  }
  std::string others;
  for (const CLI::App* sub : app.get_subcommands({})) {
    if (std::find(shown.begin(), shown.end(), sub->get_name()) == shown.end()) {
      others += described(sub->get_name(), sub->get_description());
    }
  }
  if (!others.empty()) out += "\nmore:\n" + others;
  out += "\noptions that every command takes:\n";
  for (const CLI::Option* option : app.get_options({})) {
    out += described(names_of(*option), option->get_description());
  }
  return out +
         "\n'cifarpipe COMMAND --help' tells more. A first run: cifarpipe run "
         "configs/quickstart.toml\n";
}

void use_own_help(CLI::App& app) {
  static const auto own = std::make_shared<OwnHelp>();
  app.formatter(own);
  app.set_help_flag("-h,--help", "Show this.");
  for (CLI::App* sub : app.get_subcommands({})) use_own_help(*sub);
}

std::string usage_problem(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = deepest(app);
  const std::string name = full_name(command);
  const std::string more = fmt::format("\nSee '{} --help'.", name);
  const std::vector<std::string> left = app.remaining(true);
  const bool stray_option = !left.empty() && left.front().starts_with("-");
  const bool extras = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr;
  // A misspelt option also leaves its value behind, or takes the place of something required.
  if (extras || stray_option) {
    const std::string word = left.empty() ? "" : left.front();
    const std::string bare = word.substr(0, word.find('='));
    if (word.starts_with("-")) {
      std::vector<std::string> options;
      collect_options(command, options);
      return fmt::format("'{}' has no option '{}'{}{}", name, bare, meant(bare, options), more);
    }
    const std::vector<std::string> commands = commands_of(command);
    if (!commands.empty()) {
      return fmt::format("unknown command '{}'{}{}", word, meant(word, commands), more);
    }
    return fmt::format("'{}' does not know what to do with '{}'{}", name, word, more);
  }
  std::string text = error.what();
  if (const std::size_t end = text.find(" is required"); end != std::string::npos) {
    text = fmt::format("'{}' needs {}", name, text.substr(0, end));
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text + more;
}

std::function<std::string(const std::string&)> whole_number(std::int64_t least, std::int64_t most) {
  return [least, most](const std::string& text) -> std::string {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (whole && number >= least && number <= most) return "";
    return fmt::format("'{}' is not a whole number from {} to {}", text, least, most);
  };
}

double number_of_0_or_more(std::string_view option, std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool read = error == std::errc() && end == text.data() + text.size();
  if (read && std::isfinite(number) && number >= 0) return number;
  throw CLI::ValidationError(fmt::format("{} {}", option, text),
                             "a number of 0 or more is expected");
}

}  // namespace cifarpipe::cli
