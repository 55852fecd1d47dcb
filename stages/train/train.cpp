// The stage `train`: maps a stage's context and parameters to learn::Trainer. Stage's thread.
#include <array>

#include "pipeline/stage.hpp"
#include "plugins/plugin.hpp"
#include "stages/learn/trainer.hpp"

namespace cifarpipe {
namespace {

/// Defaults are learn::TrainOptions', so that each is written once.
struct TrainParams {
  static inline const learn::TrainOptions kDefault{};
  std::string architecture = kDefault.architecture;
  int epochs = kDefault.epochs;
  int batch_size = kDefault.batch_size;
  std::string optimizer = kDefault.optimizer;
  double lr = kDefault.lr;
  double weight_decay = kDefault.weight_decay;
  double momentum = kDefault.momentum;
  int lr_step = kDefault.lr_step;
  double lr_gamma = kDefault.lr_gamma;
  int accumulate = kDefault.accumulate;
  int crop_padding = kDefault.crop_padding;
  double flip = kDefault.flip;
  std::string precision = "fp32";
  bool channels_last = kDefault.channels_last;
  std::string on_nan = "stop";
  int checkpoint_every = kDefault.checkpoint_every;
  bool step_metrics = kDefault.step_metrics;
  bool fusion = kDefault.fusion;
  std::vector<std::string> freeze;

  static Schema<TrainParams> schema() {
    using P = TrainParams;
    return Schema<P>{}
        .field("architecture", &P::architecture, "The network.")
        .one_of(learn::architectures())
        .field("epochs", &P::epochs, "Passes over the training split.")
        .range(1, 10000)
        .unit("epochs")
        .field("batch_size", &P::batch_size, "Images a batch.")
        .range(1, 65536)
        .unit("images")
        .field("optimizer", &P::optimizer,
               "Update rule: adam (weight decay as L2 in the gradient), adamw (decoupled), sgd.")
        .one_of({"adam", "adamw", "sgd"})
        .field("lr", &P::lr, "Learning rate of the first epoch.")
        .range(1e-8, 100)
        .field("weight_decay", &P::weight_decay, "Weight decay.")
        .range(0, 10)
        .field("momentum", &P::momentum, "Momentum; sgd only.")
        .range(0, 0.9999)
        .field("lr_step", &P::lr_step,
               "Every so many epochs the learning rate is multiplied by lr_gamma; 0 = never.")
        .range(0, 10000)
        .unit("epochs")
        .field("lr_gamma", &P::lr_gamma, "What it is multiplied by.")
        .range(1e-6, 1)
        .field("accumulate", &P::accumulate,
               "Batches whose gradients make one optimiser step; an epoch's last step takes what "
               "is left, and is the mean over that.")
        .range(1, 4096)
        .unit("batches")
        .field("crop_padding", &P::crop_padding,
               "Black pixels put around an image before a random crop of its own size.")
        .range(0, 64)
        .unit("pixels")
        .field("flip", &P::flip, "Probability of a horizontal flip.")
        .range(0, 1)
        .field("precision", &P::precision,
               "fp32; bf16 = convolutions and matrix products in bfloat16; auto = bf16 where the "
               "processor is fast at it, else fp32.")
        .one_of({"fp32", "bf16", "auto"})
        .field("channels_last", &P::channels_last,
               "Memory order of images: channels innermost, which is faster.")
        .field("on_nan", &P::on_nan, "What a loss that is no longer finite does: stop or warn.")
        .one_of({"stop", "warn"})
        .field("checkpoint_every", &P::checkpoint_every,
               "Save a checkpoint after every so many epochs (and always when stopped).")
        .range(1, 10000)
        .unit("epochs")
        .no_effect()
        .field("step_metrics", &P::step_metrics,
               "Also record the loss of every optimiser step, as step_loss.")
        .field("fusion", &P::fusion,
               "Compute batch norm together with what surrounds it: faster, the same to rounding.")
        .field("freeze", &P::freeze,
               "Layers that stay as they begin, by the beginnings of their names: [\"conv1\"].");
  }

  learn::TrainOptions options(const StageContext& context) const {
    learn::TrainOptions o;
    o.architecture = architecture;
    o.epochs = epochs;
    o.batch_size = batch_size;
    o.optimizer = optimizer;
    o.lr = lr;
    o.weight_decay = weight_decay;
    o.momentum = momentum;
    o.lr_step = lr_step;
    o.lr_gamma = lr_gamma;
    o.accumulate = accumulate;
    o.crop_padding = crop_padding;
    o.flip = flip;
    o.channels_last = channels_last;
    o.stop_on_nan = on_nan == "stop";
    o.checkpoint_every = checkpoint_every;
    o.step_metrics = step_metrics;
    o.fusion = fusion;
    o.freeze = freeze;
    o.bf16 = context.numerics().precision == "bf16";
    o.seed = context.seed();
    return o;
  }
};

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
