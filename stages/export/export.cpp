// The stage `export`: a model in the formats of other programs, each read again and compared, with
// a card. Stage's thread.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pipeline/digest.hpp"
#include "pipeline/stage.hpp"
#include "plugins/plugin.hpp"
#include "stages/export/card.hpp"
#include "stages/export/check.hpp"
#include "stages/export/judge.hpp"
#include "stages/export/onnx_graph.hpp"
#include "stages/export/quantise.hpp"
#include "stages/export/script_module.hpp"
#include "stages/export/torch_save.hpp"
#include "stages/learn/compute_scope.hpp"
#include "stages/learn/counted.hpp"
#include "stages/learn/tensor_file.hpp"

namespace cifarpipe {
namespace {

struct ExportParams {
  std::vector<std::string> formats = {"onnx", "onnx_int8", "torchscript", "safetensors", "pth"};
  std::string normalization = "inside";
  int opset = 13;
  int images = 64;
  int calibration_images = 512;
  double int8_tolerance = 0.02;
  double tolerance = 1e-4;

  static Schema<ExportParams> schema() {
    using P = ExportParams;
    return Schema<P>{}
        .field("formats", &P::formats, "The files to write.")
        .one_of({"onnx", "onnx_int8", "torchscript", "safetensors", "pth"})
        .field("normalization", &P::normalization,
               "inside = the ONNX and TorchScript models take images on [0, 1] and normalise them "
               "themselves; outside = they take normalised images.")
        .one_of({"inside", "outside"})
        .field("opset", &P::opset, "Version of ONNX's operations.")
        .range(13, 17)
        .field("images", &P::images, "Real images on which each file must agree with the model.")
        .range(1, 10000)
        .unit("images")
        .field("calibration_images", &P::calibration_images,
               "Images (of the validation split, else of the training split) that the ranges of "
               "the 8-bit model come from.")
        .range(1, 100000)
        .unit("images")
        .field(
            "int8_tolerance", &P::int8_tolerance,
            "Largest loss of accuracy in 8 bits, as a fraction of the images that it is measured "
            "on; more is an error where chance does not explain it (95 %), else a warning.")
        .range(0, 1)
        .field(
            "tolerance", &P::tolerance,
            "Largest difference of two logits that counts as agreement, as a part of the largest "
            "absolute value of the image's logits, or of 1 where that is larger.")
        .range(0, 1)
        .rule({}, {length_of("formats") > 0}, "there is nothing to export: 'formats' is empty")
        .rule({}, {is_distinct("formats") == true}, "'formats' = {formats} has one of them twice");
  }
};

/// A value in the middle of two steps may be rounded either way, and moves what comes after it.
constexpr double kInt8Tolerance = 0.1;

/// A name's file.
std::string file_of(const std::string& format) {
  if (format == "onnx") return "model.onnx";
  if (format == "onnx_int8") return "model_int8.onnx";
  if (format == "torchscript") return "model.pt";
  if (format == "safetensors") return "model.safetensors";
  return "model.pth";
}

class ExportStage : public Stage {
 public:
  using Params = ExportParams;

  explicit ExportStage(ExportParams params) : params_(std::move(params)) {}

  static StageDescription describe() {
    using Goal = MetricInfo::Goal;
    StageDescription d;
    d.name = "export";
    d.summary =
        "Writes a model for other programs: ONNX, 8-bit ONNX, TorchScript, safetensors, "
        "pth; each is checked.";
    d.revision = 3;
    d.numerics.threads = true;
    d.inputs = {{"model", "model/classifier", "The weights."},
                {"data", "dataset/images",
                 "Images of the model's size, with its classes or those that it groups: to check, "
                 "to calibrate and to measure."}};
    d.outputs = {{"export", "export/files", "The files and their card, README.md."}};
    d.metrics = {
        {"accuracy", Goal::maximize, "Accuracy of the model on the test split."},
        {"loss", Goal::minimize, "Its mean cross entropy there."},
        {"val_accuracy", Goal::maximize, "Its accuracy on the validation split."},
        {"int8_accuracy", Goal::maximize,
         "Accuracy of the 8-bit model on the test split; without one on the validation split, else "
         "on the training split (the fact int8_split)."},
        {"int8_loss", Goal::minimize, "Its mean cross entropy there."},
        {"difference/*", Goal::none,
         "Largest difference of a file's logits from the model's (in 8 bits: from those that "
         "int8_accuracy is measured with), as a part of the largest absolute value of the image's "
         "logits, or of 1 where that is larger."}};
    return d;
  }

