#include "stages/preprocess/preprocess_stage.hpp"

#include <fmt/format.h>

#include "stages/learn/dataset_file.hpp"
#include "stages/preprocess/channel_statistics.hpp"
#include "stages/preprocess/cifar_layout.hpp"
#include "stages/preprocess/duplicates_report.hpp"
#include "stages/preprocess/perceptual_hash.hpp"
#include "stages/preprocess/preview.hpp"
#include "stages/preprocess/records.hpp"
#include "stages/preprocess/validation.hpp"

namespace fs = std::filesystem;

namespace cifarpipe::preprocess {
namespace {

// The reference program's, to the last digit: figures can be compared only with the same ones.
const std::vector<double> kReferenceMean = {0.4914, 0.4822, 0.4465};
const std::vector<double> kReferenceStd = {0.2023, 0.1994, 0.2010};

Condition is_empty_list(const char* field, bool empty) {
  return {
      field, empty ? Condition::Op::equal : Condition::Op::not_equal, std::vector<double>{}, {}};
}

void check_given(const PreprocessParams& params) {
  if (params.normalization != "given") return;
  if (params.mean.size() != kChannels || params.std.size() != kChannels) {
    throw Error(fmt::format("mean and std need {} numbers each (red, green, blue); there are {} "
                            "and {}",
                            kChannels, params.mean.size(), params.std.size()),
                ErrorKind::usage);
  }
}

std::int64_t limited(std::int64_t count, std::int64_t limit) {
  return limit > 0 ? std::min(count, limit) : count;
}

/// One job, from files to dataset and preview.
class Conversion {
 public:
  Conversion(const PreprocessParams& params, StageContext& context)
      : params_(params),
        context_(context),
        layout_(find_cifar(*context.input("files"), params.labels == "coarse")),
        writer_(context.output("dataset"), info(layout_)),
        preview_(layout_),
        pixels_(static_cast<std::size_t>(kPixelBytes)) {
    const std::int64_t train = count_records(layout_, layout_.train);
    const std::int64_t test = count_records(layout_, layout_.test);
    total_ = limited(train, params.limit_train) + limited(test, params.limit_test);
  }

  void run() {
    const std::vector<bool> held_out = validation_flags();
    writer_.begin_split("train");
    for_each_record(layout_, layout_.train, params_.limit_train, [&](const Record& record) {
      const bool validation =
          !held_out.empty() && held_out[static_cast<std::size_t>(record.position)];
      if (!validation) statistics_.add(record.planes);
      take(validation ? "validation" : "train", record);
    });
    writer_.begin_split("test");
    for_each_record(layout_, layout_.test, params_.limit_test,
                    [&](const Record& record) { take("test", record); });
    set_normalisation();
    writer_.finish();
    preview_.write(context_.output("preview"), mean_, std_, params_.normalization);
    if (params_.duplicate_distance >= 0) {
      report_duplicates(context_, static_cast<int>(params_.duplicate_distance));
    }
    context_.info(summary());
  }

 private:
  static learn::DatasetInfo info(const CifarLayout& layout) {
    learn::DatasetInfo info;
    info.height = kSide;
    info.width = kSide;
    info.channels = kChannels;
    info.classes = layout.classes;
    return info;
  }

  /// Empty when there is no validation split.
  std::vector<bool> validation_flags() {
    if (params_.validation <= 0) return {};
    writer_.begin_split("validation");
    std::vector<std::uint8_t> labels;
    for_each_record(layout_, layout_.train, params_.limit_train, [&](const Record& record) {
      if (record.position % 1024 == 0) context_.throw_if_stopped();
      labels.push_back(static_cast<std::uint8_t>(record.label));
    });
    return choose_validation(labels, static_cast<int>(layout_.classes.size()), params_.validation,
                             context_.seed());
  }

  void take(const char* split, const Record& record) {
    interleave(record.planes, pixels_);
    writer_.add(split, pixels_, record.label, static_cast<std::int32_t>(record.position));
    preview_.take(split, record.label, pixels_);
    if (++done_ % 256 == 0) {
      context_.throw_if_stopped();
      context_.progress({static_cast<double>(done_), static_cast<double>(total_), "images", ""});
    }
  }

