#include "pipeline/supervisor.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>

#include "pipeline/file_ops.hpp"
#include "pipeline/provenance.hpp"
#include "pipeline/random_id.hpp"

namespace cifarpipe {
namespace {

using std::chrono::steady_clock;
constexpr auto kTick = std::chrono::milliseconds(100);
constexpr auto kStopGrace = std::chrono::seconds(9);  // A run is KILLED within ten seconds.

void drain_ring(RingReader& reader, const std::string& name, Recorder& recorder) {
  for (std::uint64_t before = reader.last_sequence();; before = reader.last_sequence()) {
    const std::vector<RingPoint> points = reader.read();
    if (reader.last_sequence() == before) break;  // Damaged records give no points but move it.
    recorder.store_points(name, points, reader.last_sequence());
    reader.release();
  }
}

}  // namespace

std::size_t drain_orphan_rings(const Store& store, Recorder& recorder) {
  std::size_t held = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(store.rings_dir(), error)) {
    if (entry.path().extension() != ".ring") continue;
    const auto lock = Lock::try_lock(entry.path());
    if (!lock) {  // Its worker lives.
      ++held;
      continue;
    }
    if (const auto reader = RingReader::open(entry.path())) {
      drain_ring(*reader, entry.path().filename().string(), recorder);
    }
    std::filesystem::remove(entry.path(), error);
    recorder.forget_ring(entry.path().filename().string());
  }
  return held;
}

void index_result(const StoredResult& result, const Store& store, Recorder& recorder) {
  if (recorder.knows_result(result.record.job)) return;
  recorder.restore_points(result.record.job, store.read_points(result.record.job));
  recorder.put_result(result.record);
}

Supervisor::Supervisor(const Configuration& configuration, const JobGraph& graph,
                       const Planner& planner, Store& store, Recorder& recorder, RunBook& book,
                       RunObserver& observer, const Machine& machine, SupervisorOptions options)
    : configuration_(configuration),
      graph_(graph),
      planner_(planner),
      store_(store),
      recorder_(recorder),
      book_(book),
      observer_(observer),
      machine_(machine),
      options_(std::move(options)),
      states_(graph.jobs.size(), State::waiting),
      results_(graph.jobs.size()),
      decisions_(graph.jobs.size()),
      told_waiting_(graph.jobs.size(), false),
      slots_(static_cast<std::size_t>(std::max(1, options_.slots))),
      sampler_(options_.system_metrics, machine, store.root(), recorder) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, s);
  signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  last_tick_ = last_touch_ = steady_clock::now();
}

Supervisor::~Supervisor() {
  if (signal_fd_ >= 0) close(signal_fd_);
}

int Supervisor::run() {
  try {
    while (true) {
      dispatch();
      if (!anything_left()) break;
      wait_for_events();
    }
  } catch (const Error& error) {
    // The store cannot be written. Workers go, their checkpoints stay; what can still be said of
    // the runs is said.
    for (Slot& slot : slots_) slot.worker.reset();
    try {
      book_.close_all(RunStatus::failed, error.what());
    } catch (const Error&) {
      // The next command that opens the store marks them.
    }
    throw;
  }
  for (Slot& slot : slots_) retire(slot);
  if (stop_signal_ != 0) {
    book_.close_all(RunStatus::killed, fmt::format("stopped by SIG{}", sigabbrev_np(stop_signal_)));
    return 128 + stop_signal_;
  }
  book_.close_all(failed_ ? RunStatus::killed : RunStatus::finished,
                  failed_ ? "not run, because another run failed" : "");
  return failed_ ? failure_code_ : 0;
}

bool Supervisor::anything_left() const {
  const bool running = std::any_of(slots_.begin(), slots_.end(),
                                   [](const Slot& slot) { return slot.active.has_value(); });
  if (running) return true;
  if (stop_signal_ != 0) return false;
  if (failed_ && !options_.keep_going) return false;
  return std::find(states_.begin(), states_.end(), State::waiting) != states_.end();
}