  void run(StageContext& context) override;

 private:
  /// What all steps use.
  struct Work {
    StageContext& context;
    const std::filesystem::path& model_dir;
    const learn::DatasetReader& data;
    const learn::ModelInfo& info;
    const learn::Model& model;
    const learn::BatchMaker& maker;
    std::vector<std::int32_t> classes;  ///< The model's class of each of the dataset's.
    CardFacts facts;
  };

  void measure(Work& work) const;
  SplitFigures judge(const Work& work, const std::string& split, const Judged& model) const;
  Reference make_reference(const Work& work) const;
  void write(Work& work, const std::string& format, const Reference& reference) const;
  double write_int8(Work& work, const std::filesystem::path& file,
                    const Reference& reference) const;
  void measure_int8(Work& work, const std::string& name, const Quantiser& quantiser) const;

  ExportParams params_;
};

/// `count` rows of a split, evenly over all of it.
std::vector<std::int32_t> spread(std::int64_t all, std::int64_t count) {
  std::vector<std::int32_t> rows(static_cast<std::size_t>(std::min(all, count)));
  const auto chosen = static_cast<std::int64_t>(rows.size());
  for (std::int64_t i = 0; i < chosen; ++i) {
    rows[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(i * all / chosen);
  }
  return rows;
}

/// The first of these splits that has images.
std::string first_split(const learn::DatasetReader& data, const std::vector<std::string>& wanted) {
  for (const std::string& name : wanted) {
    if (data.has(name) && data.split(name).count > 0) return name;
  }
  throw Error("the dataset has no images");
}

/// What each model that runs by itself takes and gives, for whoever logs or serves it.
std::string signature_text(const learn::ModelInfo& info) {
  const auto port = [](const char* name, std::vector<std::int64_t> shape) {
    return nlohmann::ordered_json{{"name", name}, {"dtype", "float32"}, {"shape", shape}};
  };
  const auto classes = static_cast<std::int64_t>(info.classes.size());
  using Json = nlohmann::ordered_json;
  Json inputs = Json::array({port(kInputName, {-1, info.channels, info.height, info.width})});
  Json outputs = Json::array({port(kOutputName, {-1, classes})});
  return Json{{"inputs", std::move(inputs)}, {"outputs", std::move(outputs)}}.dump();
}

void ExportStage::run(StageContext& context) {
  const std::filesystem::path& model_dir = *context.input("model");
  const learn::DatasetReader data(*context.input("data"));
  const learn::ModelInfo info = learn::read_model_info(model_dir);
  const learn::ModelShape shape{info.height, info.width, info.channels,
                                static_cast<std::int64_t>(info.classes.size())};
  const auto model = learn::make_model(info.architecture, shape);
  learn::load_weights(learn::weights_file(model_dir), *model);
  learn::require_finite_weights(*model);
  const learn::FlushDenormalScope flush_denormals;
  const learn::MemoryReuseScope memory;
  const learn::BatchMaker maker({info.height, info.width, info.channels, info.mean, info.std});
  Work work{context, model_dir, data, info, *model, maker, learn::fit_labels(info, data.info()),
            {}};
  work.facts.model = info;
  work.facts.multiply_adds = model->network().multiply_adds();
  work.facts.data = data.info();
  for (const auto name : learn::kSplitNames) {
    if (data.has(std::string(name))) {
      work.facts.splits.emplace_back(name, data.split(std::string(name)).count);
    }
  }
  measure(work);
  const Reference reference = make_reference(work);
  work.facts.checked_split = reference.split;
  work.facts.checked_images = static_cast<std::int64_t>(reference.positions.size());
  work.facts.tolerance = params_.tolerance;
  work.facts.opset = params_.opset;
  work.facts.normalised_inside = params_.normalization == "inside";
  for (const std::string& format : params_.formats) {
    context.throw_if_stopped();
    write(work, format, reference);
  }
  context.record("signature", signature_text(info));
  learn::write_text(context.output("export") / "README.md", card_text(work.facts));
}

SplitFigures ExportStage::judge(const Work& work, const std::string& split,
                                const Judged& model) const {
  return judge_split(work.data, *work.context.input("data"), split, work.classes, work.maker, model,
                     [&](std::int64_t done, std::int64_t all) {
                       work.context.throw_if_stopped();
                       work.context.progress(
                           {static_cast<double>(done), static_cast<double>(all), "images", split});
                     });
}

/// On all splits that were not learned from; where there are none, the figures on the training
/// split are what the 8-bit model's stand beside.
void ExportStage::measure(Work& work) const {
  const Judged checkpoint{"the checkpoint",
                          [&](const at::Tensor& images) { return answers(work.model, images); }};
  for (const std::string name : {"validation", "test", "train"}) {
    if (!work.data.has(name) || work.data.split(name).count == 0) continue;
    if (name == "train" && !work.facts.figures.empty()) continue;
    const SplitFigures figures = judge(work, name, checkpoint);
    work.facts.figures.push_back(figures);
    if (name == "train") continue;
    work.context.metric(name == "test" ? "accuracy" : "val_accuracy", 0, accuracy(figures));
    if (name == "test") work.context.metric("loss", 0, figures.loss);
  }
}

Reference ExportStage::make_reference(const Work& work) const {
  Reference reference;
  reference.split = first_split(work.data, {"test", "validation", "train"});
  const learn::SplitView& split = work.data.split(reference.split);
  const auto rows = spread(split.count, params_.images);
  reference.normalised = work.maker.plain(split, rows);
  reference.images = reference.normalised;
  if (params_.normalization == "inside") {
    const auto channels = static_cast<std::size_t>(work.info.channels);
    const learn::BatchMaker raw({work.info.height, work.info.width, work.info.channels,
                                 std::vector<double>(channels, 0.0),
                                 std::vector<double>(channels, 1.0)});
    reference.images = raw.plain(split, rows);
  }
  reference.logits = answers(work.model, reference.normalised);
  for (const auto row : rows) {
    reference.positions.push_back(split.index[static_cast<std::size_t>(row)]);
  }
  reference.tolerance = params_.tolerance;
  reference.threads = work.context.numerics().threads;
  return reference;
}

void ExportStage::write(Work& work, const std::string& format, const Reference& reference) const {
  const learn::Network& network = work.model.network();
  const std::filesystem::path file = work.context.output("export") / file_of(format);
  const bool inside = params_.normalization == "inside";
  double difference = 0;
  if (format == "onnx_int8") {
    difference = write_int8(work, file, reference);
  } else if (format == "onnx") {
    const learn::SafetensorsReader weights(learn::weights_file(work.model_dir));
    learn::write_text(file,
                      make_onnx(network, weights.tensors(), work.info, {params_.opset, inside}));
    require_valid_onnx(file);
    difference = check_onnx(file, reference);
  } else if (format == "torchscript") {
    write_script_module(file, work.model, work.info, inside);
    difference = check_script(file, reference);
  } else {
    const learn::SafetensorsReader weights(learn::weights_file(work.model_dir));
    std::vector<std::pair<std::string, learn::TensorBytes>> tensors;
    for (const auto& spec : network.tensors()) {
      tensors.emplace_back(spec.name, weights.at(spec.name));
    }
    if (format == "pth") {
      write_torch_file(file, tensors);
    } else {
      learn::write_safetensors(file, tensors,
                               {{"format", "pt"}, {"architecture", work.info.architecture}});
    }
    difference = check_weights(file, reference, learn::Model(network, true));
  }
  const auto bytes = std::filesystem::file_size(file);
  work.facts.files.push_back({format, file.filename().string(), bytes, sha256_file(file)});
  work.context.metric("difference/" + format, 0, difference);
  work.context.info(
      fmt::format("{}: {} bytes, differs{} by {:.1e} of an image's largest logit (or of 1) at most",
                  file.filename().string(), bytes,
                  format == "onnx_int8" ? " from what was measured" : "", difference));
}

/// Checked against the quantiser's own answers, not the checkpoint's: what it loses is another
/// matter.
double ExportStage::write_int8(Work& work, const std::filesystem::path& file,
                               const Reference& reference) const {
  constexpr std::size_t kBatch = 128;
  const std::string name = first_split(work.data, {"validation", "train", "test"});
  const learn::SplitView& split = work.data.split(name);
  const auto rows = spread(split.count, params_.calibration_images);
  Quantiser quantiser(work.model);
  for (std::size_t at = 0; at < rows.size(); at += kBatch) {
    work.context.throw_if_stopped();
    const std::span<const std::int32_t> batch(rows.data() + at, std::min(kBatch, rows.size() - at));
    quantiser.calibrate(work.maker.plain(split, batch));
  }
  work.facts.calibration_split = name;
  work.facts.calibration_images = static_cast<std::int64_t>(rows.size());
  const Quantised& quantised = quantiser.finish();
  const learn::SafetensorsReader weights(learn::weights_file(work.model_dir));
  learn::write_text(file,
                    make_onnx(work.model.network(), weights.tensors(), work.info,
                              {params_.opset, params_.normalization == "inside"}, &quantised));
  require_valid_onnx(file);
  measure_int8(work, file.filename().string(), quantiser);
  Reference rounded = reference;
  rounded.logits = in_batches(reference.normalised,
                              [&](const at::Tensor& batch) { return quantiser.forward(batch); });
  rounded.tolerance = work.facts.int8_tolerance = kInt8Tolerance;
  return check_onnx_int8(file, rounded);
}

/// The 8-bit model beside the checkpoint, on the same images: `figures` ends with their split.
void ExportStage::measure_int8(Work& work, const std::string& name,
                               const Quantiser& quantiser) const {
  const SplitFigures& before = work.facts.figures.back();
  const SplitFigures figures =
      judge(work, before.split,
            {name, [&](const at::Tensor& images) { return quantiser.forward(images); }});
  work.facts.int8 = figures;
  work.context.record("int8_split", figures.split);
  work.context.metric("int8_accuracy", 0, accuracy(figures));
  work.context.metric("int8_loss", 0, figures.loss);
  const std::string both = fmt::format(
      "accuracy {:.4f} in 8 bits, {:.4f} in 32, on the same {} of the split {}", accuracy(figures),
      accuracy(before), learn::counted(figures.images, "image"), figures.split);
  const AccuracyLoss loss = accuracy_loss(before, figures);
  if (loss.whole <= params_.int8_tolerance) return work.context.info(name + ": " + both);
  const std::string much = fmt::format("{} loses more than int8_tolerance = {:g}: {}", name,
                                       params_.int8_tolerance, both);
  if (loss.least <= params_.int8_tolerance) {
    return work.context.warn(much + "; on so few it may be chance");
  }
  throw Error(
      fmt::format("{}; give it more calibration_images (it had {}), leave \"onnx_int8\" out of "
                  "formats, or raise int8_tolerance",
                  much, work.facts.calibration_images));
}

}  // namespace
}  // namespace cifarpipe

CIFARPIPE_PLUGIN("export", "1.0.0",
                 [](cifarpipe::StageRegistry& registry) { registry.add<cifarpipe::ExportStage>(); })
