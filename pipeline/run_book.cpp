#include "pipeline/run_book.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "pipeline/digest.hpp"
#include "pipeline/provenance.hpp"
#include "pipeline/random_id.hpp"

namespace cifarpipe {
namespace {

/// For each stage of a cell the index of the linked stage whose run it belongs to, or kMain. A
/// stage with an `experiment` begins a run; what only it leads to follows it.
constexpr std::size_t kMain = static_cast<std::size_t>(-1);
std::vector<std::size_t> linked_owner(const Cell& cell) {
  std::vector<std::size_t> owner(cell.stages.size(), kMain);
  for (std::size_t i = 0; i < cell.stages.size(); ++i) {
    if (cell.stages[i].experiment.empty()) continue;
    const std::vector<bool> after = downstream_of(cell, {cell.stages[i].name});
    for (std::size_t s = 0; s < cell.stages.size(); ++s) {
      if (after[s]) owner[s] = s == i || owner[s] == kMain ? i : owner[s];
    }
  }
  // A later linked stage takes over what it leads to, itself first.
  for (std::size_t i = 0; i < cell.stages.size(); ++i) {
    if (!cell.stages[i].experiment.empty()) owner[i] = i;
  }
  return owner;
}

std::string status_word(RunStatus status) {
  return status == RunStatus::failed ? "failed" : "killed";
}

}  // namespace

RunBook::RunBook(const Configuration& configuration, const JobGraph& graph, const Planner& planner,
                 Store& store, Recorder& recorder, RunObserver& observer, RunBookOptions options)
    : configuration_(configuration),
      graph_(graph),
      planner_(planner),
      store_(store),
      recorder_(recorder),
      observer_(observer),
      options_(std::move(options)) {
  make_entries();
}

void RunBook::make_entries() {
  if (configuration_.has_matrix) {
    Entry parent;
    parent.is_parent = true;
    parent.experiment = configuration_.name;
    entries_.push_back(std::move(parent));
  }
  for (std::size_t c = 0; c < configuration_.cells.size(); ++c) {
    const Cell& cell = configuration_.cells[c];
    const std::vector<std::size_t> owner = linked_owner(cell);
    std::vector<std::size_t> leaders = {kMain};
    for (std::size_t i = 0; i < owner.size(); ++i) {
      if (owner[i] == i) leaders.push_back(i);
    }
    for (const std::size_t leader : leaders) {
      Entry entry;
      entry.cell = c;
      for (std::size_t i = 0; i < owner.size(); ++i) {
        if (owner[i] == leader && graph_.cell_jobs[c][i] != JobGraph::kSkipped) {
          entry.stages.push_back(i);
        }
      }
      if (entry.stages.empty()) continue;
      entry.experiment = leader == kMain ? configuration_.name : cell.stages[leader].experiment;
      if (leader != kMain) entry.linked_stage = cell.stages[leader].name;
      entry.forced = planner_.forced_set(c);
      entries_.push_back(std::move(entry));
    }
  }
  for (Entry& entry : entries_) entry.identity = identity_of(entry);
  if (configuration_.has_matrix) {
    std::string all = "matrix\n" + configuration_.name;
    for (std::size_t i = 1; i < entries_.size(); ++i) all += "\n" + entries_[i].identity;
    entries_.front().identity = sha256(all);
    if (entries_.size() > 1) entries_.front().forced = entries_[1].forced;
  }
}

std::string RunBook::identity_of(const Entry& entry) const {
  std::vector<std::string> pairs;
  for (const std::size_t s : entry.stages) {
    const std::size_t job = graph_.cell_jobs[entry.cell][s];
    pairs.push_back(configuration_.cells[entry.cell].stages[s].name + " " +
                    graph_.jobs[job].identity);
  }
  std::sort(pairs.begin(), pairs.end());
  return sha256(fmt::format("run\n{}\n{}", entry.experiment, fmt::join(pairs, "\n")));
}

std::optional<RunRecord> RunBook::open_all() {
  // One command at a time looks for rows and makes them, so that two equal ones make one.
  const auto file = store_.root() / "store/locks/runs.lock";
  std::optional<Lock> lock;
  while (!(lock = Lock::try_lock(file))) {
    timespec pause{0, 2'000'000};
    nanosleep(&pause, nullptr);
  }
  std::vector<std::optional<RunRecord>> existing;
  for (const Entry& entry : entries_) {
    existing.push_back(options_.new_run ? std::nullopt
                                        : recorder_.find_run(entry.identity, entry.forced));
    if (existing.back() && RunFolder::is_alive(existing.back()->folder)) return existing.back();
  }
  Batch batch(recorder_);
  for (std::size_t i = 0; i < entries_.size(); ++i) open_entry(entries_[i], existing[i]);
  batch.commit();
  close_parent_if_done();
  return std::nullopt;
}

bool RunBook::results_intact(const Entry& entry) const {
  for (const std::size_t s : entry.stages) {
    const auto job =
        recorder_.run_stage_job(entry.record.id, configuration_.cells[entry.cell].stages[s].name);
    if (!job || !store_.find(*job)) return false;
  }
  return true;
}

void RunBook::open_entry(Entry& entry, const std::optional<RunRecord>& existing) {
  const bool finished = existing && existing->status == RunStatus::finished;
  // A forced run that has finished has had its way: forcing again makes a new row.
  if (existing && !(finished && !entry.forced.empty())) {
    entry.record = *existing;
    if (options_.name) {  // Which its parent may have got by now, and this one with it.
      entry.record = recorder_.find_run(entry.identity, entry.forced).value_or(*existing);
    }
    if (finished && results_intact(entry)) {
      entry.how = RunObserver::Opened::already_finished;
    } else {
      entry.folder = RunFolder::open(existing->folder);
      entry.record = recorder_.reopen_run(existing->id, now_ms());
      entry.how = RunObserver::Opened::continued;
    }
    // The name is the first row's: those below it follow, and a run that is a cell now keeps its
    // own.
    const auto name = &entry == &entries_.front() ? options_.name : std::nullopt;
    if (name || options_.note || !options_.tags.empty()) {
      recorder_.annotate_run(entry.record.id, name, options_.note, options_.tags);
    }
    if (name) tell_new_name(entry, *name);
  } else {
    const NewRun row = new_row(entry);
    entry.folder = RunFolder::open(row.folder);
    entry.record = recorder_.create_run(row);
    entry.how = RunObserver::Opened::fresh;
  }
  if (entry.how != RunObserver::Opened::already_finished) {
    entry.open = true;
    if (&entry != &entries_.front()) set_at_work(entry, false);  // Until its first stage begins.
    entry.unfinished.insert(entry.stages.begin(), entry.stages.end());
    write_folder(entry);
  }
  // The parent of a matrix whose cells were all there closes when its last cell is looked at.
  observer_.run_opened(entry.record, entry.how);
}

void RunBook::set_at_work(Entry& entry, bool at_work) {
  const std::int64_t now = now_ms();
  recorder_.set_at_work(entry.record.id, at_work, now);
  entry.record.worked_ms = took_ms(entry.record, now);
  entry.record.working_since_ms = at_work ? now : 0;
}

void RunBook::tell_new_name(Entry& entry, const std::string& wanted) {
  const std::string before = entry.record.name;
  entry.record.name = recorder_.resolve_run(entry.record.id).name;
  const std::string& now = entry.record.name;
  if (now == before) return;
  const std::string why = now == wanted ? "" : fmt::format(" ({} is taken)", wanted);
  observer_.message(LogLevel::info, fmt::format("{} is now {}{}", before, now, why));
}

bool RunBook::all_finished() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const Entry& entry) {
    return entry.how == RunObserver::Opened::already_finished;
  });
}

