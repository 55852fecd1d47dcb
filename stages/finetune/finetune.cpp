// The stage `finetune`: learn::Trainer from given weights, with part of the layers frozen and, if
// asked for, the dataset's classes put together in groups. Stage's thread.
#include <optional>

#include "plugins/plugin.hpp"
#include "stages/finetune/beginning.hpp"
#include "stages/finetune/finetune_params.hpp"
#include "stages/finetune/groups.hpp"
#include "stages/learn/counted.hpp"
#include "stages/learn/torch_file.hpp"
#include "stages/recipe/context_host.hpp"

namespace cifarpipe {
namespace {

/// The dataset with the labels to learn.
struct RegroupedData {
  learn::TrainingData data;
  std::vector<std::int32_t> train_labels;
  std::vector<std::int32_t> validation_labels;

  void regroup(const Groups& groups) {
    const auto group_of = map_to_groups(groups, data.info.classes);
    data.info.classes.clear();
    for (const auto& [name, members] : groups) data.info.classes.push_back(name);
    replace(data.train, train_labels, group_of);
    if (data.validation) replace(*data.validation, validation_labels, group_of);
  }

 private:
  static void replace(learn::SplitView& split, std::vector<std::int32_t>& labels,
                      const std::vector<std::int32_t>& group_of) {
    labels.assign(split.labels.begin(), split.labels.end());
    for (std::int32_t& label : labels) label = group_of[static_cast<std::size_t>(label)];
    split.labels = labels;
  }
};

class FinetuneStage : public Stage {
 public:
  using Params = FinetuneParams;

  explicit FinetuneStage(FinetuneParams params) : params_(std::move(params)) {}

  static StageDescription describe() {
    StageDescription d;
    d.name = "finetune";
    d.summary = "Trains a classifier further: frozen layers, a new head, classes in groups.";
    d.revision = 2;
    d.uses_seed = true;
    d.numerics.device = true;
    d.numerics.precision = true;
    d.numerics.threads = true;
    d.inputs = {
        {"data", "dataset/images", "Its split 'train', and 'validation' if there is one."},
        {"model", "model/classifier", "What to begin from, unless 'weights' is given.", true}};
    d.outputs = train_outputs();
    d.metrics = train_metrics();
    return d;
  }

  void run(StageContext& context) override {
    const std::filesystem::path* model_dir = context.input("model");
    const learn::DatasetReader reader(*context.input("data"));
    RegroupedData data{learn::training_data(reader), {}, {}};
    const Groups groups = with_dataset_names(params_.groups, data.data.info.classes);
    if (!groups.empty()) data.regroup(groups);
    learn::TrainOptions options = params_.recipe.options(context);
    options.architecture = params_.architecture == "auto" ? "cifar10net" : params_.architecture;
    if (model_dir) adapt_to_model(learn::read_model_info(*model_dir), options, data.data.info);

    const learn::Network network = learn::make_network(
        options.architecture, {data.data.info.height, data.data.info.width, data.data.info.channels,
                               static_cast<std::int64_t>(data.data.info.classes.size())});
    options.freeze = resolved(params_.freeze, body_layers(network));
    const auto reset = resolved(params_.reset, head_layers(network));
    const learn::Start start = read_start(model_dir, network, reset);
    ContextHost host(context, data.data, options.device);
    learn::Trainer trainer(options, data.data, host, start);
    report(context, trainer.model(), data.data, options);
    trainer.run();
    host.publish(trainer);
    note_groups(context.output("model"), groups);
    note_groups(context.output("last"), groups);
  }

 private:
  /// The model knows images only as they looked in its training: its own mean and std hold.
  void adapt_to_model(const learn::ModelInfo& model, learn::TrainOptions& options,
                      learn::DatasetInfo& data) const {
    if (params_.architecture != "auto" && params_.architecture != model.architecture) {
      throw Error("the model is a " + model.architecture + ", not a " + params_.architecture,
                  ErrorKind::usage);
    }
    options.architecture = model.architecture;
    learn::ModelInfo same_classes = model;
    same_classes.classes = data.classes;
    same_classes.groups.clear();
    learn::require_fit(same_classes, data);  // Images of another size: a sentence.
    data.mean = model.mean;
    data.std = model.std;
  }

  learn::Start read_start(const std::filesystem::path* model_dir, const learn::Network& network,
                          const std::vector<std::string>& reset) const {
    if (model_dir) {
      const learn::SafetensorsReader file(learn::weights_file(*model_dir));
      return take_over(file.tensors(), network, reset, "the model");
    }
    const learn::StateDict file = learn::read_state_dict(params_.weights);
    return take_over(file.tensors(), network, reset, params_.weights);
  }

  static std::string frozen_layers(const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
    return out;
  }

  static void report(StageContext& context, const learn::Model& model,
                     const learn::TrainingData& data, const learn::TrainOptions& options) {
    std::int64_t trained = 0;
    for (const auto& [name, tensor] : model.trained()) trained += tensor.numel();
    const std::int64_t all = model.parameter_count();
    context.record("architecture", options.architecture);
    context.record("classes", std::to_string(data.info.classes.size()));
    context.record("frozen_layers", frozen_layers(options.freeze));
    context.record("parameters", std::to_string(all));
    context.record("trainable_parameters", std::to_string(trained));
    context.record("frozen_parameters", std::to_string(all - trained));
    context.record("precision", learn::precision_name(options.precision));
    const auto classes = static_cast<std::int64_t>(data.info.classes.size());
    context.info(options.architecture + " for " + learn::counted(classes, "class") + ", " +
                 std::to_string(trained) + " of " + std::to_string(all) + " parameters trained, " +
                 learn::counted(data.train.count, "image"));
  }

  static void note_groups(const std::filesystem::path& dir, const Groups& groups) {
    if (groups.empty()) return;
    learn::ModelInfo info = learn::read_model_info(dir);
    info.groups = groups;
    learn::write_model_info(dir, info);
  }

  FinetuneParams params_;
};

}  // namespace
}  // namespace cifarpipe

CIFARPIPE_PLUGIN("finetune", "1.0.0", [](cifarpipe::StageRegistry& registry) {
  registry.add<cifarpipe::FinetuneStage>();
})
