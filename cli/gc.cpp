// `cifarpipe gc`: what of the store no run needs. Dry unless --apply; rows and metrics always stay.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <set>

#include "cli/command.hpp"
#include "cli/help.hpp"
#include "cli/runs.hpp"
#include "cli/session.hpp"
#include "pipeline/random_id.hpp"
#include "tracking/quantities.hpp"
#include "tracking/recorder.hpp"

namespace cifarpipe::cli {
namespace {

struct GcArguments {
  bool apply = false;
  int keep_last = -1;
  std::string older_than;
};

/// "30d", "12h", "45m", "90s" as milliseconds.
std::int64_t parse_age(const std::string& text) {
  std::size_t used = 0;
  double number = -1;
  try {
    number = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  const double seconds = unit == "d"   ? 86400
                         : unit == "h" ? 3600
                         : unit == "m" ? 60
                         : unit == "s" ? 1
                                       : 0;
  constexpr double kMost = 1e9;  // Seconds; also nan and inf are no age.
  if (used == 0 || !(number >= 0 && number * seconds <= kMost) || seconds == 0) {
    throw Error(fmt::format("--older-than {}: write a number with d, h, m or s, such as 30d", text),
                ErrorKind::usage);
  }
  return static_cast<std::int64_t>(number * seconds * 1000);
}

/// The jobs whose outputs must stay: those of undeleted runs, without the finished runs that the
/// options give up.
std::set<JobRef> needed(std::vector<RunUse> uses, const GcArguments& arguments) {
  std::sort(uses.begin(), uses.end(),
            [](const RunUse& a, const RunUse& b) { return a.end_ms > b.end_ms; });
  const std::int64_t oldest =
      arguments.older_than.empty() ? 0 : now_ms() - parse_age(arguments.older_than);
  std::set<JobRef> jobs;
  int finished = 0;
  for (const RunUse& use : uses) {
    if (use.deleted) continue;
    if (use.status == RunStatus::finished) {
      ++finished;
      if (arguments.keep_last >= 0 && finished > arguments.keep_last) continue;
      if (oldest > 0 && use.end_ms < oldest) continue;
    }
    jobs.insert(use.jobs.begin(), use.jobs.end());
  }
  return jobs;
}

std::uint64_t size_below(const std::filesystem::path& dir) {
  std::uint64_t bytes = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir, error)) {
    if (entry.is_regular_file(error)) bytes += entry.file_size(error);
  }
  return bytes;
}

/// Counts what goes, and removes it under --apply.
class Sweeper {
 public:
  Sweeper(Store& store, bool apply) : store_(store), apply_(apply) {}

  void result(const JobRef& job) {
    const auto lock = Lock::try_lock(store_.lock_file(job));
    if (!lock) return;  // Someone is at work on it.
    const auto found = store_.find(job);
    count(store_.result_dir(job),
          fmt::format("result   {:<12} {}", found ? found->record.stage : "?",
                      job.key.substr(0, 12)));
    if (!apply_) return;
    store_.remove(job);
    removed_.push_back(job);
  }
  void partial(const JobRef& job) {
    const auto lock = Lock::try_lock(store_.lock_file(job));
    if (lock) folder(store_.partial_dir(job), "partial");
  }
  void folder(const std::filesystem::path& dir, std::string_view what) {
    count(dir, fmt::format("{:<9} {}", what, dir.filename().string().substr(0, 30)));
    if (apply_) file_ops().remove_all(dir);
  }
  /// Results that are gone and that the database still lists.
  const std::vector<JobRef>& removed() const { return removed_; }
  void finish() const {
    fmt::print("{}, {:.1f} MB{}\n", counted(things_, "thing"), static_cast<double>(bytes_) / 1e6,
               things_ == 0 ? ": nothing to do"
               : apply_     ? " removed"
                            : " would be removed; `cifarpipe gc --apply` does it");
  }

 private:
  void count(const std::filesystem::path& dir, const std::string& text) {
    const std::uint64_t bytes = size_below(dir);
    ++things_;
    bytes_ += bytes;
    fmt::print("{:<40} {:>10.1f} MB\n", text, static_cast<double>(bytes) / 1e6);
  }
  Store& store_;
  bool apply_;
  std::vector<JobRef> removed_;
  std::size_t things_ = 0;
  std::uint64_t bytes_ = 0;
};

/// Nothing that a run may be about to use is removed: while this is held, none begins.
Lock hold_store(const Store& store, Recorder& recorder) {
  if (auto lock = Lock::try_lock(store.use_lock_file())) return std::move(*lock);
  std::vector<std::string> names;
  for (const RunRecord& run : recorder.running_runs()) {
    if (run.parent_id.empty()) names.push_back(run.name);
  }
  throw Error(fmt::format("nothing is removed while a pipeline is carried out{}{}; run it again "
                          "when that has ended",
                          names.empty() ? "" : ": ", fmt::join(names, ", ")),
              ErrorKind::environment);
}

int gc(const Program& program, const GcArguments& arguments) {
  require_store(program);
  // On a full disk the database can be read only; what is removed makes room to write in it.
  Session session(program, Session::Purpose::look);
  Store& store = session.store();
  std::optional<Lock> alone;
  if (arguments.apply) alone = hold_store(store, session.recorder());
  const std::vector<RunUse> uses = session.sqlite().run_uses();
  const std::set<JobRef> keep = needed(uses, arguments);
  std::set<JobRef> unfinished;  // A checkpoint is worth keeping while its run can still go on.
  for (const RunUse& use : uses) {
    if (!use.deleted && use.status != RunStatus::finished) {
      unfinished.insert(use.jobs.begin(), use.jobs.end());
    }
  }
  Sweeper sweeper(store, arguments.apply);
  for (const JobRef& job : store.list()) {
    if (keep.count(job) == 0) sweeper.result(job);
  }
  for (const JobRef& job : store.partials()) {
    if (unfinished.count(job) == 0) sweeper.partial(job);
  }
  for (const auto& dir : store.stale_work_dirs()) sweeper.folder(dir, "left over");
  if (arguments.apply) store.remove_free_locks();
  if (!sweeper.removed().empty()) {
    Session writing(program);
    for (const JobRef& job : sweeper.removed()) writing.recorder().forget_result(job);
  }
  sweeper.finish();
  return 0;
}

}  // namespace

void add_gc_command(CLI::App& app, Program& program) {
  auto* command =
      app.add_subcommand("gc", "Remove results that no run needs (says what; --apply does it).");
  auto arguments = std::make_shared<GcArguments>();
  command->add_flag("--apply", arguments->apply, "Remove, and not only say what would be removed.");
  command
      ->add_option("--keep-last", arguments->keep_last,
                   "Also drop the outputs of all but the last N finished runs.")
      ->type_name("N")
      ->check(whole_number(0, 1'000'000));
  command
      ->add_option("--older-than", arguments->older_than,
                   "Also drop the outputs of finished runs older than this, such as 30d.")
      ->type_name("AGE");
  command->callback([&program, arguments] {
    program.action = [&program, arguments] { return gc(program, *arguments); };
  });
}

}  // namespace cifarpipe::cli
