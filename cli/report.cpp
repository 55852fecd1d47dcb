// `cifarpipe report`: one HTML file that says what a run did, or how several differ.
#include "tracking/report/report.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <memory>

#include "cli/command.hpp"
#include "cli/session.hpp"
#include "pipeline/file_ops.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

namespace fs = std::filesystem;

struct ReportArguments {
  std::vector<std::string> runs;
  std::string output = "report.html";
};

/// A report takes the place of an earlier page, but of nothing that was typed here by mistake.
void require_page_or_nothing(const fs::path& file) {
  std::error_code error;
  const fs::file_status status = fs::status(file, error);
  if (status.type() == fs::file_type::not_found) return;
  if (fs::is_directory(status)) {
    throw Error(fmt::format("'{}' is a folder; -o wants a file, such as '{}'", file.string(),
                            (file / "report.html").string()),
                ErrorKind::usage);
  }
  std::ifstream in(file, std::ios::binary);
  std::string begin(15, '\0');
  in.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<std::size_t>(in.gcount()));
  std::transform(begin.begin(), begin.end(), begin.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  if (!begin.empty() && begin != "<!doctype html>") {
    throw Error(fmt::format("'{}' is there already and is no HTML page; choose another name for "
                            "the report with -o",
                            file.string()),
                ErrorKind::usage);
  }
}

int write(const Program& program, const ReportArguments& arguments) {
  std::error_code error;
  if (!fs::exists(fs::path(program.runs_dir) / "cifarpipe.db", error)) {
    throw Error(fmt::format("no runs yet in {}", program.runs_dir), ErrorKind::usage);
  }
  const bool to_stdout = arguments.output == "-";
  const fs::path file = fs::absolute(arguments.output);
  if (!to_stdout) require_page_or_nothing(file);
  Session session(program);
  std::vector<std::string> ids;
  for (const std::string& name : arguments.runs) {
    const std::string id = session.recorder().resolve_run(name).id;
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  // While results are read, `gc` does not remove them.
  const auto lock = Lock::try_share(session.store().use_lock_file());
  if (!lock) {
    throw Error("`cifarpipe gc` is at work on this store; write the report when it is done",
                ErrorKind::environment);
  }
  RunQueries queries(session.sqlite().database());
  const report::Source source{queries, session.store(), now_ms()};
  const std::string page = report::write_report(source, ids, CIFARPIPE_VERSION);
  if (to_stdout) {
    std::fwrite(page.data(), 1, page.size(), stdout);
    return 0;
  }
  file_ops().replace_file(file, page);
  fmt::print("{}\n", arguments.output);
  return 0;
}

}  // namespace

void add_report_command(CLI::App& app, Program& program) {
  auto* command = app.add_subcommand(
      "report", "Write one HTML file about a run, or about several and how they differ.");
  const auto arguments = std::make_shared<ReportArguments>();
  command
      ->add_option("RUN", arguments->runs,
                   "Its id or the beginning of it, its name, or 'latest'; a sweep shows its cells.")
      ->required();
  command
      ->add_option("-o,--output", arguments->output,
                   "The file (default: report.html); '-' is stdout.")
      ->type_name("FILE");
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return write(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
