// The stage `evaluate`: a model's answers on one split of a dataset, judged. Stage's thread.
#include <fmt/format.h>

#include "pipeline/stage.hpp"
#include "plugins/plugin.hpp"
#include "stages/evaluate/report.hpp"
#include "stages/learn/compute_scope.hpp"
#include "stages/vision/plots.hpp"

namespace cifarpipe {
namespace {

struct EvaluateParams {
  std::string split = "test";
  int batch_size = 256;
  std::string tta = "none";
  std::string precision = "fp32";

  static Schema<EvaluateParams> schema() {
    using P = EvaluateParams;
    return Schema<P>{}
        .field("split", &P::split, "The split to judge on.")
        .one_of({"test", "validation", "train"})
        .field("batch_size", &P::batch_size, "Images a batch.")
        .range(1, 65536)
        .unit("images")
        .field("tta", &P::tta,
               "Test-time augmentation: flip = the mean of the logits of an image and its mirror.")
        .one_of({"none", "flip"})
        .field("precision", &P::precision,
               "fp32; bf16 = convolutions and matrix products in bfloat16; auto = bf16 where the "
               "processor is fast at it, else fp32.")
        .one_of({"fp32", "bf16", "auto"});
  }
};

class EvaluateStage : public Stage {
 public:
  using Params = EvaluateParams;

  explicit EvaluateStage(EvaluateParams params) : params_(std::move(params)) {}

  static StageDescription describe() {
    using Goal = MetricInfo::Goal;
    StageDescription d;
    d.name = "evaluate";
    d.summary = "Judges a classifier on a split: accuracy, confusion, every prediction.";
    d.numerics.precision = true;
    d.numerics.threads = true;
    d.inputs = {{"model", "model/classifier", "The weights."},
                {"data", "dataset/images", "Images of the model's size, with its classes."}};
    d.outputs = {{"report", "report/evaluation",
                  "summary.json, confusion.csv and .png, per_class.csv, predictions.csv."}};
    d.metrics = {
        {"loss", Goal::minimize, "Mean cross entropy."},
        {"accuracy", Goal::maximize, "Fraction of images answered right."},
        {"top5_accuracy", Goal::maximize, "How often the label is among the five likeliest."},
        {"class_accuracy/*", Goal::maximize, "Accuracy on the images of one class."}};
    return d;
  }

  void run(StageContext& context) override {
    const std::filesystem::path& model_dir = *context.input("model");
    const learn::DatasetReader data(*context.input("data"));
    const learn::ModelInfo info = learn::read_model_info(model_dir);
    learn::require_fit(info, data.info());
    const learn::SplitView& split = data.split(params_.split);
    if (split.count == 0) throw Error("the split '" + params_.split + "' has no images");

    const learn::ModelShape shape{info.height, info.width, info.channels,
                                  static_cast<std::int64_t>(info.classes.size())};
    const auto model = learn::make_model(info.architecture, shape);
    learn::load_weights(learn::weights_file(model_dir), *model);
    EvaluationReport report(params_.split, info);
    judge(context, *model, info, split, report);
    publish(context, info, report);
  }

 private:
  void judge(StageContext& context, learn::Model& model, const learn::ModelInfo& info,
             const learn::SplitView& split, EvaluationReport& report) const {
    const bool bf16 = context.numerics().precision == "bf16";
    const learn::FlushDenormalScope flush_denormals;
    const learn::MemoryReuseScope memory;
    // The model's own mean and std: it knows images only as they looked in its training.
    const learn::BatchMaker maker(
        {info.height, info.width, info.channels, info.mean, info.std, bf16});
    learn::evaluate(
        model, maker, split, {params_.batch_size, bf16, params_.tta == "flip"},
        [&](const learn::Judgement& judgement) {
          report.add(judgement, split.index[static_cast<std::size_t>(judgement.row)]);
        },
        [&](std::int64_t done) {
          context.throw_if_stopped();
          context.progress(
              {static_cast<double>(done), static_cast<double>(split.count), "images", {}});
        });
  }

  void publish(StageContext& context, const learn::ModelInfo& info,
               const EvaluationReport& report) const {
    context.metric("loss", 0, report.loss());
    context.metric("accuracy", 0, report.accuracy());
    context.metric("top5_accuracy", 0, report.top5_accuracy());
    for (std::size_t label = 0; label < info.classes.size(); ++label) {
      const auto images = report.class_images(label);
      if (images == 0) continue;  // there is no accuracy to tell
      context.metric(
          "class_accuracy/" + info.classes[label], 0,
          static_cast<double>(report.class_correct(label)) / static_cast<double>(images));
    }
    const std::filesystem::path& out = context.output("report");
    report.write(out);
    const std::string figures = fmt::format("accuracy {:.4f} on {} {} images", report.accuracy(),
                                            report.images(), params_.split);
    vision::draw_confusion_matrix(out / "confusion.png", info.classes, report.counts(), figures);
    context.info(fmt::format("{}, loss {:.4f}, top-5 {:.4f}", figures, report.loss(),
                             report.top5_accuracy()));
  }

  EvaluateParams params_;
};

}  // namespace
}  // namespace cifarpipe

CIFARPIPE_PLUGIN("evaluate", "1.0.0", [](cifarpipe::StageRegistry& registry) {
  registry.add<cifarpipe::EvaluateStage>();
})
