#include "stages/learn/evaluation.hpp"

#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "stages/evaluate/report.hpp"
#include "stages/learn/duplicate_list.hpp"
#include "stages/learn/saliency.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(evaluation)

BOOST_AUTO_TEST_CASE(judges_logits) {
  const std::vector<float> logits = {1, 3, 2, 3};
  const Judgement j = judge(logits, 2);
  const double sum = std::exp(1) + 2 * std::exp(3) + std::exp(2);
  BOOST_TEST(j.predicted == 1);  // the first of equal ones
  BOOST_TEST(j.label_rank == 2);
  BOOST_TEST(std::abs(j.confidence - std::exp(3) / sum) < 1e-12);
  BOOST_TEST(std::abs(j.label_probability - std::exp(2) / sum) < 1e-12);
  BOOST_TEST(std::abs(j.loss + std::log(std::exp(2) / sum)) < 1e-12);
  // Of equal ones the first is the answer, so that the likeliest one is right as often as it is.
  BOOST_TEST(judge(logits, 1).label_rank == 0);
  BOOST_TEST(judge(logits, 3).label_rank == 1);
  const std::vector<float> broken(4, std::numeric_limits<float>::quiet_NaN());
  BOOST_TEST(judge(broken, 2).label_rank == 3);  // no answer is right, however many count
  BOOST_TEST(std::abs(judge(std::vector<float>{1000, 0}, 1).loss - 1000) < 1e-9);  // no overflow
  BOOST_TEST(judge(logits, 1).finite);
  BOOST_TEST(!judge(std::vector<float>{1, -INFINITY, 0}, 0).finite);  // Though its loss is.
}

BOOST_AUTO_TEST_CASE(a_report_counts_and_writes) {
  TempFolder temp;
  ModelInfo info;
  info.architecture = "linear";
  info.classes = {"cat", "a,b", "dog"};
  info.parameters = 12;
  EvaluationReport report({"test", "none", 2, 10}, info);
  report.add(judge(std::vector<float>{2, 1, 0}, 0), 10);
  report.add(judge(std::vector<float>{2, 1, 0}, 1), 11);
  report.add(judge(std::vector<float>{0, 1, 0}, 1), 12);
  BOOST_TEST(std::abs(report.accuracy() - 2.0 / 3) < 1e-12);
  BOOST_TEST(report.top5_accuracy() == 1);
  BOOST_TEST(report.class_images(1) == 2);
  BOOST_TEST(report.class_correct(1) == 1);
  report.write(temp.path());
  BOOST_TEST(read_text(temp.path() / "confusion.csv") ==
             "label,cat,\"a,b\",dog\ncat,1,0,0\n\"a,b\",1,1,0\ndog,0,0,0\n");
  const std::string classes = read_text(temp.path() / "per_class.csv");
  BOOST_TEST(classes.find("\ncat,1,1,1,0.206549,1,2,0.5,1,0.666667\n") != std::string::npos);
  BOOST_TEST(classes.find("\ndog,0,0,,,,0,,,\n") != std::string::npos);  // Nothing is known of it.
  const std::string predictions = read_text(temp.path() / "predictions.csv");
  BOOST_TEST(predictions.find("\n11,1,0,\"a,b\",cat,0.665241,0.244728,0\n") != std::string::npos);
  const auto summary = nlohmann::json::parse(read_text(temp.path() / "summary.json"));
  BOOST_TEST(summary["images"] == 3);
  BOOST_TEST(summary["class_accuracy"]["a,b"] == 0.5);
  BOOST_TEST(summary["class_accuracy"]["dog"].is_null());
  BOOST_TEST(summary["classes"][2]["recall"].is_null());
  BOOST_TEST(summary["classes"][2]["accuracy_interval_95"].is_null());
  BOOST_TEST(!summary.contains("accuracy_without_duplicates"));

  report.leave_out({10, 11, 12});
  BOOST_TEST(!report.without_duplicates()->accuracy());
  report.write(temp.path());
  const auto without = nlohmann::json::parse(read_text(temp.path() / "summary.json"));
  BOOST_TEST(without["duplicates"] == 3);
  BOOST_TEST(without["accuracy_without_duplicates"].is_null());
}

