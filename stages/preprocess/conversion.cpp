#include "stages/preprocess/conversion.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "pipeline/machine.hpp"
#include "stages/preprocess/csv.hpp"
#include "stages/preprocess/duplicates_report.hpp"
#include "stages/preprocess/find_source.hpp"
#include "stages/preprocess/wording.hpp"

namespace cifarpipe::preprocess {
namespace {

// The reference program's, to the last digit: figures can be compared only with the same ones.
const std::vector<double> kReferenceMean = {0.4914, 0.4822, 0.4465};
const std::vector<double> kReferenceStd = {0.2023, 0.1994, 0.2010};

constexpr int kMostThreads = 16;  // More of them wait for the one that writes.

int channels_for(const PreprocessParams& params, const SourceInfo& info) {
  return params.color == "auto" ? info.channels : params.color == "grey" ? 1 : 3;
}

/// As a person would say it, where they are not CIFAR's.
std::string shape_text(const ImageShape& shape) {
  const bool usual = shape.width == 32 && shape.height == 32 && shape.channels == 3;
  if (usual) return "";
  return fmt::format(", {} x {} pixels{}{}", shape.height, shape.width,
                     shape.height == shape.width ? "" : " (height x width)",
                     shape.channels == 1 ? ", grey" : "");
}

}  // namespace

Conversion::Conversion(const PreprocessParams& params, StageContext& context)
    : params_(params),
      context_(context),
      source_(find_source(*context.input("files"), {params.labels == "coarse", params.layout})),
      plan_(plan_splits(*source_,
                        {params.test, params.validation, params.limit_train, params.limit_test},
                        context.seed())),
      bad_(*source_, context),
      shape_(chosen_shape()),
      writer_(context.output("dataset"), info()),
      preview_(source_->info().layout, info()),
      statistics_(shape_.channels) {
  normalisation_can_be_met();
}

void Conversion::run() {
  for (const std::string& remark : source_->info().remarks) context_.warn(remark);
  read_all();
  bad_.judge(plan_.items, params_.on_bad_image == "skip");
  const auto [mean, std] = normalisation();
  writer_.set_normalisation(mean, std);
  writer_.finish();
  preview_.write(context_.output("preview"), mean, std, params_.normalization);
  list_files();
  if (params_.duplicate_distance >= 0) {
    report_duplicates(context_, static_cast<int>(params_.duplicate_distance));
  }
  context_.info(summary());
}

/// `size`, or that of the first image.
ImageShape Conversion::chosen_shape() const {
  const int channels = channels_for(params_, source_->info());
  if (!params_.size.empty()) {
    return {static_cast<int>(params_.size.back()), static_cast<int>(params_.size.front()),
            channels};
  }
  // Without any image that can be used there will be an error, whatever the shape.
  return first_shape(*source_, plan_.items, channels).value_or(ImageShape{1, 1, channels});
}

learn::DatasetInfo Conversion::info() const {
  learn::DatasetInfo info;
  info.height = shape_.height;
  info.width = shape_.width;
  info.channels = shape_.channels;
  info.classes = source_->info().classes;
  return info;
}

void Conversion::read_all() {
  for (std::size_t t = 0; t < learn::kSplitNames.size(); ++t) {
    if (plan_.present[t]) writer_.begin_split(learn::kSplitNames[t]);
  }
  const int threads = std::clamp(detect_machine(false).cores, 1, kMostThreads);
  read_images(*source_, plan_.items, shape_, !params_.size.empty(), threads,
              [&](const Item& item, ReadImage read) { take(item, std::move(read)); });
}

void Conversion::take(const Item& item, ReadImage read) {
  context_.throw_if_stopped();
  if (done_++ % 64 == 0) {
    context_.progress(
        {static_cast<double>(done_), static_cast<double>(plan_.items.size()), "images", ""});
  }
  if (!read.bad.empty()) return bad_.add(item, read.bad);
  const std::string_view split = learn::kSplitNames[item.target];
  const SourceSplit& from = source_->splits()[item.split];
  const std::int32_t label = from.labels[item.image];
  writer_.add(split, read.image.pixels, label, from.index[item.image]);
  preview_.take(split, label, read.image);
  if (split == "train") statistics_.add(read.image.pixels);
}

/// What needs no image, before any is read.
void Conversion::normalisation_can_be_met() const {
  const auto channels = static_cast<std::size_t>(shape_.channels);
  if (params_.normalization == "given" &&
      (params_.mean.size() != channels || params_.std.size() != channels)) {
    throw Error(fmt::format("mean and std need {} each ({}); there are {} and {}",
                            channels == 1 ? "1 number" : "3 numbers",
                            channels == 1 ? "grey" : "red, green, blue", params_.mean.size(),
                            params_.std.size()),
                ErrorKind::usage);
  }
  if (params_.normalization == "reference" && channels != kReferenceMean.size()) {
    throw Error(
        "normalization = \"reference\" has numbers for red, green and blue, but these images are "
        "grey: set normalization = \"computed\", or \"given\" with one number for mean and std",
        ErrorKind::usage);
  }
}

Conversion::Normalisation Conversion::normalisation() const {
  if (params_.normalization == "given") return {params_.mean, params_.std};
  if (params_.normalization == "reference") return {kReferenceMean, kReferenceStd};
  Normalisation computed{statistics_.mean(), statistics_.deviation()};
  for (std::size_t c = 0; c < computed.std.size(); ++c) {
    if (computed.std[c] > 0) continue;
    throw Error(
        fmt::format("normalization = \"computed\" is impossible: channel {} has the "
                    "same value in every training image",
                    c));
  }
  return computed;
}

/// Which file is which number, and which were left out.
void Conversion::list_files() const {
  const auto& dir = context_.output("preview");
  if (params_.on_bad_image == "skip") {
    context_.metric("bad_images", 0, static_cast<double>(bad_.count()));
    if (bad_.count() > 0) bad_.write(dir / "bad_images.csv");
  }
  if (source_->file_of(0, 0).empty()) return;
  std::string text = "split,index,file\n";
  for (const Item& item : plan_.items) {
    text += fmt::format("{},{},{}\n", learn::kSplitNames[item.target],
                        source_->splits()[item.split].index[item.image],
                        csv_field(source_->file_of(item.split, item.image)));
  }
  learn::write_text(dir / "files.csv", text);
}

std::string Conversion::summary() const {
  std::string text = fmt::format("{} training", writer_.count("train"));
  std::vector<std::string> others;
  if (plan_.present[1]) others.push_back(fmt::format("{} validation", writer_.count("validation")));
  if (plan_.present[2]) others.push_back(fmt::format("{} test", writer_.count("test")));
  for (std::size_t i = 0; i < others.size(); ++i) {
    text += (i + 1 == others.size() ? " and " : ", ") + others[i];
  }
  const bool one = others.empty() && writer_.count("train") == 1;
  return fmt::format("{} {} in {}{}{}", text, one ? "image" : "images",
                     counted(source_->info().classes.size(), "class"),
                     source_->info().official_classes ? " (CIFAR-10)" : "", shape_text(shape_));
}

}  // namespace cifarpipe::preprocess
