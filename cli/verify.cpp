// `cifarpipe verify`: reads every stored byte again and compares it with what was recorded.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "cli/command.hpp"
#include "cli/runs.hpp"
#include "cli/session.hpp"
#include "pipeline/file_ops.hpp"
#include "pipeline/stage_json.hpp"
#include "tracking/quantities.hpp"

namespace cifarpipe::cli {
namespace {

/// Moves a damaged result away, unless another process is at work on its job; what became of it.
std::string set_aside(Session& session, const JobRef& job) {
  Store& store = session.store();
  try {
    const auto lock = Lock::try_lock(store.lock_file(job));
    if (!lock) return "left where it is: another cifarpipe is at work on it";
    store.set_aside(job);
    session.recorder().forget_result(job);
  } catch (const Error& error) {  // The others are still looked at.
    return fmt::format("left where it is: {}", error.what());
  }
  return fmt::format("moved to {}; the next run makes it again",
                     (store.root() / "store/tmp").string());
}

/// As it is: Store::find would move a damaged result away.
std::string stage_of(const Store& store, const JobRef& job) {
  try {
    std::string why;
    const auto stage = read_stage_json(read_text_file(store.result_dir(job) / "stage.json"), why);
    if (stage) return stage->record.stage;
  } catch (const Error&) {
    // It is not there, or cannot be read.
  }
  return "unreadable";
}

int verify(const Program& program) {
  require_store(program);
  Session session(program, Session::Purpose::look);
  Store& store = session.store();
  const std::vector<JobRef> jobs = store.list();
  std::size_t damaged = 0;
  std::size_t files = 0;
  std::uint64_t bytes = 0;
  for (const JobRef& job : jobs) {
    const std::vector<VerifyProblem> problems = store.verify(job);
    if (problems.empty()) {
      if (const auto result = store.find(job)) {
        for (const PortFiles& port : result->record.outputs) {
          files += port.files.size();
          for (const FileDigest& file : port.files) bytes += file.size;
        }
      }
      continue;
    }
    ++damaged;
    const std::string stage = stage_of(store, job);
    for (const VerifyProblem& problem : problems) {
      fmt::print("damaged: {} {}: {}\n", stage, job.key.substr(0, 12), problem.message);
    }
    fmt::print("         {}\n", set_aside(session, job));
  }
  fmt::print("{}, {}, {:.1f} MB read: {}\n", counted(jobs.size(), "result"), counted(files, "file"),
             static_cast<double>(bytes) / 1e6,
             damaged == 0 ? "all as recorded" : fmt::format("{} damaged", damaged));
  return damaged == 0 ? 0 : 1;
}

}  // namespace

void add_verify_command(CLI::App& app, Program& program) {
  auto* command =
      app.add_subcommand("verify", "Read every stored result again and compare its digests.");
  command->callback([&program] { program.action = [&program] { return verify(program); }; });
}

}  // namespace cifarpipe::cli
