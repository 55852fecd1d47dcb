// The stage `train`: maps a stage's context and parameters to learn::Trainer. Stage's thread.
#include "pipeline/stage.hpp"
#include "plugins/plugin.hpp"
#include "stages/learn/counted.hpp"
#include "stages/recipe/context_host.hpp"
#include "stages/recipe/recipe_params.hpp"

namespace cifarpipe {
namespace {

/// The help of `architecture`: a sentence for each.
std::string networks() {
  std::string help = "The network.";
  for (const std::string& name : learn::architectures()) {
    help += " " + name + ": " + std::string(learn::architecture_summary(name));
  }
  return help;
}

struct TrainParams {
  std::string architecture = learn::TrainOptions{}.architecture;
  std::vector<std::string> freeze;
  RecipeParams recipe;

  static Schema<TrainParams> schema() {
    Schema<TrainParams> schema;
    schema.field("architecture", &TrainParams::architecture, networks())
        .one_of(learn::architectures())
        .field("freeze", &TrainParams::freeze,
               "Layers that stay as they begin, by the beginnings of their names: [\"conv1\"].")
        .part(&TrainParams::recipe, RecipeParams::schema());
    add_network_rules(schema);
    return schema;
  }
};

std::string where(const Numerics& numerics) {
  if (numerics.device != "cpu") return "on " + numerics.device;
  return learn::counted(numerics.threads, "thread");
}

class TrainStage : public Stage {
 public:
  using Params = TrainParams;

  explicit TrainStage(TrainParams params) : params_(std::move(params)) {}

  static StageDescription describe() {
    StageDescription d;
    d.name = "train";
    d.summary = "Trains an image classifier; by default the reference recipe.";
    d.revision = 2;
    d.uses_seed = true;
    d.numerics.device = true;
    d.numerics.precision = true;
    d.numerics.threads = true;
    d.inputs = {{"data", "dataset/images", "Its split 'train', and 'validation' if there is one."}};
    d.outputs = train_outputs();
    d.metrics = train_metrics();
    return d;
  }

  void run(StageContext& context) override {
    const learn::DatasetReader reader(*context.input("data"));
    const learn::TrainingData data = learn::training_data(reader);
    learn::TrainOptions options = params_.recipe.options(context);
    options.architecture = params_.architecture;
    options.freeze = params_.freeze;
    ContextHost host(context, data, options.device);
    learn::Trainer trainer(options, data, host);
    const std::string parameters = std::to_string(trainer.model().parameter_count());
    context.record("parameters", parameters);
    const std::int64_t flops = 2 * trainer.model().network().multiply_adds();
    context.record("forward_flops_per_image", std::to_string(flops));
    const std::string precision(learn::precision_name(options.precision));
    context.record("precision", precision);
    context.info(options.architecture + " with " + parameters + " parameters, " +
                 learn::counted(data.train.count, "image") + ", " + precision + ", " +
                 where(context.numerics()));
    trainer.run();
    host.publish(trainer);
  }

 private:
  TrainParams params_;
};

}  // namespace
}  // namespace cifarpipe

CIFARPIPE_PLUGIN("train", "1.0.0",
                 [](cifarpipe::StageRegistry& registry) { registry.add<cifarpipe::TrainStage>(); })