BOOST_AUTO_TEST_CASE(the_surest_come_first_and_what_is_no_number_last) {
  std::vector<Judgement> all;
  for (const double confidence : {0.5, double(NAN), 0.9, 0.7, double(NAN), 0.9}) {
    Judgement j;
    j.row = static_cast<std::int64_t>(all.size());
    j.confidence = confidence;
    all.push_back(j);
  }
  // A strict weak order: what is equal to a third is equal to one another.
  const auto equal = [](const Judgement& a, const Judgement& b) {
    return !surer(a, b) && !surer(b, a);
  };
  for (const Judgement& a : all) {
    BOOST_TEST(!surer(a, a));
    for (const Judgement& b : all) {
      for (const Judgement& c : all) {
        if (equal(a, b) && equal(b, c)) BOOST_TEST(equal(a, c));
        if (surer(a, b) && surer(b, c)) BOOST_TEST(surer(a, c));
      }
    }
  }
  std::stable_sort(all.begin(), all.end(), surer);
  std::vector<std::int64_t> rows;
  for (const Judgement& j : all) rows.push_back(j.row);
  BOOST_TEST((rows == std::vector<std::int64_t>{2, 5, 3, 0, 1, 4}));
}

BOOST_AUTO_TEST_CASE(duplicates_are_left_out_by_their_number_in_the_official_order) {
  TempFolder temp;
  const auto list = temp.path() / "list.csv";
  ModelInfo info;
  info.classes = {"cat", "dog"};
  EvaluationReport report({"test", "none", 1, 10}, info);
  report.add(judge(std::vector<float>{2, 1}, 0), 10);
  report.add(judge(std::vector<float>{3, 1}, 1), 11);
  report.add(judge(std::vector<float>{2, 1}, 1), 12);
  write_text(list, "TestID,TrainID\r\n10,7\r\n10,8\r\n999,1\r\n");
  report.leave_out(read_duplicates(list, "test"));
  BOOST_TEST(report.without_duplicates()->duplicates == 1);
  BOOST_TEST(report.without_duplicates()->images == 2);
  BOOST_TEST(report.without_duplicates()->accuracy().value() == 0);
  BOOST_TEST(report.worst(5).size() == 2u);
  BOOST_TEST(report.worst(5)[0].index == 11);
  BOOST_TEST(report.worst(1).size() == 1u);

  write_text(list,
             "split,index,other_split,other_index,distance,kind\n"
             "test,4,train,1,0,exact\ntest,5,test,6,0,exact\ntrain,8,train,9,1,near\n");
  BOOST_TEST((read_duplicates(list, "test") == std::set<std::int64_t>{4}));
  BOOST_TEST(read_duplicates(list, "validation").empty());

  write_text(list, "TestID\n1\nx\n");
  expect_error([&] { read_duplicates(list, "test"); }, "list.csv:3: 'x' is not an image's number");
  expect_error([&] { read_duplicates(list, "validation"); }, "not of 'validation'");
  write_text(list, "a,b\n");
  expect_error([&] { read_duplicates(list, "test"); }, "neither a column 'TestID'");
  write_text(list, "TestID,b\n1\n");
  expect_error([&] { read_duplicates(list, "test"); }, ":2: a row of another length");
  write_text(list, "");
  expect_error([&] { read_duplicates(list, "test"); }, "is empty");
}

BOOST_AUTO_TEST_CASE(saliency_finds_the_pixels_that_count) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 8));
  const auto model = make_model("linear", {8, 8, 3, 4});
  model->initialise(1);
  {
    const at::NoGradGuard no_grad;
    at::Tensor weight = model->parameters()[0].tensor;
    weight.zero_();
    weight[2][3 * 8 + 4] = 5;  // Channel 0, row 3, column 4.
  }
  const BatchMaker maker({8, 8, 3, {0.5, 0.4, 0.3}, {0.25, 0.2, 0.3}, false});
  for (const int samples : {1, 4}) {
    const auto map = saliency(*model, maker, data.split("train"), 1, 2, {samples, 0.1});
    BOOST_TEST(map.size() == 64u);
    BOOST_TEST(map[3 * 8 + 4] == 1);
    BOOST_TEST(map[0] == 0);
    BOOST_TEST(map[7 * 8 + 7] == 0);
  }
}

