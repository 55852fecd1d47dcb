#include "worker/context.hpp"

#include <fmt/format.h>

#include "pipeline/checkpoints.hpp"
#include "pipeline/file_ops.hpp"

namespace cifarpipe {

void EventSender::send(const Event& event) {
  const std::lock_guard lock(mutex_);
  send_event(socket_, event);
}

WorkerContext::WorkerContext(const JobOrder& order, const StageDescription& stage, RingWriter& ring,
                             EventSender& sender, std::stop_token stop)
    : order_(order), stage_(stage), ring_(ring), sender_(sender), stop_(std::move(stop)) {
  for (const auto& [port, dir] : order.inputs) inputs_.emplace(port, dir);
  for (const Port& port : stage.outputs) {
    const auto dir = std::filesystem::path(order.work_dir) / port.name;
    file_ops().make_dirs(dir);
    outputs_.emplace(port.name, dir);
  }
  resume_dir_ = std::filesystem::path(order.partial_dir) / "work";
  file_ops().make_dirs(resume_dir_);
}

const std::filesystem::path* WorkerContext::input(std::string_view port) const {
  const auto found = inputs_.find(port);
  if (found != inputs_.end()) return &found->second;
  for (const Port& declared : stage_.inputs) {
    if (declared.name == port) return nullptr;  // Optional and not wired.
  }
  throw Error(fmt::format("the stage asks for input '{}', which it does not declare", port));
}

const std::filesystem::path& WorkerContext::output(std::string_view port) const {
  const auto found = outputs_.find(port);
  if (found == outputs_.end()) {
    throw Error(fmt::format("the stage asks for output '{}', which it does not declare", port));
  }
  return found->second;
}

MetricId WorkerContext::metric_id(std::string_view name) {
  for (const MetricInfo& declared : stage_.metrics) {
    const std::string& pattern = declared.name;
    const bool family = pattern.size() > 2 && pattern.ends_with("/*");
    const std::string_view stem = std::string_view(pattern).substr(0, pattern.size() - 1);
    if (family ? name.substr(0, stem.size()) == stem : name == pattern) {
      return static_cast<MetricId>(ring_.metric_id(name));
    }
  }
  throw Error(fmt::format("the stage reports metric '{}', which it does not declare", name));
}

void WorkerContext::metric(MetricId id, std::int64_t step, double value) {
  ring_.write(static_cast<std::uint32_t>(id), step, value);
}

void WorkerContext::log(LogLevel level, std::string_view line) {
  Event event;
  event.kind = Event::Kind::log;
  event.level = level;
  event.text = line;
  sender_.send(event);
}

void WorkerContext::progress(const Progress& progress) {
  const auto now = std::chrono::steady_clock::now();
  const bool last = progress.total > 0 && progress.done >= progress.total;
  if (!last && now - last_progress_ < std::chrono::milliseconds(100)) return;
  last_progress_ = now;
  Event event;
  event.kind = Event::Kind::progress;
  event.done = progress.done;
  event.total = progress.total;
  event.unit = progress.unit;
  event.text = progress.text;
  sender_.send(event);
}

void WorkerContext::record(std::string_view name, std::string_view value) {
  Event event;
  event.kind = Event::Kind::record;
  event.name = name;
  event.text = value;
  sender_.send(event);
}

void WorkerContext::not_deterministic(std::string_view reason) {
  record("not_deterministic", reason);
}

std::optional<std::filesystem::path> WorkerContext::checkpoint() const {
  const auto latest = checkpoints::latest(order_.partial_dir);
  if (!latest) return std::nullopt;
  return latest->path;
}

void WorkerContext::save_checkpoint(
    const std::function<void(const std::filesystem::path& dir)>& write) {
  checkpoints::save(order_.partial_dir, Cover{order_.attempt, ring_.sequence()}, write);
  Event event;
  event.kind = Event::Kind::checkpoint;
  sender_.send(event);
}

}  // namespace cifarpipe
