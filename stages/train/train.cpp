// The stage `train`: maps a stage's context and parameters to learn::Trainer. Stage's thread.
#include <array>

#include "pipeline/stage.hpp"
#include "plugins/plugin.hpp"
#include "stages/train/train_params.hpp"

namespace cifarpipe {
namespace {

using Goal = MetricInfo::Goal;

/// In the order of learn::TrainMetric.
const std::vector<MetricInfo>& train_metrics() {
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

class ContextHost : public learn::TrainingHost {
 public:
  explicit ContextHost(StageContext& context) : context_(context) {
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
  bool stop_requested() override { return context_.stop().stop_requested(); }
  std::optional<std::filesystem::path> checkpoint() override { return context_.checkpoint(); }
  void save_checkpoint(const std::function<void(const std::filesystem::path&)>& write) override {
    context_.save_checkpoint(write);
  }

 private:
  StageContext& context_;
  std::array<MetricId, 7> ids_{};
};

class TrainStage : public Stage {
 public:
  using Params = TrainParams;

  explicit TrainStage(TrainParams params) : params_(std::move(params)) {}

  static StageDescription describe() {
    StageDescription d;
    d.name = "train";
    d.summary = "Trains an image classifier; by default the reference recipe.";
    d.uses_seed = true;
    d.numerics.precision = true;
    d.numerics.threads = true;
    d.inputs = {{"data", "dataset/images", "Its split 'train', and 'validation' if there is one."}};
    d.outputs = {
        {"model", "model/classifier",
         "The weights with the best validation accuracy; without a validation split, the last."},
        {"last", "model/classifier", "The weights after the last epoch."}};
    d.metrics = train_metrics();
    return d;
  }

  void run(StageContext& context) override {
    const learn::DatasetReader data(*context.input("data"));
    ContextHost host(context);
    const learn::TrainOptions options = params_.options(context);
    learn::Trainer trainer(options, learn::training_data(data), host);
    const std::string parameters = std::to_string(trainer.model().parameter_count());
    context.record("parameters", parameters);
    const std::int64_t flops = 2 * trainer.model().network().multiply_adds();
    context.record("forward_flops_per_image", std::to_string(flops));
    context.record("precision", options.bf16 ? "bf16" : "fp32");
    context.info(options.architecture + " with " + parameters + " parameters, " +
                 std::to_string(data.split("train").count) + " images, " +
                 (options.bf16 ? "bf16" : "fp32") + ", " +
                 std::to_string(context.numerics().threads) + " threads");
    trainer.run();
    trainer.write_best(context.output("model"));
    trainer.write_last(context.output("last"));
  }

 private:
  TrainParams params_;
};

}  // namespace
}  // namespace cifarpipe

CIFARPIPE_PLUGIN("train", "1.0.0",
                 [](cifarpipe::StageRegistry& registry) { registry.add<cifarpipe::TrainStage>(); })
