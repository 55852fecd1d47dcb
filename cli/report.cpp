// `cifarpipe report`: one HTML file that says what a run did, or how several differ.
#include "tracking/report/report.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/command.hpp"
#include "cli/output_file.hpp"
#include "cli/runs.hpp"
#include "cli/session.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

struct ReportArguments {
  std::vector<std::string> runs;
  std::string output = "report.html";
};

int write(const Program& program, const ReportArguments& arguments) {
  const bool to_stdout = means_stdout(arguments.output);
  const OwnFiles own = {"`cifarpipe report`", {report::kPageBegin}};
  if (!to_stdout) require_own_or_nothing(arguments.output, own);
  const auto session = open_to_look(program);
  std::vector<std::string> ids;
  for (const std::string& name : arguments.runs) {
    const std::string id = session->recorder().resolve_run(name).id;
    if (std::find(ids.begin(), ids.end(), id) == ids.end()) ids.push_back(id);
  }
  // While results are read, `gc` does not remove them.
  const auto lock = Lock::try_share(session->store().use_lock_file());
  if (!lock) {
    throw Error("`cifarpipe gc` is at work on this store; write the report when it is done",
                ErrorKind::environment);
  }
  RunQueries queries(session->sqlite().database());
  const report::Source source{queries, session->store(), now_ms(), same_program(program)};
  const std::string page = report::write_report(source, ids, CIFARPIPE_VERSION);
  if (to_stdout) {
    std::fwrite(page.data(), 1, page.size(), stdout);
    return 0;
  }
  OutputFile file(arguments.output, own);
  file.stream() << page;
  file.commit();
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