  void set_normalisation() {
    mean_ = kReferenceMean;
    std_ = kReferenceStd;
    if (params_.normalization == "given") {
      mean_ = params_.mean;
      std_ = params_.std;
    } else if (params_.normalization == "computed") {
      mean_ = statistics_.mean();
      std_ = statistics_.deviation();
      for (int c = 0; c < kChannels; ++c) {
        if (std_[static_cast<std::size_t>(c)] > 0) continue;
        throw Error(
            fmt::format("normalization = \"computed\" is impossible: channel {} has the "
                        "same value in every training image",
                        c));
      }
    }
    writer_.set_normalisation(mean_, std_);
  }

  std::string summary() const {
    const std::string validation =
        params_.validation > 0 ? fmt::format(", {} validation", writer_.count("validation")) : "";
    return fmt::format("{} training{} and {} test images in {} classes{}", writer_.count("train"),
                       validation, writer_.count("test"), layout_.classes.size(),
                       layout_.official_classes ? " (CIFAR-10)" : "");
  }

  const PreprocessParams& params_;
  StageContext& context_;
  CifarLayout layout_;
  learn::DatasetWriter writer_;
  Preview preview_;
  ChannelStatistics statistics_;
  std::vector<std::uint8_t> pixels_;
  std::vector<double> mean_;
  std::vector<double> std_;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
};

}  // namespace

Schema<PreprocessParams> PreprocessParams::schema() {
  using P = PreprocessParams;
  return Schema<P>{}
      .field("labels", &P::labels, "Which of CIFAR-100's labels: 100 fine or 20 coarse classes.")
      .one_of({"fine", "coarse"})
      .field("validation", &P::validation,
             "Share of the training images that becomes a validation split, the same of every "
             "class, chosen by the seed.")
      .range(0, 0.9)
      .field("normalization", &P::normalization,
             "Mean and standard deviation of the channels: the reference's for CIFAR-10, computed "
             "from the training split, or given below.")
      .one_of({"reference", "computed", "given"})
      .field("mean", &P::mean, "For normalization = \"given\": red, green, blue, on [0, 1].")
      .range(0, 1)
      .field("std", &P::std, "For normalization = \"given\": red, green, blue, on [0, 1].")
      .range(1e-6, 10)
      .field("limit_train", &P::limit_train, "Take only the first training images; 0 = all.")
      .at_least(0)
      .unit("images")
      .field("limit_test", &P::limit_test, "Take only the first test images; 0 = all.")
      .at_least(0)
      .unit("images")
      .field("duplicate_distance", &P::duplicate_distance,
             "Images whose perceptual hashes differ in at most so many of 468 bits are listed as "
             "near-duplicates; 0 = equal hashes, -1 = no search.")
      .range(-1, kHashBits)
      .unit("bits")
      .rule({Param("normalization") == "given"},
            {is_empty_list("mean", false), is_empty_list("std", false)},
            "normalization = \"given\" needs mean and std, three numbers each")
      .rule({Param("normalization") != "given"},
            {is_empty_list("mean", true), is_empty_list("std", true)},
            "mean and std count only with normalization = \"given\"; it is \"{normalization}\"");
}

StageDescription PreprocessStage::describe() {
  StageDescription d;
  d.name = "preprocess";
  d.summary = "Makes one dataset of CIFAR-10's or CIFAR-100's binary files, with a contact sheet.";
  d.revision = 2;
  d.uses_seed = true;
  d.inputs = {{"files", "files/raw", "A folder with the binary files somewhere in it.", false}};
  d.outputs = {
      {"dataset", "dataset/images", "Images, labels, class names, splits, mean and std.", false},
      {"preview", "report/preview",
       "contact-sheet.png and summary.json; duplicates.png and duplicates.json.", false}};
  d.metrics = {{"duplicates/*", MetricInfo::Goal::none,
                "Images of a split that stand, or nearly, in another: duplicates/test_in_train."}};
  return d;
}

void PreprocessStage::run(StageContext& context) {
  check_given(params_);
  Conversion(params_, context).run();
}

}  // namespace cifarpipe::preprocess
