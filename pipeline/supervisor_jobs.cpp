// What the supervisor does with one job: decide, lock, give to a worker, publish, account.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "pipeline/checkpoints.hpp"
#include "pipeline/digest.hpp"
#include "pipeline/file_ops.hpp"
#include "pipeline/random_id.hpp"
#include "pipeline/supervisor.hpp"

namespace cifarpipe {
namespace {

std::int64_t ms_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                               start)
      .count();
}

/// The last visible point of each metric, in the order in which the metrics first appear.
std::vector<VisiblePoint> last_points(const std::vector<VisiblePoint>& points) {
  std::vector<VisiblePoint> finals;
  std::map<std::string, std::size_t> at;
  for (const VisiblePoint& p : points) {
    const auto [entry, added] = at.emplace(p.metric, finals.size());
    if (added) {
      finals.push_back(p);
    } else {
      finals[entry->second] = p;
    }
  }
  return finals;
}

}  // namespace

JobLabel Supervisor::label(std::size_t index) const {
  const Job& job = graph_.jobs[index];
  std::string cell;
  if (configuration_.has_matrix) {
    cell = job.users.size() == 1 ? configuration_.cells[job.users.front().cell].name
                                 : fmt::format("{} cells", job.users.size());
  }
  return {index, job.instance->name, cell, job.instance->type->description.name};
}

int Supervisor::threads_of(std::size_t job) const {
  const Job& j = graph_.jobs[job];
  return j.instance->type->description.numerics.threads ? j.parts.numerics.threads : 1;
}

/// A slot for `job`, if slots and cores allow one more: a job with many threads may run alone.
Supervisor::Slot* Supervisor::free_slot(std::size_t job) {
  int used = 0;
  Slot* free = nullptr;
  for (Slot& slot : slots_) {
    if (slot.active) {
      used += threads_of(slot.active->job);
    } else if (free == nullptr || (slot.worker && !free->worker)) {
      free = &slot;  // Rather one whose worker is up.
    }
  }
  if (used > 0 && used + threads_of(job) > machine_.cores) return nullptr;
  return free;
}

void Supervisor::dispatch() {
  lock_contended_ = false;
  if (stop_signal_ != 0 || (failed_ && !options_.keep_going)) return;
  // Producers come before consumers, so one pass sees everything that is ready.
  for (std::size_t job = 0; job < graph_.jobs.size(); ++job) {
    if (states_[job] == State::waiting && !look_at(job)) break;
  }
}

/// Does what can be done now for a waiting job. False: no slot is free, so look no further.
bool Supervisor::look_at(std::size_t job) {
  for (const JobInput& input : graph_.jobs[job].inputs) {
    if (input.producer == JobInput::kEarlierRun) continue;
    const State producer = states_[input.producer];
    if (producer == State::failed || producer == State::skipped) {
      skip(job, fmt::format("{} failed", graph_.jobs[input.producer].instance->name));
      return true;
    }
    if (producer != State::done) return true;
  }
  if (!decisions_[job]) {
    const bool ignore_force = planner_.is_forced(job) && book_.forced_already_done(job);
    decisions_[job] = planner_.decide(job, results_, ignore_force);
  }
  const Decision& decision = *decisions_[job];
  if (decision.action == Action::cached) {
    const StoredResult result = *decision.result;
    index_result(result, store_, recorder_);
    job_done(job, result, "cached", decision.reason, {});
    return true;
  }
  if (free_slot(job) == nullptr) {
    return std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) { return !s.active; });
  }
  start(job, decision);
  return true;
}