BOOST_AUTO_TEST_CASE(mirror_images_are_averaged) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 8));
  const auto model = make_model("linear", {8, 8, 3, 4});
  model->initialise(1);
  const BatchMaker maker({8, 8, 3, {0.5, 0.4, 0.3}, {0.25, 0.2, 0.3}, false});
  const SplitView& split = data.split("test");
  std::vector<std::uint8_t> flipped(split.images.begin(), split.images.end());
  for (std::size_t line = 0; line < flipped.size() / 24; ++line) {
    for (std::size_t i = 0; i < 24; ++i) {
      flipped[line * 24 + i] = split.images[line * 24 + (7 - i / 3) * 3 + i % 3];
    }
  }
  SplitView other = split;
  other.images = flipped;
  std::vector<double> plain, first, second;
  const auto losses = [&](const SplitView& view, Views views, std::vector<double>& out) {
    evaluate(
        *model, maker, view, {7, Precision::fp32, views},
        [&](const Judgement& j) { out.push_back(j.loss); }, [](std::int64_t) {});
  };
  losses(split, Views::plain, plain);
  losses(split, Views::flip, first);
  losses(other, Views::flip, second);
  BOOST_TEST(plain[0] != first[0]);
  for (std::size_t i = 0; i < first.size(); ++i) {
    BOOST_TEST(std::abs(first[i] - second[i]) < 1e-5);
  }
}

BOOST_AUTO_TEST_CASE(moved_images_are_averaged) {
  TempFolder temp;
  const DatasetReader data(make_small_dataset(temp, 8));
  const auto model = make_model("linear", {8, 8, 3, 4});
  model->initialise(1);
  {  // One pixel decides, so that the loss tells what the model saw there.
    const at::NoGradGuard no_grad;
    model->parameters()[0].tensor.zero_();
    model->parameters()[1].tensor.zero_();
    model->parameters()[0].tensor[2][3 * 8 + 4] = 1;  // Channel 0, row 3, column 4.
  }
  const BatchMaker maker({8, 8, 3, {0.5, 0.4, 0.3}, {0.25, 0.2, 0.3}, false});
  const SplitView& split = data.split("test");
  const auto pixel = [&](std::int64_t row, int y, int x) {
    const auto at = static_cast<std::size_t>(((row * 8 + y) * 8 + x) * 3);
    return (split.images[at] / 255.0 - 0.5) / 0.25;
  };
  evaluate(
      *model, maker, split, {7, Precision::fp32, Views::flip_shift},
      [&](const Judgement& j) {
        const double logit =
            j.label == 2 ? -std::log((std::exp(j.loss) - 1) / 3) : std::log(std::exp(j.loss) - 3);
        const double as_it_is = (pixel(j.row, 3, 4) + pixel(j.row, 3, 3)) / 2;
        const double down_right = (pixel(j.row, 2, 3) + pixel(j.row, 2, 2)) / 2;
        const double up_left = (pixel(j.row, 4, 5) + pixel(j.row, 4, 4)) / 2;
        BOOST_TEST(std::abs(logit - (as_it_is / 2 + down_right / 4 + up_left / 4)) < 1e-4);
      },
      [](std::int64_t) {});
}

BOOST_AUTO_TEST_CASE(a_grouped_model_fits_the_classes_that_it_groups) {
  TempFolder temp;
  ModelInfo info;
  info.architecture = "linear";
  info.height = info.width = 8;
  info.channels = 3;
  info.classes = {"warm", "cold", "none"};
  info.mean = info.std = {0.5, 0.5, 0.5};
  info.groups = {{"warm", {"red", "grey"}}, {"cold", {"blue", "green"}}, {"none", {}}};
  write_model_info(temp.path(), info);
  const ModelInfo read = read_model_info(temp.path());
  BOOST_TEST((read.groups == info.groups));
  DatasetInfo data = small_info();
  BOOST_TEST((fit_labels(read, data) == std::vector<std::int32_t>{0, 1, 1, 0}));
  data.classes[1] = "pink";
  expect_error([&] { fit_labels(read, data); }, "class 'pink' belongs to none");
  data.classes = info.classes;
  BOOST_TEST((fit_labels(read, data) == std::vector<std::int32_t>{0, 1, 2}));
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
