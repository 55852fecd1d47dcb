#include "stages/preprocess/preprocess_stage.hpp"

#include "stages/preprocess/conversion.hpp"
#include "stages/preprocess/perceptual_hash.hpp"

namespace cifarpipe::preprocess {
namespace {

Condition is_empty_list(const char* field, bool empty) {
  return {
      field, empty ? Condition::Op::equal : Condition::Op::not_equal, std::vector<double>{}, {}};
}

}  // namespace

Schema<PreprocessParams> PreprocessParams::schema() {
  using P = PreprocessParams;
  return Schema<P>{}
      .field("labels", &P::labels, "Which of CIFAR-100's labels: 100 fine or 20 coarse classes.")
      .one_of({"fine", "coarse"})
      .field("layout", &P::layout,
             "Axes of NumPy images: channels last (NHWC), second (NCHW), or told by the shape.")
      .one_of({"auto", "NHWC", "NCHW"})
      .field(
          "size", &P::size,
          "[side] or [height, width]: images are fitted in with their proportions kept, on grey; "
          "[] = all have one size already.")
      .range(1, 16384)
      .unit("pixels")
      .field("color", &P::color,
             "Channels of the dataset: \"rgb\", \"grey\", or \"auto\": rgb, but grey for NumPy "
             "images of one channel.")
      .one_of({"auto", "rgb", "grey"})
      .field("on_bad_image", &P::on_bad_image,
             "When image files are damaged: an error that lists them, or \"skip\" leaves them out.")
      .one_of({"error", "skip"})
      .field(
          "test", &P::test,
          "Share of the training images that becomes the test split where the data has none, the "
          "same of every class, chosen by the seed.")
      .range(0, 0.9)
      .field(
          "validation", &P::validation,
          "Share of the training images (left by test) that becomes a validation split, the same "
          "of every class, chosen by the seed.")
      .range(0, 0.9)
      .field("normalization", &P::normalization,
             "Mean and standard deviation of the channels: the reference's for CIFAR-10, computed "
             "from the training split, or given below.")
      .one_of({"reference", "computed", "given"})
      .field("mean", &P::mean, "For normalization = \"given\": a number a channel, on [0, 1].")
      .range(0, 1)
      .field("std", &P::std, "For normalization = \"given\": a number a channel, on [0, 1].")
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
      .rule({}, {length_of("size") <= 2}, "size = {size} is neither [side] nor [height, width]")
      .rule({Param("normalization") == "given"},
            {is_empty_list("mean", false), is_empty_list("std", false)},
            "normalization = \"given\" needs mean and std, a number for each channel")
      .rule({Param("normalization") != "given"},
            {is_empty_list("mean", true), is_empty_list("std", true)},
            "mean and std count only with normalization = \"given\"; it is {normalization}");
}

StageDescription PreprocessStage::describe() {
  StageDescription d;
  d.name = "preprocess";
  d.summary =
      "Makes one dataset of folders of images, NumPy arrays or CIFAR's binary files; finds "
      "duplicates.";
  d.revision = 2;
  d.uses_seed = true;
  d.inputs = {{"files", "files/raw", "A folder with one data set somewhere in it.", false}};
  d.outputs = {
      {"dataset", "dataset/images", "Images, labels, class names, splits, mean and std.", false},
      {"preview", "report/preview",
       "contact-sheet.png, summary.json, duplicates.png, duplicates.json; of image files also "
       "files.csv, and bad_images.csv.",
       false}};
  d.metrics = {{"bad_images", MetricInfo::Goal::minimize,
                "Image files that could not be used, with on_bad_image = \"skip\"."},
               {"duplicates/*", MetricInfo::Goal::none,
                "Images of a split that stand, or nearly, in another: duplicates/test_in_train."}};
  return d;
}

void PreprocessStage::run(StageContext& context) {
  Conversion(params_, context).run();
}

}  // namespace cifarpipe::preprocess
