// The stage `evaluate`: a model's answers on one split of a dataset, judged. Stage's thread.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "pipeline/stage.hpp"
#include "plugins/plugin.hpp"
#include "stages/evaluate/pictures.hpp"
#include "stages/evaluate/report.hpp"
#include "stages/learn/compute_scope.hpp"
#include "stages/learn/counted.hpp"
#include "stages/learn/duplicate_list.hpp"
#include "stages/recipe/compute_device.hpp"
#include "stages/vision/plots.hpp"

namespace cifarpipe {
namespace {

struct EvaluateParams {
  std::string split = "test";
  int batch_size = 256;
  std::string device = "auto";
  std::string precision = "fp32";
  std::string tta = "none";
  int top_k = 5;
  int calibration_bins = 15;
  std::string duplicates;
  int mistakes = 32;
  int saliency = 8;

  static Schema<EvaluateParams> schema() {
    using P = EvaluateParams;
    Schema<P> schema;
    schema.field("split", &P::split, "The split to judge on.")
        .one_of({"test", "validation", "train"})
        .field("batch_size", &P::batch_size, "Images a batch.")
        .range(1, 65536)
        .unit("images");
    add_device_and_precision(schema, &P::device, &P::precision);
    schema
        .field("tta", &P::tta,
               "Test-time augmentation, the mean of the logits: flip, of an image and its mirror "
               "image; flip_shift, of both moved by a pixel as well, up left and down right, each "
               "counting half as much (three times as slow as flip).")
        .one_of({"none", "flip", "flip_shift"})
        .field("top_k", &P::top_k,
               "topk_accuracy counts a label among this many likeliest classes as right.")
        .range(1, 1000)
        .unit("classes")
        .field("calibration_bins", &P::calibration_bins,
               "Bins of confidence for the calibration error and the reliability diagram.")
        .range(2, 100)
        .unit("bins")
        .field("duplicates", &P::duplicates,
               "CSV list (column TestID) of test images that have a near-duplicate in the training "
               "split; empty = the dataset's own duplicates.csv, if it has one.")
        .input_path()
        .field("mistakes", &P::mistakes, "Images on the sheet of the worst mistakes; 0 = none.")
        .range(0, 400)
        .unit("images")
        .field("saliency", &P::saliency,
               "Worst mistakes of which a picture shows the pixels that the answer hung on; 0 = "
               "none.")
        .range(0, 100)
        .unit("images");
    return schema;
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
    d.summary = "Judges a classifier on a split: accuracy, confusion, calibration, every answer.";
    d.revision = 3;
    d.numerics.device = true;
    d.numerics.precision = true;
    d.numerics.threads = true;
    d.inputs = {{"model", "model/classifier", "The weights."},
                {"data", "dataset/images",
                 "Images of the model's size, with its classes or those that it groups."}};
    d.outputs = {{"report", "report/evaluation",
                  "summary.json, per_class.csv, predictions.csv, confusion and calibration (.csv, "
                  ".png), mistakes.png, saliency.png."}};
    d.metrics = {
        {"loss", Goal::minimize, "Mean cross entropy."},
        {"accuracy", Goal::maximize, "Fraction of images answered right."},
        {"accuracy_low", Goal::none, "Lower end of its 95 % interval (Wilson)."},
        {"accuracy_high", Goal::none, "Upper end of it."},
        {"accuracy_without_duplicates", Goal::maximize,
         "Accuracy on the images that have no near-duplicate in the training split."},
        {"duplicates", Goal::none, "Images that have one."},
        {"top5_accuracy", Goal::maximize,
         "How often the label is among the five likeliest: always, with five classes or fewer."},
        {"topk_accuracy", Goal::maximize, "How often it is among the top_k likeliest."},
        {"macro_precision", Goal::maximize, "Mean precision of the classes that have images."},
        {"macro_recall", Goal::maximize, "Their mean recall."},
        {"macro_f1", Goal::maximize, "Their mean F1."},
        {"calibration_error", Goal::minimize,
         "Expected calibration error: mean distance of confidence and accuracy."},
        {"class_accuracy/*", Goal::maximize, "Accuracy on the images of one class."}};
    return d;
  }

  void run(StageContext& context) override {
    const std::filesystem::path& model_dir = *context.input("model");
    const learn::DatasetReader data(*context.input("data"));
    const learn::ModelInfo info = learn::read_model_info(model_dir);
    const std::vector<std::int32_t> classes = learn::fit_labels(info, data.info());
    learn::SplitView split = chosen_split(data);
    std::vector<std::int32_t> labels(split.labels.begin(), split.labels.end());
    for (std::int32_t& label : labels) label = classes[static_cast<std::size_t>(label)];
    split.labels = labels;

    const learn::ModelShape shape{info.height, info.width, info.channels,
                                  static_cast<std::int64_t>(info.classes.size())};
    const auto model = learn::make_model(info.architecture, shape);
    learn::load_weights(learn::weights_file(model_dir), *model);
    learn::require_finite_weights(*model);
    model->move_to(compute_device(context.numerics(), params_.device));
    EvaluationReport report({params_.split, params_.tta, params_.top_k, params_.calibration_bins},
                            info);
    judge(context, *model, info, split, report);
    leave_out_duplicates(context, report);
    publish(context, info, report);
    draw(context, *model, info, split, report);
  }