bool RunBook::forced_already_done(std::size_t job) const {
  for (const Entry& entry : entries_) {
    if (entry.how != RunObserver::Opened::continued || entry.is_parent) continue;
    for (const std::size_t s : entry.stages) {
      if (graph_.cell_jobs[entry.cell][s] != job) continue;
      const auto done =
          recorder_.run_stage_job(entry.record.id, configuration_.cells[entry.cell].stages[s].name);
      if (done && store_.find(*done)) return true;
    }
  }
  return false;
}

void RunBook::stage_changed(std::size_t job, const RunStage& state, const StoredResult* result) {
  for (Entry& entry : entries_) {
    if (!entry.open || entry.is_parent) continue;
    for (const std::size_t s : entry.stages) {
      if (graph_.cell_jobs[entry.cell][s] != job) continue;
      const StageInstance& stage = configuration_.cells[entry.cell].stages[s];
      RunStage row = state;
      row.name = stage.name;
      row.uses = stage.type->description.name;
      row.position = static_cast<int>(s);
      recorder_.put_run_stage(entry.record.id, row);
      const bool was_running = !entry.running.empty();
      row.status == "running" ? void(entry.running.insert(s)) : void(entry.running.erase(s));
      const bool is_running = !entry.running.empty();
      if (&entry != &entries_.front() && was_running != is_running) set_at_work(entry, is_running);
      if (result != nullptr) entry.folder.link_stage(stage.name, result->dir);
      if (row.status == "finished") entry.unfinished.erase(s);
      if (row.status == "failed") {
        entry.failed = true;
        entry.failure = fmt::format("{} failed: {}", stage.name, row.message);
      }
    }
    if (entry.unfinished.empty()) close_entry(entry, RunStatus::finished, "");
  }
  close_parent_if_done();
}

