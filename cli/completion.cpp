// `cifarpipe completion`: a few lines for the shell, which ask the program itself what could come
// next, so that stages, parameters and their choices are always those of the file at hand.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "cli/catalog.hpp"
#include "pipeline/config.hpp"

namespace cifarpipe::cli {
namespace {

constexpr std::string_view kBash =
    R"(# cifarpipe completion for bash:  source <(cifarpipe completion bash)
_cifarpipe() {
  local line=${COMP_LINE:0:COMP_POINT} cur words
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  cur=${words[-1]}
  local found
  mapfile -t found < <("${COMP_WORDS[0]}" completion words -- "${words[@]:1}" 2>/dev/null)
  if [[ ${found[0]} == FILES ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    return
  fi
  [[ ${#found[@]} -eq 1 && ${found[0]} == *[=.] ]] && compopt -o nospace
  # The shell takes '=' for the end of a word.
  [[ $cur == *=* ]] && found=("${found[@]#"${cur%%=*}="}")
  COMPREPLY=("${found[@]}")
}
complete -F _cifarpipe cifarpipe ./cifarpipe
)";

constexpr std::string_view kZsh = R"(#compdef cifarpipe
# cifarpipe completion for zsh:  source <(cifarpipe completion zsh)
_cifarpipe() {
  local -a found
  found=("${(@f)$("${words[1]}" completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ ${found[1]} == FILES ]]; then
    _files
  elif [[ ${#found} -eq 1 && ${found[1]} == *= ]]; then
    compadd -S '' -- "${found[@]}"
  else
    compadd -- "${found[@]}"
  fi
}
compdef _cifarpipe cifarpipe
)";

constexpr std::string_view kFish =
    R"(# cifarpipe completion for fish:  cifarpipe completion fish | source
function __cifarpipe_words
  set -l words (commandline -opc) (commandline -ct)
  set -l found ($words[1] completion words -- $words[2..-1] 2>/dev/null)
  if test "$found[1]" = FILES
    __fish_complete_path (commandline -ct)
  else
    printf '%s\n' $found
  end
end
complete -c cifarpipe -f -a '(__cifarpipe_words)'
)";

constexpr std::string_view kFiles = "FILES";  // "Complete file names."

using Words = std::vector<std::string>;

const CLI::App* subcommand(const CLI::App& app, const std::string& name) {
  for (const CLI::App* sub : app.get_subcommands({})) {
    if (sub->get_name() == name) return sub;
  }
  return nullptr;
}

const CLI::Option* option_called(const CLI::App& app, const std::string& word) {
  for (const CLI::App* at = &app; at != nullptr; at = at->get_parent()) {
    for (const CLI::Option* option : at->get_options({})) {
      if (!option->get_positional() && option->check_name(word)) return option;
    }
  }
  return nullptr;
}

class Completer {
 public:
  Completer(const Program& program, const CLI::App& app, Words words)
      : program_(program), command_(&app), words_(std::move(words)) {}

  Words candidates() {
    if (words_.empty()) words_.emplace_back();
    read_words();
    const std::string& word = words_.back();
    Words all = expected_ != nullptr        ? values_of(*expected_)
                : word.starts_with("-")     ? options()
                : command_has_subcommands() ? commands()
                                            : positionals();
    if (all.size() == 1 && all.front() == kFiles) return all;
    std::erase_if(all, [&](const std::string& c) { return !c.starts_with(word); });
    std::sort(all.begin(), all.end());
    return all;
  }

 private:
  // Follows what stands before the word to complete.
  void read_words() {
    for (std::size_t i = 0; i + 1 < words_.size(); ++i) {
      const std::string& word = words_[i];
      if (expected_ != nullptr) {
        expected_ = nullptr;
      } else if (const CLI::App* sub = subcommand(*command_, word)) {
        command_ = sub;
      } else if (word.starts_with("-")) {
        const CLI::Option* option = option_called(*command_, word);
        if (option != nullptr && option->get_items_expected_max() > 0) expected_ = option;
      } else {
        ++positionals_seen_;
        if (file_.empty()) file_ = word;
      }
    }
  }

  bool command_has_subcommands() const { return !command_->get_subcommands({}).empty(); }

  Words commands() const {
    Words out;
    for (const CLI::App* sub : command_->get_subcommands({})) out.push_back(sub->get_name());
    return out;
  }

  Words options() const {
    Words out;
    for (const CLI::App* at = command_; at != nullptr; at = at->get_parent()) {
      for (const CLI::Option* option : at->get_options({})) {
        for (const std::string& name : option->get_lnames()) out.push_back("--" + name);
      }
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  Words positionals() const {
    const std::string name = command_->get_name();
    if (name == "stages")
      return positionals_seen_ == 0 ? open_catalog(program_, {})->names() : Words{};
    if (name == "completion") return {"bash", "fish", "zsh"};
    if (name == "export-run" || name == "sync" || name == "report" || name == "reproduce") {
      return {"latest"};
    }
    for (const CLI::Option* option : command_->get_options({})) {
      if (option->get_positional() && option->get_name(true) == "FILE")
        return {std::string(kFiles)};
    }
    return command_->get_parent() != nullptr ? Words{"latest"} : Words{};
  }

  Words values_of(const CLI::Option& option) {
    const std::string name = option.get_lnames().empty() ? "" : option.get_lnames().front();
    if (name == "set") return set_values();
    if (name == "force" || name == "from" || name == "until" || name == "accept-code") {
      Words out;
      for (const auto& stage : stages_of_file()) out.push_back(stage.name);
      return out;
    }
    if (name == "cell") {
      stages_of_file();
      return cells_;
    }
    if (name == "to" && command_->get_name() == "sync") return {};
    for (const char* path : {"runs", "plugin-path", "to", "output", "svg", "dir"}) {
      if (name == path) return {std::string(kFiles)};
    }
    return {};
  }

  // A file with mistakes has no completion for its parameters; `check` says what is wrong with it.
  std::vector<StageInstance> stages_of_file() {
    if (file_.empty()) return {};
    Diagnostics unheard;
    catalog_ = open_catalog(program_, plugin_paths_of(file_));
    auto configuration = load_configuration(file_, {}, *catalog_, unheard);
    if (!configuration) return {};
    for (const Cell& cell : configuration->cells) cells_.push_back(cell.name);
    return configuration->cells.front().stages;
  }

  Words set_values() {
    const std::string& word = words_.back();
    Words out = {"pipeline.name=", "pipeline.seed=", "pipeline.repeat=", "pipeline.threads="};
    for (const StageInstance& stage : stages_of_file()) {
      for (const FieldInfo& field : stage.type->description.params.fields) {
        const std::string path = stage.name + "." + field.name + "=";
        if (!word.starts_with(path)) {
          out.push_back(path);
          continue;
        }
        Words choices = field.choices;
        choices.insert(choices.end(), field.keywords.begin(), field.keywords.end());
        if (field.type == Type::boolean) choices = {"false", "true"};
        for (const std::string& choice : choices) out.push_back(path + choice);
      }
    }
    return out;
  }

  const Program& program_;
  const CLI::App* command_;
  Words words_;
  const CLI::Option* expected_ = nullptr;
  std::unique_ptr<StageCatalog> catalog_;
  std::string file_;
  Words cells_;
  int positionals_seen_ = 0;
};

struct Arguments {
  std::string shell;
  Words words;
};

int completion(const Program& program, const CLI::App& app, const Arguments& arguments) {
  if (arguments.shell == "words") {
    for (const std::string& word : Completer(program, app, arguments.words).candidates()) {
      fmt::print("{}\n", word);
    }
    return 0;
  }
  fmt::print("{}", arguments.shell == "bash" ? kBash : arguments.shell == "zsh" ? kZsh : kFish);
  return 0;
}

}  // namespace

void add_completion_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "completion", "Print what makes bash, zsh or fish complete commands, stages and parameters.");
  auto arguments = std::make_shared<Arguments>();
  command->add_option("SHELL", arguments->shell, "bash, zsh or fish.")
      ->required()
      ->check([](const std::string& shell) {
        const bool known = shell == "bash" || shell == "zsh" || shell == "fish" || shell == "words";
        return known ? std::string() : fmt::format("'{}' is not bash, zsh or fish", shell);
      });
  command->add_option("WORDS", arguments->words, "For the shell's own use.")->group("");
  command->footer("For bash: source <(cifarpipe completion bash)");
  command->callback([&app, &program, arguments] {
    program.action = [&app, &program, arguments] { return completion(program, app, *arguments); };
  });
}

}  // namespace cifarpipe::cli
