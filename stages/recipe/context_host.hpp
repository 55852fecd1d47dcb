// What a training tells and asks, put through to a stage's context: shared by the stages that
// train. Stage's thread.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "pipeline/stage.hpp"
#include "stages/learn/trainer.hpp"
#include "stages/recipe/compute_device.hpp"
#include "stages/recipe/mistake_sheet.hpp"

namespace cifarpipe {

/// In the order of learn::TrainMetric.
inline const std::vector<MetricInfo>& train_metrics() {
  using Goal = MetricInfo::Goal;
  static const std::vector<MetricInfo> metrics = {
      {"loss", Goal::minimize, "Mean cross entropy over the epoch's images, dropout on."},
      {"accuracy", Goal::maximize, "Fraction of the epoch's images answered right, dropout on."},
      {"lr", Goal::none, "Learning rate of the epoch."},
      {"images_per_second", Goal::none, "Training speed, validation left out."},
      {"val_loss", Goal::minimize, "Mean cross entropy on the validation split."},
      {"val_accuracy", Goal::maximize, "Accuracy on the validation split."},
      {"step_loss", Goal::minimize, "Mean loss of an optimiser step's images (step_metrics)."},
  };
  return metrics;
}

/// What a training leaves.
inline const std::vector<Port>& train_outputs() {
  static const std::vector<Port> outputs = {
      {"model", "model/classifier",
       "The weights with the best validation accuracy; without a validation split, the last."},
      {"last", "model/classifier", "The weights after the last epoch."},
      {"mistakes", "report/mistakes",
       "With a validation split: for each epoch a picture of the surest wrong answers."}};
  return outputs;
}

class ContextHost : public learn::TrainingHost {
 public:
  /// `data` is borrowed.
  ContextHost(StageContext& context, const learn::TrainingData& data, c10::Device device)
      : context_(context) {
    if (const std::string why = why_not_deterministic(device); !why.empty()) {
      context_.not_deterministic(why);
    }
    if (data.validation) {
      const learn::DatasetInfo& d = data.info;
      sheets_.emplace(context.resume_dir() / "mistakes",
                      learn::ModelInfo{"", d.height, d.width, d.channels, d.classes, d.mean, d.std},
                      *data.validation);
    }
    for (std::size_t i = 0; i < ids_.size(); ++i) {
      ids_[i] = context_.metric_id(train_metrics()[i].name);
    }
  }
  void metric(learn::TrainMetric metric, std::int64_t step, double value) override {
    context_.metric(ids_[static_cast<std::size_t>(metric)], step, value);
  }
  void progress(double done, double total, std::string_view text) override {
    context_.progress({done, total, "images", text});
  }
  void info(std::string_view line) override { context_.info(line); }
  void warn(std::string_view line) override { context_.warn(line); }
  void mistakes(std::int64_t epoch, std::span<const learn::Judgement> worst) override {
    if (sheets_) sheets_->add(epoch, worst);
  }
  /// After the training: what is learned, and the pictures of its epochs.
  void publish(const learn::Trainer& trainer) {
    trainer.write_best(context_.output("model"));
    trainer.write_last(context_.output("last"));
    if (sheets_) sheets_->publish(context_.output("mistakes"), trainer.state().epoch);
  }
  bool stop_requested() override { return context_.stop().stop_requested(); }
  std::optional<std::filesystem::path> checkpoint() override { return context_.checkpoint(); }
  void save_checkpoint(const std::function<void(const std::filesystem::path&)>& write) override {
    context_.save_checkpoint(write);
  }

 private:
  StageContext& context_;
  std::array<MetricId, 7> ids_{};
  std::optional<MistakeSheets> sheets_;
};

}  // namespace cifarpipe