void Supervisor::wait_for_events() {
  std::vector<pollfd> fds = {{signal_fd_, POLLIN, 0}};
  std::vector<std::pair<Slot*, bool>> owners = {{nullptr, false}};  // true: the output's pipe.
  for (Slot& slot : slots_) {
    if (!slot.worker) continue;
    fds.push_back({slot.worker->socket(), POLLIN, 0});
    owners.emplace_back(&slot, false);
    if (slot.worker->output() >= 0) {
      fds.push_back({slot.worker->output(), POLLIN, 0});
      owners.emplace_back(&slot, true);
    }
  }
  const auto until = last_tick_ + kTick - steady_clock::now();
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(until).count();
  // A job that another command has is looked at more often than points are stored.
  const int timeout = static_cast<int>(std::clamp<std::int64_t>(ms, 0, lock_contended_ ? 20 : 100));
  ::poll(fds.data(), fds.size(), timeout);
  handle_signals();
  // Output first, so that what a plugin printed last is known when its end is told.
  for (const bool output : {true, false}) {
    for (std::size_t i = 1; i < fds.size(); ++i) {
      Slot& slot = *owners[i].first;
      if (fds[i].revents == 0 || owners[i].second != output || !slot.worker) continue;
      output ? handle_output(slot) : handle_socket(slot);
    }
  }
  if (steady_clock::now() - last_tick_ >= kTick) tick();
}

void Supervisor::tick() {
  last_tick_ = steady_clock::now();
  for (Slot& slot : slots_) {
    if (slot.worker) drain(slot);
  }
  if (last_tick_ - last_touch_ >= std::chrono::seconds(1)) {
    book_.touch_all();
    last_touch_ = last_tick_;
  }
  if (stop_signal_ != 0 && last_tick_ - stop_time_ > kStopGrace) stop_workers();
  watch_runs();
  sampler_.tick(last_tick_);
  observer_.tick();
}

/// Tells the sampler which workers count for which runs, if that has changed. One that waits for
/// its next job counts for each run that has something going on.
void Supervisor::watch_runs() {
  constexpr std::size_t kIdle = static_cast<std::size_t>(-1);
  std::vector<std::pair<pid_t, std::size_t>> now;
  for (const Slot& slot : slots_) {
    if (slot.worker) now.emplace_back(slot.worker->pid(), slot.active ? slot.active->job : kIdle);
  }
  if (now == watched_) return;
  watched_ = now;
  RunSampler::Busy busy;
  for (const auto& worker : now) {
    if (worker.second == kIdle) continue;
    for (const std::string& run : book_.open_runs_of(worker.second)) {
      busy[run].push_back(worker.first);
    }
  }
  for (const auto& worker : now) {
    if (worker.second != kIdle) continue;
    for (auto& [run, workers] : busy) workers.push_back(worker.first);
  }
  sampler_.watch(std::move(busy), last_tick_);
}

