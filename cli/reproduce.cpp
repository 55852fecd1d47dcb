// `cifarpipe reproduce RUN`: lays out what a run was made of, carries it out again in a store of
// its own, and says whether the same came out, and if not, what was the first to differ.
#include "cli/reproduce.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <memory>

#include "cli/catalog.hpp"
#include "cli/help.hpp"
#include "cli/reproduce_state.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"
#include "cli/stop_signals.hpp"
#include "cli/workplace.hpp"
#include "pipeline/file_ops.hpp"
#include "pipeline/provenance.hpp"

namespace cifarpipe::cli {
namespace {

namespace fs = std::filesystem;

struct ReproduceArguments {
  std::string run;
  std::string dir;
  bool keep = false;
  bool here = false;
  bool build = false;
  bool fetch = false;
  std::optional<double> tolerance;
  std::vector<std::string> secrets;
  bool json = false;
};

void tell(const ReproduceArguments& arguments, const std::string& text) {
  if (!arguments.json) say("{}\n", text);
}

/// Throws Error (usage) unless `run` has such a secret and the environment its value.
void require_secret(const RunOutcome& run, const StageCatalog& catalog, const std::string& text) {
  const auto refuse = [&](const std::string& why) {
    throw Error(fmt::format("--secret {}: {}", text, why), ErrorKind::usage);
  };
  const std::string path = text.substr(0, text.find('='));
  const std::string name = text.substr(path.size() + 1);
  const std::string stage = path.substr(0, path.rfind('.'));
  const auto of_run = std::find_if(run.stages.begin(), run.stages.end(),
                                   [&](const StageOutcome& s) { return s.name == stage; });
  if (of_run == run.stages.end() || stage == path) {
    refuse(fmt::format("{} has no stage '{}'", run.record.name, stage));
  }
  const StageType* type = catalog.find(of_run->uses);
  if (type == nullptr) return;  // Loading the configuration tells why.
  const std::string param = path.substr(stage.size() + 1);
  const FieldInfo* field = type->description.params.find(param);
  if (field == nullptr || !field->secret) {
    refuse(fmt::format("stage '{}' has no secret parameter '{}'", stage, param));
  }
  if (std::getenv(name.c_str()) == nullptr) {
    refuse(fmt::format("the environment has no variable {}", name));
  }
}

/// `--secret STAGE.PARAM=NAME` as the `--set` that it means.
std::vector<std::string> secret_sets(const std::vector<std::string>& secrets) {
  std::vector<std::string> sets;
  for (const std::string& text : secrets) {
    const std::size_t sign = text.find('=');
    if (sign == std::string::npos || sign == 0 || sign + 1 == text.size()) {
      throw Error(fmt::format("--secret {}: write it as STAGE.PARAM=NAME, with the NAME of a "
                              "variable of the environment",
                              text),
                  ErrorKind::usage);
    }
    sets.push_back(
        fmt::format("{}={{ env = \"{}\" }}", text.substr(0, sign), text.substr(sign + 1)));
  }
  return sets;
}

std::string fact(const RunOutcome& run, std::string_view name) {
  for (const auto& [key, value] : run.facts) {
    if (key == name) return value;
  }
  return "";
}

/// Puts the repository's files into `place`; the commit, or "" where there is nothing to lay out.
std::string lay_out(const ReproduceArguments& arguments, const RunOutcome& before,
                    Workplace& place) {
  if (arguments.here) return "";
  const std::string commit = fact(before, "git.commit");
  const std::string files_as_they_are =
      "its recorded configuration runs on the files as they are now";
  if (commit.empty()) {
    tell(arguments, fmt::format("{} was not run from a git repository: {}", before.record.name,
                                files_as_they_are));
    return "";
  }
  std::vector<fs::path> candidates;
  if (const std::string top = fact(before, "git.top"); !top.empty()) candidates.emplace_back(top);
  candidates.emplace_back(".");
  const fs::path repository = repository_with(commit, candidates);
  if (repository.empty()) {
    tell(arguments,
         fmt::format("commit {} is not in {} nor in the repository of this folder: {}",
                     commit.substr(0, 12), candidates.front().string(), files_as_they_are));
    return "";
  }
  place.lay_out(repository, commit, fs::path(before.record.folder) / "changes.diff");
  return commit;
}

/// The program that carries it out: this one, or the one that the laid out files are.
fs::path program_for(const Program& program, const ReproduceArguments& arguments,
                     const std::string& commit, const Workplace& place) {
  if (!arguments.build) return program.executable;
  const fs::path launcher = place.files() / "cifarpipe";
  if (!commit.empty() && access(launcher.c_str(), X_OK) == 0) return launcher;
  throw Error(
      "--build: what is laid out is not cifarpipe's own repository, so there is no ./cifarpipe in "
      "it to build; without --build this program carries it out",
      ErrorKind::usage);
}

std::vector<std::string> command_line(const Program& program, const fs::path& executable,
                                      const Workplace& place, const RunOutcome& before,
                                      const std::vector<std::string>& sets) {
  std::vector<std::string> line = {executable.string(), "--runs", place.runs().string()};
  for (const fs::path& path : program.plugin_paths) {
    line.insert(line.end(), {"--plugin-path", fs::absolute(path).string()});
  }
  line.insert(line.end(), {"run", (place.path() / "reproduce.toml").string(), "--json", "--name",
                           "reproduction"});
  for (const std::string& set : sets) line.insert(line.end(), {"--set", set});
  for (const StageOutcome& stage : before.stages) {
    line.insert(line.end(), {"--until", stage.name});
  }
  return line;
}

/// What the program said on stderr, for when it could not even begin.
std::string read_errors(const fs::path& file) {
  std::ifstream in(file);
  std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

/// What is told, and whether the folder stays.
int finish(const ReproduceArguments& arguments, Workplace& place, Reproduction& result) {
  for (const std::string& stage : result.taken_over) {
    tell(arguments, fmt::format("the result of {} came from the net: it was read again and taken "
                                "over; --fetch fetches it again",
                                stage));
  }
  const bool good = is_reproduced(result);
  if (arguments.keep || !good) place.keep();
  if (place.kept()) result.kept = place.path();
  if (arguments.json) {
    print_reproduction_json(result);
  } else {
    print_reproduction(result);
  }
  return good ? 0 : 1;
}

/// Carries out what stands in `place`. The number of the signal that ended it, or 0.
int carry_out_in(const Program& program, const ReproduceArguments& arguments,
                 const Workplace& place, const std::vector<std::string>& sets,
                 Reproduction& result) {
  const fs::path executable = program_for(program, arguments, result.commit, place);
  const bool live = isatty(STDERR_FILENO) == 1 && !arguments.json;
  const fs::path errors = place.path() / "reproduce.log";
  result.end =
      carry_out(command_line(program, executable, place, result.before, sets), errors, live);
  if (result.end.signal != 0) return result.end.signal;
  if (result.end.exit_code >= 128) {
    throw Error(fmt::format("the program that carried it out was ended by someone (exit code {})",
                            result.end.exit_code),
                ErrorKind::environment);
  }
  if (result.end.exit_code > 1) {
    throw Error(
        fmt::format("the recorded state cannot be carried out here:\n{}", read_errors(errors)),
        ErrorKind::environment);
  }
  return 0;
}

int reproduce(const Program& program, const ReproduceArguments& arguments) {
  if (arguments.here && arguments.build) {
    throw Error("--build builds what is laid out, and --here lays nothing out; choose one",
                ErrorKind::usage);
  }
  const std::vector<std::string> sets = secret_sets(arguments.secrets);
  block_stop_signals();
  Reproduction result;
  result.tolerance = arguments.tolerance;
  std::optional<Lock> in_use;  // What is read from the store must not be collected meanwhile.
  result.before = recorded_run(program, arguments.run, in_use);
  if (!sets.empty()) {
    const auto catalog = open_catalog(
        program,
        plugin_paths_of((fs::path(result.before.record.folder) / "resolved.toml").string()));
    for (const std::string& text : arguments.secrets) {
      require_secret(result.before, *catalog, text);
    }
  }
  result.missing = fact(result.before, "git.missing");
  LoadedConfig loaded = recorded_configuration(program, result.before, sets);
  result.producers = producers_of(loaded.configuration.cells.front());

  Workplace place(arguments.dir);
  result.commit = lay_out(arguments, result.before, place);
  result.changed =
      !result.commit.empty() && fs::exists(fs::path(result.before.record.folder) / "changes.diff");
  as_recorded(loaded.configuration, result.before, fact(result.before, "git.top"),
              result.commit.empty() ? fs::path() : place.files());
  result.taken_over =
      fill_store(program, loaded.configuration, result.before, place.runs(), arguments.fetch);
  file_ops().write_file(place.path() / "reproduce.toml",
                        resolved_toml(loaded.configuration, loaded.configuration.cells.front()));
  if (const int signal = next_stop_signal(std::chrono::milliseconds(0)); signal != 0)
    return 128 + signal;
  if (const int signal = carry_out_in(program, arguments, place, sets, result); signal != 0) {
    return 128 + signal;
  }
  result.now = made_run(place.runs());
  result.stages = compare_outcomes(result.before, result.now, arguments.tolerance);
  result.circumstances = differing_circumstances(result.before, result.now);
  // Its key may have become another one: then it was fetched after all.
  std::erase_if(result.taken_over,
                [&](const std::string& stage) { return !was_taken_over(result.now, stage); });
  return finish(arguments, place, result);
}

}  // namespace

void add_reproduce_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "reproduce", "Lay out what a run was made of, run it again, and compare what comes out.");
  const auto arguments = std::make_shared<ReproduceArguments>();
  command
      ->add_option("RUN", arguments->run, "Its id or the beginning of it, its name, or 'latest'.")
      ->required();
  command
      ->add_option("--dir", arguments->dir,
                   "Where to lay it out: a new or an empty folder, which stays.")
      ->type_name("DIR");
  command->add_flag("--keep", arguments->keep, "Keep what was laid out and made.");
  command->add_flag("--here", arguments->here,
                    "Lay nothing out: the recorded configuration on the files as they are now.");
  command->add_flag("--build", arguments->build,
                    "If the repository is cifarpipe's own: with the program built from it.");
  command->add_flag("--fetch", arguments->fetch,
                    "Fetch again what came from the net, too, instead of taking its result over.");
  command
      ->add_option_function<std::string>(
          "--tolerance",
          [arguments](const std::string& text) {
            arguments->tolerance = number_of_0_or_more("--tolerance", text);
          },
          "Metrics may differ by so much; files then do not count.")
      ->type_name("X");
  command
      ->add_option("--secret", arguments->secrets,
                   "A secret parameter, which is not recorded, from the environment.")
      ->type_name("STAGE.PARAM=NAME")
      ->allow_extra_args(false);
  command->add_flag("--json", arguments->json, "As JSON.");
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return reproduce(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