/// Takes the job's lock and gives it to a worker. False: another job or command has the lock.
bool Supervisor::start(std::size_t job, Decision decision) {
  Active active;
  active.job = job;
  active.ref.key = decision.key;
  if (decision.forced && decision.result) {
    active.ref.generation = store_.next_generation(decision.key);
  }
  const auto lock_file = store_.lock_file(active.ref);
  auto lock = Lock::try_lock(lock_file);
  if (!lock) {
    lock_contended_ = true;
    const bool ours = std::any_of(slots_.begin(), slots_.end(), [&](const Slot& s) {
      return s.active && s.active->ref == active.ref;
    });
    if (!ours && !told_waiting_[job]) {
      told_waiting_[job] = true;
      observer_.message(LogLevel::info, fmt::format("{} waits: {} does the same job",
                                                    graph_.jobs[job].instance->name,
                                                    holder_description(lock_file)));
    }
    return false;
  }
  describe_holder(*lock, fmt::format("another cifarpipe (pid {})", getpid()));
  active.lock = std::move(*lock);
  // Whoever had the lock before may have made the result, or left metrics in its ring.
  if (!decision.forced) {
    if (auto result = store_.find(decision.key)) {
      index_result(*result, store_, recorder_);
      job_done(job, *result, "cached", "made by another run", {});
      return true;
    }
    if (accept_old_code(job, decision)) return true;
  }
  drain_orphan_rings(store_, recorder_);

  const auto partial = store_.partial_dir(active.ref);
  file_ops().make_dirs(partial);
  const auto checkpoint = checkpoints::latest(partial);
  Batch batch(recorder_);
  active.attempt = recorder_.begin_attempt(
      active.ref, graph_.jobs[job].instance->type->description.name,
      checkpoint ? std::optional<Cover>(checkpoint->cover) : std::nullopt, now_ms());
  active.work_dir = store_.new_work_dir(active.ref);
  active.decision = std::move(decision);
  Slot& slot = *free_slot(job);
  const JobOrder order = order_for(active);
  active.start = std::chrono::steady_clock::now();
  states_[job] = State::running;
  slot.active = std::move(active);
  book_.stage_changed(job, stage_row(*slot.active, "running"), nullptr);
  // Before the worker hears of it: no point may ever belong to an attempt that is not recorded.
  batch.commit();
  give_to_worker(slot, order, checkpoint.has_value());
  return true;
}

/// `--accept-code`: the result that differs in nothing but the plugin's build is published again
/// under the new key, so that from now on it is simply there.
bool Supervisor::accept_old_code(std::size_t job, const Decision& decision) {
  const std::string& name = graph_.jobs[job].instance->name;
  const auto& accepted = options_.accept_code;
  if (std::find(accepted.begin(), accepted.end(), name) == accepted.end()) return false;
  const auto before = recorder_.last_key_document(configuration_.name, name);
  if (!before || !differ_only_in_code(*before, decision.key_document)) return false;
  const auto old = store_.find(sha256(*before));
  if (!old) return false;
  const auto work = store_.new_work_dir({decision.key, 0});
  for (const PortFiles& port : old->record.outputs) {
    std::filesystem::create_directories(work / port.port);
    for (const FileDigest& file : port.files) {
      const auto target = work / port.port / file.path;
      std::filesystem::create_directories(target.parent_path());
      std::filesystem::create_hard_link(old->dir / port.port / file.path, target);
    }
  }
  ResultRecord record = old->record;
  record.job = {decision.key, 0};
  record.key_document = decision.key_document;
  record.facts.emplace_back("accepted_from", old->record.job.key);
  const std::vector<VisiblePoint> points = recorder_.points(old->record.job);
  const StoredResult result = store_.publish(work, record, points);
  recorder_.restore_points(record.job, points);
  recorder_.put_result(record);
  job_done(job, result, "accepted", "result of older code, accepted", {});
  return true;
}

JobOrder Supervisor::order_for(const Active& active) {
  const Job& job = graph_.jobs[active.job];
  JobOrder order;
  order.instance = job.instance->name;
  order.plugin_path = job.instance->type->plugin_path;
  order.build_id = job.instance->type->build_id;
  order.stage = job.instance->type->description.name;
  order.params = job.instance->params;
  order.job = active.ref;
  order.attempt = active.attempt;
  order.seed = job.parts.seed;
  order.numerics = job.parts.numerics;
  for (const JobInput& input : job.inputs) {
    std::filesystem::path dir;
    if (input.producer != JobInput::kEarlierRun) {
      dir = results_[input.producer]->port_dir(input.producer_port);
    } else if (const auto earlier = store_.find(input.earlier)) {
      dir = earlier->port_dir(input.producer_port);
    }
    order.inputs.emplace_back(input.port, dir.string());
  }
  order.work_dir = active.work_dir.string();
  order.partial_dir = store_.partial_dir(active.ref).string();
  return order;
}

void Supervisor::give_to_worker(Slot& slot, const JobOrder& order, bool from_checkpoint) {
  const Active& active = *slot.active;
  if (!slot.worker) slot.worker = WorkerProcess::spawn(options_.worker);
  book_.log(active.job,
            fmt::format("attempt {} begins{}: {}", active.attempt,
                        from_checkpoint ? " from its checkpoint" : "", active.decision.reason));
  observer_.job_started(label(active.job), active.decision.reason, active.attempt, from_checkpoint);
  // If the worker is gone already, its socket tells.
  send_order(slot.worker->socket(), Order{Command::job, order, active.lock.fd()});
}

RunStage Supervisor::stage_row(const Active& active, const std::string& status) const {
  RunStage row;
  row.action = "run";
  row.status = status;
  row.job = active.ref;
  row.reason = active.decision.reason;
  return row;
}

