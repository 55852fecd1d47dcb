// `cifarpipe runs export`: everything that is known of runs, for other programs.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <iostream>
#include <memory>
#include <optional>
#include <set>

#include "cli/command.hpp"
#include "cli/output_file.hpp"
#include "cli/runs.hpp"
#include "cli/session.hpp"
#include "tracking/recorder.hpp"
#include "tracking/run_export.hpp"

namespace cifarpipe::cli {
namespace {

namespace fs = std::filesystem;

struct ExportArguments {
  std::vector<std::string> runs;
  std::optional<std::string> output;
  std::string format;

  bool to_stdout() const { return !output || means_stdout(*output); }
};

/// In any of the formats, so that a name can be used again for another one.
const OwnFiles kOwn = {"`cifarpipe runs export`",
                       {"{\"format\":\"cifarpipe-runs\"", "{\"type\":\"run\",\"id\":\"",
                        "id,name,experiment,", "run,key,", "run,stage,"}};

/// As asked for, else as the file is called, else JSON.
std::string format_of(const ExportArguments& arguments) {
  if (!arguments.format.empty()) return arguments.format;
  const std::string extension = fs::path(arguments.output.value_or("")).extension().string();
  if (extension == ".jsonl" || extension == ".ndjson") return "jsonl";
  if (extension == ".csv") {
    throw Error(fmt::format("CSV is several tables: name a folder for them (-o {} --format csv)",
                            fs::path(*arguments.output).replace_extension().string()),
                ErrorKind::usage);
  }
  return "json";
}

using Writer = void (*)(RunQueries&, const std::vector<std::string>&, std::ostream&);

/// "sweep-81aa22/train.lr=0.003" as the name of a file.
std::string file_name(std::string name) {
  for (char& c : name) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
    if (!plain) c = '-';
  }
  return name;
}

/// Whether it was not there before.
bool make_folder(const fs::path& folder) {
  std::error_code error;
  if (fs::exists(folder, error) && !fs::is_directory(folder, error)) {
    throw Error(
        fmt::format("'{}' is a file; CSV is several tables and wants a folder", folder.string()),
        ErrorKind::usage);
  }
  const fs::path whole = fs::absolute(folder).lexically_normal();
  const fs::path above = (whole.has_filename() ? whole : whole.parent_path()).parent_path();
  if (!fs::is_directory(above, error)) {  // A mistyped name, as for a file.
    throw Error(fmt::format("cannot make the folder '{}': there is no folder '{}'", folder.string(),
                            above.string()),
                ErrorKind::usage);
  }
  const bool made = fs::create_directory(folder, error);
  if (error) {
    throw Error(fmt::format("cannot make the folder '{}': {}", folder.string(), error.message()),
                ErrorKind::environment);
  }
  return made;
}

/// A file a run.
void write_each(RunQueries& queries, const std::vector<RunRecord>& runs, const fs::path& folder,
                const std::string& format, Writer write) {
  make_folder(folder);
  std::set<std::string> taken;
  for (const RunRecord& run : runs) {
    std::string name = file_name(run.name);
    if (!taken.insert(name).second) name += "-" + run.id.substr(0, 8);
    OutputFile file(folder / (name + "." + format), kOwn);
    write(queries, {run.id}, file.stream());
    file.commit();
    fmt::print("{}\n", (folder / (name + "." + format)).string());
  }
}

/// All of them or none: nothing is put in place before everything is written.
void write_tables(RunQueries& queries, const std::vector<std::string>& ids,
                  const fs::path& folder) {
  std::vector<std::unique_ptr<OutputFile>> files;
  export_csv(queries, ids, [&](const std::string& table) -> std::ostream& {
    if (!files.empty()) files.back()->close();
    files.push_back(std::make_unique<OutputFile>(folder / (table + ".csv"), kOwn));
    return files.back()->stream();
  });
  if (!files.empty()) files.back()->close();
  for (const auto& file : files) file->commit();
  for (const std::string& table : export_tables()) {
    fmt::print("{}\n", (folder / (table + ".csv")).string());
  }
}

void write_csv(RunQueries& queries, const std::vector<std::string>& ids, const fs::path& folder) {
  const bool made = make_folder(folder);
  try {
    write_tables(queries, ids, folder);
  } catch (...) {
    std::error_code ignored;
    if (made) fs::remove(folder, ignored);
    throw;
  }
}

int export_runs(const Program& program, const ExportArguments& arguments) {
  const std::string format = format_of(arguments);
  if (format == "csv" && arguments.to_stdout()) {
    throw Error("CSV is several tables: name a folder for them with -o", ErrorKind::usage);
  }
  const auto session = open_to_look(program);
  RunQueries queries(session->sqlite().database());
  std::vector<RunRecord> runs;
  std::vector<std::string> ids;
  std::set<std::string> seen;
  for (const std::string& name : arguments.runs) {
    RunRecord run = session->recorder().resolve_run(name);
    if (!seen.insert(run.id).second) continue;
    ids.push_back(run.id);
    runs.push_back(std::move(run));
  }
  if (format == "csv") {
    write_csv(queries, ids, *arguments.output);
    return 0;
  }
  const Writer write = format == "jsonl" ? export_jsonl : export_json;
  std::error_code error;
  if (arguments.to_stdout()) {
    write(queries, ids, std::cout);
    std::cout.flush();
  } else if (arguments.output->ends_with('/') || fs::is_directory(*arguments.output, error)) {
    write_each(queries, runs, *arguments.output, format, write);
  } else {
    OutputFile file(*arguments.output, kOwn);
    write(queries, ids, file.stream());
    file.commit();
    fmt::print("{}\n", *arguments.output);
  }
  return 0;
}

}  // namespace

void add_runs_export(CLI::App& family, Program& program) {
  const auto arguments = std::make_shared<ExportArguments>();
  auto* command = add_runs_subcommand(
      family, program, "export", "Everything that is known of runs, every point included.",
      [&program, arguments] { return export_runs(program, *arguments); });
  command->add_option("RUN", arguments->runs, "Ids, names or 'latest'.")->required();
  command
      ->add_option("-o,--output", arguments->output,
                   "A file, or a folder for a file a run (CSV: a file a table); else, and for '-', "
                   "stdout.")
      ->type_name("PATH");
  command
      ->add_option("--format", arguments->format,
                   "json, jsonl or csv (usually json, or as PATH ends).")
      ->type_name("FORMAT")
      ->check([](const std::string& format) {
        const bool known = format == "json" || format == "jsonl" || format == "csv";
        return known ? std::string() : fmt::format("'{}' is not json, jsonl or csv", format);
      });
}

}  // namespace cifarpipe::cli
