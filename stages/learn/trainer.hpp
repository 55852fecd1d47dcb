// The training loop. It knows nothing of pipelines: what it needs from whoever runs it is the
// small interface TrainingHost. Its state between two batches can be saved and restored so that
// the resumed run computes the same bits as an undisturbed one.
// One thread, the stage's; libtorch's threads and generators are expected as at a job's start.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stages/learn/averaging.hpp"
#include "stages/learn/batch.hpp"
#include "stages/learn/epoch_images.hpp"
#include "stages/learn/evaluation.hpp"
#include "stages/learn/loss.hpp"
#include "stages/learn/loss_scale.hpp"
#include "stages/learn/model.hpp"
#include "stages/learn/optimizer.hpp"
#include "stages/learn/schedule.hpp"

namespace cifarpipe::learn {

/// The defaults are the reference recipe.
struct TrainOptions {
  std::string architecture = "cifar10net";
  int epochs = 20;
  int batch_size = 128;
  int accumulate = 1;  ///< Batches whose gradients make one optimiser step.
  OptimizerOptions optimizer;
  Schedule schedule;
  Augmentation augmentation;
  std::vector<std::int64_t> image_sizes;  ///< Longer sides in the first epochs; see EpochImages.
  LossOptions loss;
  AveragingOptions averaging;
  int patience = 0;  ///< Epochs without a better validation accuracy that end it; 0 = never.
  bool channels_last = true;
  bool stop_on_nan = true;   ///< Losses and weights that are not finite; else a warning.
  int checkpoint_every = 1;  ///< Epochs.
  bool step_metrics = false;
  int mistakes = 32;  ///< How many wrong answers of an epoch's validation the host is told.
  Precision precision = Precision::fp32;
  c10::Device device = c10::kCPU;
  bool fusion = true;               ///< See model.hpp.
  std::vector<std::string> freeze;  ///< Layers that stay as they begin, by prefix of their names.
  std::uint64_t seed = 0;
};

/// What is learned from, in memory that belongs to others: the labels need not be the file's.
struct TrainingData {
  DatasetInfo info;
  SplitView train;
  std::optional<SplitView> validation;
};

/// A dataset's own splits. `reader` must outlive what is returned.
TrainingData training_data(const DatasetReader& reader);

/// Weights to begin from; what is not among them is initialised by the seed.
struct Start {
  std::vector<NamedTensor> weights;
};

enum class TrainMetric {
  loss,
  accuracy,
  lr,
  images_per_second,
  val_loss,
  val_accuracy,  // a point an epoch
  step_loss,     // a point an optimiser step
};

/// Who runs a training. All calls come from the training's thread.
class TrainingHost {
 public:
  virtual ~TrainingHost() = default;
  virtual void metric(TrainMetric metric, std::int64_t step, double value) = 0;
  virtual void progress(double images_done, double images_total, std::string_view text) = 0;
  virtual void info(std::string_view line) = 0;
  virtual void warn(std::string_view line) = 0;
  /// The surest wrong answers on the validation split after an epoch, the surest first. An epoch
  /// that is repeated after a kill is told again.
  virtual void mistakes(std::int64_t epoch, std::span<const Judgement> worst) = 0;
  virtual bool stop_requested() = 0;
  /// The newest checkpoint's directory, if there is any.
  virtual std::optional<std::filesystem::path> checkpoint() = 0;
  /// Calls `write` with an empty directory and makes that the newest checkpoint.
  virtual void save_checkpoint(
      const std::function<void(const std::filesystem::path& dir)>& write) = 0;
};

/// Where a training is: between two batches. Plain numbers; the tensors are beside it.
struct TrainState {
  std::int64_t epoch = 0;  ///< Whole epochs done.
  std::int64_t batch = 0;  ///< Batches done of the epoch that is under way.
  std::int64_t steps = 0;  ///< Optimiser steps done.
  double loss_sum = 0;     ///< Of this epoch, over its images so far.
  std::int64_t correct = 0;
  std::int64_t images = 0;
  double group_loss_sum = 0;  ///< Of the open accumulation group.
  std::int64_t group_images = 0;
  std::int64_t best_epoch = 0;  ///< From 1; 0 = none yet.
  double best_accuracy = 0;
  LossScale loss_scale;  ///< Only in fp16.
  double seconds = 0;    ///< Spent so far in training this epoch, over all attempts.
};

class Trainer {
 public:
  /// `host` is borrowed. The train split must have images. Throws an Error for a start that does
  /// not fit the model.
  Trainer(const TrainOptions& options, TrainingData data, TrainingHost& host,
          const Start& start = {});

  /// Trains to the end, from the host's checkpoint if it has one. Throws Interrupted after saving
  /// one when the host wants an end.
  void run();

  /// After `run`: the weights (their averages, if there are any) after the epoch with the best
  /// validation accuracy (without a validation split, the last epoch) and after the last one, as
  /// model artifacts.
  void write_best(const std::filesystem::path& dir) const;
  void write_last(const std::filesystem::path& dir) const;

  const Model& model() const { return *model_; }
  const TrainState& state() const { return state_; }

  /// One batch, with its optimiser step when it ends a group: what a benchmark repeats.
  void train_batch();
  /// Prepares the epoch `state().epoch`: its permutation.
  void begin_epoch();

 private:
  void begin_from(const Start& start);
  void restore(const std::filesystem::path& dir);
  void save(const std::filesystem::path& dir) const;
  void stop_if_requested();
  [[noreturn]] void save_and_stop();
  void note_time();
  void train_epoch();
  bool finished() const;
  bool scales_loss() const { return options_.precision == Precision::fp16; }
  void check_options() const;
  void finish_epoch();
  void finish_group();
  double train_on(std::span<const std::int32_t> rows);
  Evaluation validate();
  void tell_mistakes(std::vector<Judgement>& wrong);
  void report_progress(double loss);
  void found_nan(const std::string& what);
  bool stayed_finite(const std::optional<Evaluation>& validation);
  std::int64_t batches() const;
  std::int64_t images_of_group() const;
  std::int64_t steps_per_epoch() const;
  double rate_of_step(std::int64_t step) const;
  void keep_if_best(const Evaluation& validation);
  void write_model(const std::filesystem::path& dir, const std::vector<NamedTensor>& weights,
                   std::int64_t epoch) const;

  TrainOptions options_;
  TrainingData data_;
  TrainingHost& host_;
  BatchMaker maker_;
  std::unique_ptr<Model> model_;
  std::unique_ptr<EpochImages> images_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<Averaging> averaging_;
  std::unique_ptr<Loss> loss_;
  std::vector<NamedTensor> best_;  ///< Only with a validation split.
  TrainState state_;

  std::vector<std::int32_t> order_;  ///< The permutation of the epoch under way.
  double lr_ = 0;                    ///< Of the newest step.
  double last_time_ = 0;             ///< When `state_.seconds` was last brought up to date.
  bool warned_of_nan_ = false;
};

/// The order of an epoch's images: a permutation that depends on (seed, epoch, count) only.
std::vector<std::int32_t> shuffled_rows(std::uint64_t seed, std::int64_t epoch, std::int64_t count);

/// A checkpoint's files: tensors by name, and the state's numbers bit by bit.
void write_checkpoint(const std::filesystem::path& dir, const TrainState& state,
                      const std::vector<NamedTensor>& tensors);
TrainState read_checkpoint_state(const std::filesystem::path& dir);
std::filesystem::path checkpoint_tensors(const std::filesystem::path& dir);

}  // namespace cifarpipe::learn
