// What a stage is, and all that it may ask of the program while it runs. This is the header that a
// stage's author includes; `plugins/plugin.hpp` adds the one line that makes it a plugin.
//
// A stage lives in a worker process. `run` is called on one thread, the stage's thread; everything
// in StageContext belongs to that thread unless it says otherwise. The context outlives `run`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/error.hpp"
#include "pipeline/schema.hpp"

namespace cifarpipe {

/// An input or an output of a stage: a directory. `type` is `family/kind`, such as
/// `dataset/images` or `model/classifier`; an input takes only outputs of its own type.
struct Port {
  std::string name;
  std::string type;
  std::string help;
  bool optional = false;  ///< Inputs only: may be left unwired.
};

/// A metric that a stage reports. A name that ends in `/*` stands for a family, such as
/// `class_accuracy/*`.
struct MetricInfo {
  enum class Goal { none, minimize, maximize };
  std::string name;
  Goal goal = Goal::none;
  std::string help;
};

/// The numerics that a job computes with, made concrete before anything runs.
struct Numerics {
  std::string device = "cpu";      ///< "cpu" or "cuda sm_NN".
  std::string precision = "fp32";  ///< "fp32", "bf16" or "fp16".
  int threads = 1;                 ///< Threads for computing; at least 1.
  friend bool operator==(const Numerics&, const Numerics&) = default;
};

/// Which numerics change a stage's results; only these are in its key. A stage that declares
/// `device` or `precision` may have a string parameter of that name: the wish ("auto" allowed).
/// The key holds what the wish became and not the wish.
struct NumericsUse {
  bool device = false;
  bool precision = false;
  bool threads = false;
};

/// Everything about a stage that is known without running it.
struct StageDescription {
  std::string name;     ///< As in `uses = "train"`.
  std::string summary;  ///< One sentence.
  int revision = 1;     ///< Raise it when results change; `[cache] code = "revision"` keys on it.
  bool uses_seed = false;
  NumericsUse numerics;
  ParamSchema params;
  std::vector<Port> inputs;
  std::vector<Port> outputs;
  std::vector<MetricInfo> metrics;
};

/// A metric's number within one job; from StageContext::metric_id.
enum class MetricId : std::uint32_t {};

/// How far a stage is, for the live line. `done` of `total` in `unit`s; total 0 = unknown.
struct Progress {
  double done = 0;
  double total = 0;
  std::string_view unit;  ///< "epochs", "images", "bytes", …
  std::string_view text;  ///< Latest figures, such as "loss 0.71  acc 0.751"; may be empty.
};

enum class LogLevel { debug, info, warning, error };

class StageContext {
 public:
  virtual ~StageContext() = default;

  /// The read-only directory behind an input port; null for an optional port that is not wired.
  virtual const std::filesystem::path* input(std::string_view port) const = 0;
  /// The empty directory behind an output port. Published whole when `run` returns, dropped when
  /// it throws. What is written must be a function of the key alone: no ids, times or timings.
  virtual const std::filesystem::path& output(std::string_view port) const = 0;

  /// Gives `name` ("loss", without the instance in front) a number. Ask once, before the loop.
  virtual MetricId metric_id(std::string_view name) = 0;
  /// Records one point: no lock, no system call, no allocation. Series by epoch have step = epoch,
  /// counted from 1; final results have step 0.
  virtual void metric(MetricId id, std::int64_t step, double value) = 0;
  void metric(std::string_view name, std::int64_t step, double value) {
    metric(metric_id(name), step, value);
  }

  /// One line for `run.log` and, from info on, for the person at the terminal. Any thread.
  virtual void log(LogLevel level, std::string_view line) = 0;
  void info(std::string_view line) { log(LogLevel::info, line); }
  void warn(std::string_view line) { log(LogLevel::warning, line); }
  /// Cheap to call often: what comes too fast is dropped.
  virtual void progress(const Progress& progress) = 0;
  /// A fact worth keeping that is not a result: an ETag, a library's version, what "auto" became.
  virtual void record(std::string_view name, std::string_view value) = 0;
  /// Says that this job's outputs may differ between equal runs, and why.
  virtual void not_deterministic(std::string_view reason) = 0;

  /// A directory that stays until this job is done, through kills and further attempts, for what
  /// can be gone on with at any byte (a partial download). Checkpoints have their own calls.
  virtual const std::filesystem::path& resume_dir() const = 0;
  /// The newest complete checkpoint of an earlier attempt (or of this one), if there is any.
  virtual std::optional<std::filesystem::path> checkpoint() const = 0;
  /// Calls `write` with an empty directory, makes what it wrote durable and then the newest
  /// checkpoint, in one step: a kill at any instant leaves the old one or the new one. The metric
  /// points before this call belong to it; if the job goes on from it, later ones are superseded.
  virtual void save_checkpoint(
      const std::function<void(const std::filesystem::path& dir)>& write) = 0;

  /// This instance's own seed: a function of the root seed, the instance's name and the repeat.
  virtual std::uint64_t seed() const = 0;
  virtual const Numerics& numerics() const = 0;
  /// Requested when the person or the machine wants an end. Any thread. A stage that runs for
  /// longer than a few seconds looks at it often, saves a checkpoint and throws Interrupted.
  virtual std::stop_token stop() const = 0;
  /// For stages that need no checkpoint.
  void throw_if_stopped() const {
    if (stop().stop_requested()) throw Interrupted();
  }
};

/// One stage, made from its parameters for one job.
class Stage {
 public:
  virtual ~Stage() = default;
  /// Does the whole work. Returning means success; anything thrown means failure (Interrupted:
  /// stopped). Called at most once.
  virtual void run(StageContext& context) = 0;
};

/// Collects the stages of a plugin. `S` has `using Params`, `static StageDescription describe()`
/// (its `params` are filled in here) and a constructor from `Params`.
class StageRegistry {
 public:
  using Factory = std::function<std::unique_ptr<Stage>(const ParamValues&)>;
  struct Entry {
    StageDescription description;
    Factory make;
  };

  template <class S>
  void add() {
    auto schema = std::make_shared<const Schema<typename S::Params>>(S::Params::schema());
    StageDescription description = S::describe();
    description.params = schema->info();
    add(Entry{std::move(description), [schema](const ParamValues& values) {
                return std::unique_ptr<Stage>(std::make_unique<S>(schema->make(values)));
              }});
  }
  void add(Entry entry) { entries_.push_back(std::move(entry)); }

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  std::vector<Entry> entries_;
};

}  // namespace cifarpipe