void RunBook::log(std::size_t job, std::string_view line) {
  const std::string text =
      fmt::format("[{}] {}", graph_.jobs[job].instance->name, options_.secrets.redacted(line));
  for (const JobUser& user : graph_.jobs[job].users) {
    for (Entry& entry : entries_) {
      if (entry.open && !entry.is_parent && entry.cell == user.cell &&
          std::find(entry.stages.begin(), entry.stages.end(), user.stage) != entry.stages.end()) {
        entry.folder.log(text);
      }
    }
  }
}

std::vector<std::string> RunBook::open_runs_of(std::size_t job) const {
  constexpr std::size_t kMostSharers = 32;  // A thousand equal samples say no more than one.
  std::vector<std::string> ids;
  for (const Entry& entry : entries_) {
    if (!entry.open || entry.is_parent) continue;
    const auto is_it = [&](std::size_t s) { return graph_.cell_jobs[entry.cell][s] == job; };
    if (std::any_of(entry.stages.begin(), entry.stages.end(), is_it)) {
      ids.push_back(entry.record.id);
    }
  }
  if (ids.size() > kMostSharers) ids.clear();
  if (!entries_.empty() && entries_.front().is_parent && entries_.front().open) {
    ids.push_back(entries_.front().record.id);
  }
  return ids;
}

void RunBook::touch_all() {
  for (const Entry& entry : entries_) {
    if (entry.open) entry.folder.touch();
  }
}

void RunBook::close_entry(Entry& entry, RunStatus status, const std::string& why) {
  const std::string message = options_.secrets.redacted(why);
  entry.record.end_ms = now_ms();
  entry.record.worked_ms = took_ms(entry.record, entry.record.end_ms);
  entry.record.working_since_ms = 0;
  entry.record.status = status;
  recorder_.finish_run(entry.record.id, status, entry.record.end_ms, message);
  entry.folder.log(fmt::format("{}{}{}", to_string(status), message.empty() ? "" : ": ", message));
  entry.folder.close();
  entry.open = false;
  observer_.run_ended(entry.record);
}

void RunBook::close_parent_if_done() {
  if (entries_.empty() || !entries_.front().is_parent || !entries_.front().open) return;
  const bool children_open = std::any_of(entries_.begin() + 1, entries_.end(),
                                         [](const Entry& entry) { return entry.open; });
  if (!children_open) close_entry(entries_.front(), RunStatus::finished, "");
}

void RunBook::close_all(RunStatus otherwise, const std::string& message) {
  std::size_t failed = 0;
  for (std::size_t i = entries_.size(); i-- > 0;) {  // The parent, first in the list, comes last.
    Entry& entry = entries_[i];
    if (!entry.open) continue;
    if (entry.is_parent) {
      const RunStatus status = failed > 0 ? RunStatus::failed : otherwise;
      close_entry(entry, status,
                  failed > 0 ? fmt::format("{} of {} run{} failed", failed, entries_.size() - 1,
                                           entries_.size() == 2 ? "" : "s")
                             : message);
      continue;
    }
    if (entry.failed) ++failed;
    for (const std::size_t s : entry.unfinished) {
      // A stage that was running when the run ended must not look as if it still were.
      const StageInstance& stage = configuration_.cells[entry.cell].stages[s];
      RunStage row;
      row.name = stage.name;
      row.uses = stage.type->description.name;
      row.position = static_cast<int>(s);
      row.action = "run";
      row.status = entry.failed ? "skipped" : status_word(otherwise);
      if (entry.failed && entry.failure.rfind(stage.name + " failed: ", 0) == 0) continue;
      recorder_.put_run_stage(entry.record.id, row);
    }
    close_entry(entry, entry.failed ? RunStatus::failed : otherwise,
                entry.failed ? entry.failure : message);
  }
}

}  // namespace cifarpipe
