// StageContext as a worker gives it to a stage: directories of the job, the metric ring, the socket
// to the supervisor. Lives for one job. `log` and `stop` may be used from any thread, the rest from
// the stage's thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>

#include "pipeline/metric_ring.hpp"
#include "pipeline/protocol.hpp"
#include "pipeline/stage.hpp"

namespace cifarpipe {

/// The worker's end of the socket. Any thread.
class EventSender {
 public:
  explicit EventSender(int socket) : socket_(socket) {}
  /// A supervisor that is gone needs no events: nothing is said.
  void send(const Event& event);

 private:
  int socket_;
  std::mutex mutex_;
};

class WorkerContext : public StageContext {
 public:
  /// All borrowed. Makes the output directories.
  WorkerContext(const JobOrder& order, const StageDescription& stage, RingWriter& ring,
                EventSender& sender, std::stop_token stop);

  const std::filesystem::path* input(std::string_view port) const override;
  const std::filesystem::path& output(std::string_view port) const override;
  MetricId metric_id(std::string_view name) override;
  void metric(MetricId id, std::int64_t step, double value) override;
  void log(LogLevel level, std::string_view line) override;
  void progress(const Progress& progress) override;
  void record(std::string_view name, std::string_view value) override;
  void not_deterministic(std::string_view reason) override;
  const std::filesystem::path& resume_dir() const override { return resume_dir_; }
  std::optional<std::filesystem::path> checkpoint() const override;
  void save_checkpoint(const std::function<void(const std::filesystem::path& dir)>& write) override;
  std::uint64_t seed() const override { return order_.seed; }
  const Numerics& numerics() const override { return order_.numerics; }
  std::stop_token stop() const override { return stop_; }

 private:
  const JobOrder& order_;
  const StageDescription& stage_;
  RingWriter& ring_;
  EventSender& sender_;
  std::stop_token stop_;
  std::map<std::string, std::filesystem::path, std::less<>> inputs_;
  std::map<std::string, std::filesystem::path, std::less<>> outputs_;
  std::filesystem::path resume_dir_;
  std::chrono::steady_clock::time_point last_progress_{};
};

}  // namespace cifarpipe