 private:
  learn::SplitView chosen_split(const learn::DatasetReader& data) const {
    if (data.has(params_.split) && data.split(params_.split).count > 0) {
      return data.split(params_.split);
    }
    std::vector<std::string> others;
    for (const std::string name : {"test", "validation", "train"}) {
      if (data.has(name) && data.split(name).count > 0) others.push_back('"' + name + '"');
    }
    throw Error(fmt::format("the dataset has no images in the split '{}'; split may be {}",
                            params_.split, fmt::join(others, " or ")),
                ErrorKind::usage);
  }

  void judge(StageContext& context, learn::Model& model, const learn::ModelInfo& info,
             const learn::SplitView& split, EvaluationReport& report) const {
    const learn::Precision precision = learn::parse_precision(context.numerics().precision);
    const learn::FlushDenormalScope flush_denormals;
    const learn::MemoryReuseScope memory;
    // The model's own mean and std: it knows images only as they looked in its training.
    const learn::BatchMaker maker({info.height, info.width, info.channels, info.mean, info.std,
                                   precision == learn::Precision::bf16});
    learn::evaluate(
        model, maker, split, {params_.batch_size, precision, views()},
        [&](const learn::Judgement& judgement) {
          const std::int32_t index = split.index[static_cast<std::size_t>(judgement.row)];
          if (!judgement.finite) refuse_answer(context, index);
          report.add(judgement, index);
        },
        [&](std::int64_t done) {
          context.throw_if_stopped();
          context.progress(
              {static_cast<double>(done), static_cast<double>(split.count), "images", {}});
        });
  }

  /// The weights are finite: it is the computing that overflows.
  [[noreturn]] void refuse_answer(const StageContext& context, std::int32_t index) const {
    const std::string& precision = context.numerics().precision;
    throw Error(fmt::format(
        "the model's answer for image {} of the split {} is not finite: its weights are so large "
        "that computing in {} overflows; {}train it again with a smaller lr",
        index, params_.split, precision,
        precision == "fp32" ? "" : "set precision = \"fp32\", or "));
  }

  learn::Views views() const {
    if (params_.tta == "flip_shift") return learn::Views::flip_shift;
    return params_.tta == "flip" ? learn::Views::flip : learn::Views::plain;
  }

  void leave_out_duplicates(StageContext& context, EvaluationReport& report) const {
    std::filesystem::path list = params_.duplicates;
    if (list.empty()) {
      list = *context.input("data") / learn::kDuplicatesFile;
      if (params_.split == "train" || !std::filesystem::exists(list)) return;
    }
    report.leave_out(learn::read_duplicates(list, params_.split));
    const auto& rest = *report.without_duplicates();
    context.metric("duplicates", 0, static_cast<double>(rest.duplicates));
    const std::optional<double> accuracy = rest.accuracy();
    if (!accuracy) {
      context.warn("every image has a near-duplicate in the training split");
      return;
    }
    context.metric("accuracy_without_duplicates", 0, *accuracy);
    context.info(fmt::format("accuracy {:.4f} without {} of training images", *accuracy,
                             learn::counted(rest.duplicates, "near-duplicate")));
  }

  void publish(StageContext& context, const learn::ModelInfo& info,
               const EvaluationReport& report) const {
    const learn::Interval interval = report.interval();
    const learn::MacroMetrics macro = report.macro();
    const std::pair<const char*, double> figures[] = {
        {"loss", report.loss()},
        {"accuracy", report.accuracy()},
        {"accuracy_low", interval.low},
        {"accuracy_high", interval.high},
        {"top5_accuracy", report.top5_accuracy()},
        {"topk_accuracy", report.topk_accuracy()},
        {"macro_precision", macro.precision},
        {"macro_recall", macro.recall},
        {"macro_f1", macro.f1},
        {"calibration_error", report.calibration().expected_error()}};
    for (const auto& [name, value] : figures) context.metric(name, 0, value);
    for (std::size_t label = 0; label < info.classes.size(); ++label) {
      const auto images = report.class_images(label);
      if (images == 0) continue;  // there is no accuracy to tell
      context.metric(
          "class_accuracy/" + info.classes[label], 0,
          static_cast<double>(report.class_correct(label)) / static_cast<double>(images));
    }
    report.write(context.output("report"));
    context.info(
        fmt::format("accuracy {:.4f} (95 %: {:.4f} to {:.4f}) on {}, loss {:.4f}, macro F1 {:.4f}, "
                    "calibration error {:.4f}",
                    report.accuracy(), interval.low, interval.high,
                    learn::counted(report.images(), params_.split + " image"), report.loss(),
                    macro.f1, report.calibration().expected_error()));
  }

  void draw(StageContext& context, learn::Model& model, const learn::ModelInfo& info,
            const learn::SplitView& split, const EvaluationReport& report) const {
    const std::filesystem::path& out = context.output("report");
    const std::string title =
        fmt::format("accuracy {:.4f} on {}", report.accuracy(),
                    learn::counted(report.images(), params_.split + " image"));
    vision::draw_confusion_matrix(out / "confusion.png", info.classes, report.counts(), title);
    draw_calibration(out / "calibration.png", report);
    draw_mistakes(out / "mistakes.png", report, info, split,
                  static_cast<std::size_t>(params_.mistakes));
    draw_saliency(out / "saliency.png", report, info, split, model,
                  static_cast<std::size_t>(params_.saliency));
  }

  EvaluateParams params_;
};

}  // namespace
}  // namespace cifarpipe

CIFARPIPE_PLUGIN("evaluate", "1.1.0", [](cifarpipe::StageRegistry& registry) {
  registry.add<cifarpipe::EvaluateStage>();
})