void Supervisor::handle_signals() {
  signalfd_siginfo info{};
  while (read(signal_fd_, &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    if (stop_signal_ != 0) {
      stop_workers();
      continue;
    }
    stop_signal_ = static_cast<int>(info.ssi_signo);
    stop_time_ = steady_clock::now();
    bool busy = false;
    for (Slot& slot : slots_) {
      if (!slot.active) continue;
      busy = true;
      send_order(slot.worker->socket(), Order{Command::stop, {}, -1});
    }
    if (busy) {
      observer_.message(LogLevel::info,
                        "stopping: running stages write their checkpoints (once more to kill)");
    }
  }
}

void Supervisor::stop_workers() {
  for (Slot& slot : slots_) {
    if (slot.worker && slot.active) slot.worker->kill(SIGKILL);
  }
}

void Supervisor::handle_output(Slot& slot) {
  for (const std::string& line : slot.worker->read_output()) {
    if (!slot.active) {
      if (!slot.ready) slot.output_before_ready.push_back(line);
      continue;
    }
    for (const std::string& part : printable_lines(book_.secrets().redacted(line))) {
      book_.log(slot.active->job, "| " + part);
      slot.active->last_lines.push_back(part);
      if (slot.active->last_lines.size() > 6) {
        slot.active->last_lines.erase(slot.active->last_lines.begin());
      }
    }
  }
}

void Supervisor::handle_socket(Slot& slot) {
  while (slot.worker) {
    bool would_block = false;
    const auto event = receive_event(slot.worker->socket(), &would_block);
    if (event) {
      handle_event(slot, *event);
    } else {
      if (!would_block) worker_ended(slot);
      return;
    }
  }
}

void Supervisor::handle_event(Slot& slot, const Event& event) {
  if (event.kind == Event::Kind::ready) {
    slot.ready = true;
    return;
  }
  if (!slot.active) return;  // A late line of a job that is over.
  Active& active = *slot.active;
  switch (event.kind) {
    case Event::Kind::log: {
      constexpr const char* kLevels[] = {"debug", "info", "warning", "error"};
      for (const std::string& line : printable_lines(book_.secrets().redacted(event.text))) {
        book_.log(active.job, fmt::format("{}: {}", kLevels[static_cast<int>(event.level)], line));
        observer_.job_log(label(active.job), event.level, line);
      }
      break;
    }
    case Event::Kind::progress: {
      Event shown = event;
      shown.text = printable_lines(book_.secrets().redacted(event.text)).front();
      observer_.job_progress(label(active.job), shown);
      break;
    }
    case Event::Kind::record:
      active.facts.emplace_back(event.name, book_.secrets().redacted_value(event.name, event.text));
      break;
    case Event::Kind::outputs: {
      if (active.outputs.empty() || active.outputs.back().port != event.name) {
        active.outputs.push_back({event.name, {}});
      }
      auto& files = active.outputs.back().files;
      files.insert(files.end(), event.files.begin(), event.files.end());
      break;
    }
    case Event::Kind::done:
      finish_active(slot, event);
      break;
    case Event::Kind::failed:
      drain(slot);
      fail_active(slot, event.text, event.exit_code, event.usage);
      retire(slot);
      break;
    case Event::Kind::interrupted:
      drain(slot);
      interrupt_active(slot, event.usage);
      retire(slot);
      break;
    case Event::Kind::checkpoint:
    case Event::Kind::ready:
      break;
  }
}

void Supervisor::drain(Slot& slot) {
  if (RingReader* ring = slot.worker->ring()) {
    drain_ring(*ring, slot.worker->ring_name(), recorder_);
  }
}

/// Why a worker that ended in the middle of a job did so.
std::string Supervisor::end_of_worker(const std::string& how, bool killed) const {
  if (how.starts_with("exit(")) {
    return fmt::format("its code ended the worker with {}; a stage returns or throws", how);
  }
  if (killed) {
    return fmt::format("{}: killed from outside or for want of memory (this machine has {:.1f} GB)",
                       how, static_cast<double>(machine_.memory_bytes) / 1e9);
  }
  return fmt::format("its code crashed with {}; the end of its log may tell why", how);
}

/// The worker's socket is closed: it has ended, whatever the reason.
void Supervisor::worker_ended(Slot& slot) {
  handle_output(slot);
  const std::string how = slot.worker->wait_end();
  drain(slot);
  if (slot.active && stop_signal_ != 0) {
    interrupt_active(slot, {});
  } else if (slot.active && !slot.ready) {
    fail_active(slot,
                fmt::format("the worker could not start ({}): {}", how,
                            fmt::join(slot.output_before_ready, " / ")),
                static_cast<int>(ErrorKind::environment), {});
  } else if (slot.active) {
    const StageType& type = *graph_.jobs[slot.active->job].instance->type;
    fail_active(slot,
                fmt::format("{} (plugin {} {})", end_of_worker(how, slot.worker->was_killed()),
                            type.plugin_name, type.plugin_version),
                static_cast<int>(ErrorKind::stage), {});
  }
  retire(slot);
}

/// Lets a worker go. Its metrics are in the recorder by now, so its ring goes too.
void Supervisor::retire(Slot& slot) {
  if (!slot.worker) return;
  drain(slot);
  slot.worker.reset();
  drain_orphan_rings(store_, recorder_);  // Its own, unless another command is quicker.
  slot.ready = false;
  slot.output_before_ready.clear();
}

}  // namespace cifarpipe