/// The stage returned and its outputs are durable: drain, publish, account.
void Supervisor::finish_active(Slot& slot, const Event& event) {
  drain(slot);
  Active& active = *slot.active;
  // The points are durable; the rows follow the result, which is the truth, in one commit.
  const std::vector<VisiblePoint> points = recorder_.points(active.ref);
  ResultRecord record;
  record.job = active.ref;
  record.stage = graph_.jobs[active.job].instance->type->description.name;
  record.key_document = active.decision.key_document;
  record.outputs = active.outputs;
  record.facts = active.facts;
  record.usage = event.usage;
  record.attempts = active.attempt;
  record.created_ms = now_ms();

  const auto& before = active.decision.result;
  StoredResult result;
  std::string action = "run";
  std::string reason = active.decision.reason;
  if (before && same_outputs(before->record, record)) {
    result = *before;
    action = "reproduced";
    reason = "every byte as before";
    file_ops().remove_all(active.work_dir);
    file_ops().remove_all(store_.partial_dir(active.ref));
  } else {
    result = store_.publish(active.work_dir, record, points);
    if (before) {
      reason = fmt::format("forced; differs from before in {}",
                           fmt::join(differing_files(before->record, record), ", "));
      observer_.message(LogLevel::warning,
                        fmt::format("{} was not reproduced: {}", label(active.job).stage, reason));
    }
  }
  Batch batch(recorder_);
  recorder_.end_attempt(active.ref, active.attempt, "finished", event.usage, now_ms());
  if (action == "run") recorder_.put_result(record);
  const std::size_t job = active.job;
  job_done(job, result, action, reason, event.usage);
  batch.commit();
  send_order(slot.worker->socket(), Order{Command::release, {}, -1});
  slot.active.reset();
}

void Supervisor::job_done(std::size_t job, const StoredResult& result, const std::string& action,
                          const std::string& reason, const Usage& usage) {
  states_[job] = State::done;
  results_[job] = result;
  RunStage row;
  row.action = action;
  row.status = "finished";
  row.job = result.record.job;
  row.reason = reason;
  book_.log(job, action == "run" ? fmt::format("finished in {} ms", usage.wall_ms)
                                 : fmt::format("{}: {}", action, reason));
  JobEnd end;
  end.action = action;
  end.status = "finished";
  end.reason = reason;
  end.usage = usage;
  end.key = result.record.job.key;
  end.result_dir = result.dir.string();
  end.finals = last_points(recorder_.points(result.record.job));
  observer_.job_ended(label(job), end);
  book_.stage_changed(job, row, &result);
}

void Supervisor::fail_active(Slot& slot, const std::string& why, int exit_code,
                             const Usage& usage) {
  Active& active = *slot.active;
  const std::string message = book_.secrets().redacted(why);
  Usage used = usage;
  if (used.wall_ms == 0) used.wall_ms = ms_since(active.start);
  recorder_.end_attempt(active.ref, active.attempt, "failed", used, now_ms());
  file_ops().remove_all(active.work_dir);
  failed_ = true;
  failure_code_ = std::max(failure_code_, exit_code == 0 ? 1 : exit_code);
  states_[active.job] = State::failed;
  RunStage row = stage_row(active, "failed");
  row.message = message;
  book_.log(active.job, fmt::format("failed: {}", message));
  JobEnd end;
  end.action = "run";
  end.status = "failed";
  end.message = message;
  end.last_lines = active.last_lines;
  end.usage = used;
  end.key = active.ref.key;
  const std::size_t job = active.job;
  slot.active.reset();
  observer_.job_ended(label(job), end);
  book_.stage_changed(job, row, nullptr);
}

void Supervisor::interrupt_active(Slot& slot, const Usage& usage) {
  Active& active = *slot.active;
  Usage used = usage;
  if (used.wall_ms == 0) used.wall_ms = ms_since(active.start);
  recorder_.end_attempt(active.ref, active.attempt, "killed", used, now_ms());
  file_ops().remove_all(active.work_dir);
  states_[active.job] = State::killed;
  book_.log(active.job, "stopped");
  JobEnd end;
  end.action = "run";
  end.status = "killed";
  end.usage = used;
  end.key = active.ref.key;
  const std::size_t job = active.job;
  const RunStage row = stage_row(active, "killed");
  slot.active.reset();
  observer_.job_ended(label(job), end);
  book_.stage_changed(job, row, nullptr);
}

void Supervisor::skip(std::size_t job, const std::string& reason) {
  states_[job] = State::skipped;
  RunStage row;
  row.action = "run";
  row.status = "skipped";
  row.reason = reason;
  JobEnd end;
  end.action = "run";
  end.status = "skipped";
  end.reason = reason;
  observer_.job_ended(label(job), end);
  book_.stage_changed(job, row, nullptr);
}

}  // namespace cifarpipe
