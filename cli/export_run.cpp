// `cifarpipe export-run`: copies what an export stage of a run made out of the store, and says in
// its card where it comes from. The folder is there whole or not at all.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>

#include "cli/command.hpp"
#include "cli/runs.hpp"
#include "cli/session.hpp"
#include "pipeline/digest.hpp"
#include "pipeline/file_ops.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kStage = "export";
constexpr std::string_view kPort = "export";
constexpr std::string_view kCard = "README.md";

struct ExportArguments {
  std::string run;
  std::string to;
  std::string stage;
};

/// The export stage that is meant.
StageRow choose_stage(const std::vector<StageRow>& stages, const RunRecord& run,
                      const std::string& name) {
  std::vector<StageRow> found;
  std::vector<std::string> names;
  for (const StageRow& stage : stages) {
    if (stage.uses != kStage || (!name.empty() && stage.name != name)) continue;
    if (stage.status != "finished" || !stage.job) {
      if (name.empty()) continue;
      throw Error(fmt::format("stage '{}' of {} has nothing to export: it is {}", name, run.name,
                              stage.status),
                  ErrorKind::usage);
    }
    found.push_back(stage);
    names.push_back(stage.name);
  }
  if (found.empty()) {
    throw Error(name.empty()
                    ? fmt::format("{} has no finished stage that uses '{}'", run.name, kStage)
                    : fmt::format("{} has no stage '{}' that uses '{}'", run.name, name, kStage),
                ErrorKind::usage);
  }
  if (found.size() > 1) {
    throw Error(fmt::format("{} has several exports: choose one of {} with --stage", run.name,
                            fmt::join(names, ", ")),
                ErrorKind::usage);
  }
  return found.front();
}

void require_free(const fs::path& to) {
  std::error_code error;
  const fs::file_status status = fs::symlink_status(to, error);
  if (status.type() == fs::file_type::not_found) return;
  if (!fs::is_directory(status)) {
    throw Error(fmt::format("'{}' is there already and is not a folder", to.string()),
                ErrorKind::usage);
  }
  if (!fs::is_empty(to, error) || error) {
    throw Error(fmt::format("'{}' is not empty: --to wants a new or an empty folder", to.string()),
                ErrorKind::usage);
  }
}

/// Copies a file and compares what was written with what was recorded.
void copy_file(const fs::path& from, const fs::path& to, const FileDigest& recorded) {
  std::error_code error;
  fs::create_directories(to.parent_path(), error);
  if (!error) fs::copy_file(from, to, error);
  if (!error) fs::permissions(to, fs::perms::owner_write, fs::perm_options::add, error);
  if (error) throw file_error("copy to", to, error.value());
  if (sha256_file(to) != recorded.sha256) {
    throw Error(fmt::format("'{}' is damaged; `cifarpipe verify` sets it aside, and the next run "
                            "makes it again",
                            from.string()),
                ErrorKind::environment);
  }
}

/// A name as it stands in a table of Markdown.
std::string plain(std::string_view name) {
  std::string made;
  for (const char letter : name) {
    if (std::string_view("\\`*_[]<>|").find(letter) != std::string_view::npos) made += '\\';
    made += letter == '\n' ? ' ' : letter;
  }
  return made;
}

/// What is known only outside of the store.
std::string origin(RunQueries& queries, const RunRecord& run, const StageRow& stage,
                   const std::vector<StageRow>& stages) {
  std::string text = "\n## Origin\n\n| | |\n|---|---|\n";
  const auto row = [&](std::string_view name, std::string_view value) {
    if (!value.empty()) text += fmt::format("| {} | {} |\n", name, value);
  };
  row("run", fmt::format("{} (`{}`)", plain(run.name), run.id));
  row("experiment", plain(run.experiment));
  row("started", time_text(run.start_ms));
  for (const auto& [key, value] : queries.facts(run.id)) {
    if (key.starts_with("git.") || key == "cifarpipe" || key == "libtorch") {
      row(key, plain(value));
    }
  }
  row("stage", fmt::format("{} (key `{}`)", stage.name, stage.job->key));
  text += "\nThe results of the run, each with the SHA-256 over its files:\n\n";
  text += "| result | SHA-256 |\n|---|---|\n";
  for (const StageRow& other : stages) {
    for (const PortFiles& port : other.outputs) {
      text += fmt::format("| {}.{} | `{}` |\n", other.name, port.port, combined_digest(port.files));
    }
  }
  return text;
}

void append(const fs::path& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary | std::ios::app);
  out << text;
  out.close();
  if (!out) throw file_error("write", file, errno);
}

int export_run(const Program& program, const ExportArguments& arguments) {
  const auto session = open_to_look(program);
  const RunRecord run = session->recorder().resolve_run(arguments.run);
  RunQueries queries(session->sqlite().database());
  const std::vector<StageRow> stages = queries.stages(run.id);
  const StageRow stage = choose_stage(stages, run, arguments.stage);
  if (arguments.to.empty()) throw Error("--to wants a folder", ErrorKind::usage);
  fs::path to = fs::absolute(arguments.to).lexically_normal();
  if (!to.has_filename()) to = to.parent_path();  // "out/"
  require_free(to);
  // While it is read, `gc` does not remove it.
  const auto lock = Lock::try_share(session->store().use_lock_file());
  const auto result = lock ? session->store().find(*stage.job) : std::nullopt;
  const PortFiles* port = result ? result->port(kPort) : nullptr;
  if (port == nullptr) {
    throw Error(fmt::format("the outputs of stage '{}' of {} are {}", stage.name, run.name,
                            lock ? "no longer in the store; the next run makes them again"
                                 : "not to be had while `cifarpipe gc` is at work"),
                ErrorKind::environment);
  }
  const fs::path partial =
      to.parent_path() / fmt::format(".{}.partial-{}", to.filename().string(), getpid());
  try {
    std::error_code failed;
    fs::create_directories(partial, failed);
    if (failed) throw file_error("make the folder", to, failed.value());
    for (const FileDigest& file : port->files) {
      copy_file(result->port_dir(kPort) / file.path, partial / file.path, file);
    }
    append(partial / kCard, origin(queries, run, stage, stages));
    file_ops().sync_tree(partial);
    file_ops().rename(partial, to);  // Takes an empty folder's place too.
  } catch (...) {
    file_ops().try_remove_all(partial);
    throw;
  }
  fmt::print("{}\n", to.string());
  return 0;
}

}  // namespace

void add_export_run_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "export-run", "Copy what a run's export stage made into a folder, with its origin.");
  const auto arguments = std::make_shared<ExportArguments>();
  command
      ->add_option("RUN", arguments->run, "Its id or the beginning of it, its name, or 'latest'.")
      ->required();
  command->add_option("--to", arguments->to, "A new or an empty folder.")
      ->type_name("DIR")
      ->required();
  command->add_option("--stage", arguments->stage, "Which export, if the run has several.")
      ->type_name("STAGE");
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return export_run(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
