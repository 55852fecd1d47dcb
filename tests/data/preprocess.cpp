// From binary files to a dataset: both layouts, splits, limits, normalisation, and what is said
// about files that are wrong.
#include <cmath>
#include <nlohmann/json.hpp>

#include "pipeline/digest.hpp"
#include "stages/learn/dataset_file.hpp"
#include "stages/preprocess/channel_statistics.hpp"
#include "stages/preprocess/preprocess_stage.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::preprocess;
using namespace cifarpipe::test;

namespace {

const std::string kLongNames =
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

/// Image `i` of a file: red is i, green is 2i, blue counts pixels.
std::string record(std::size_t i, const std::string& labels) {
  std::string text = labels + std::string(1024, static_cast<char>(i)) +
                     std::string(1024, static_cast<char>(2 * i));
  for (int k = 0; k < 1024; ++k) text += static_cast<char>(k % 256);
  return text;
}

std::string records(std::size_t first, std::size_t count, std::size_t classes = 10) {
  std::string text;
  for (std::size_t i = first; i < first + count; ++i) {
    text += record(i, std::string(1, static_cast<char>(i % classes)));
  }
  return text;
}

/// Two training files of 40 images, a test file of 20, somewhere deep in `dir`.
void write_cifar10(const fs::path& dir, const std::string& names = kLongNames) {
  write(dir / "x/y/data_batch_1.bin", records(0, 40));
  write(dir / "x/y/data_batch_2.bin", records(40, 40));
  write(dir / "x/y/test_batch.bin", records(100, 20));
  write(dir / "x/y/batches.meta.txt", names);
  write(dir / "x/readme.html", "<html>");
}

struct Job {
  TempDir temp;
  FakeContext context{temp.make("work")};
  PreprocessParams params;

  Job() { context.set_input("files", temp.make("files")); }
  fs::path files() const { return temp.path() / "files"; }
  learn::DatasetReader run() {
    PreprocessStage(params).run(context);
    return learn::DatasetReader(context.output("dataset"));
  }
  std::string failure() {
    const std::string message = message_of([&] { PreprocessStage(params).run(context); });
    BOOST_CHECK(!fs::exists(context.output("dataset") / "dataset.json"));
    return message;
  }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(preprocess)

BOOST_AUTO_TEST_CASE(cifar10_layout) {
  Job job;
  write_cifar10(job.files());
  const learn::DatasetReader data = job.run();
  BOOST_CHECK_EQUAL(data.info().height, 32);
  BOOST_CHECK_EQUAL(data.info().channels, 3);
  const std::vector<std::string> names = {"plane", "car",  "bird",  "cat",  "deer",
                                          "dog",   "frog", "horse", "ship", "truck"};
  BOOST_CHECK(data.info().classes == names);
  BOOST_CHECK((data.info().mean == std::vector<double>{0.4914, 0.4822, 0.4465}));
  BOOST_CHECK((data.info().std == std::vector<double>{0.2023, 0.1994, 0.2010}));
  BOOST_CHECK(!data.has("validation"));
  const learn::SplitView train = data.split("train");
  BOOST_REQUIRE_EQUAL(train.count, 80);
  for (std::size_t i = 0; i < 80; ++i) {
    BOOST_CHECK_EQUAL(train.labels[i], static_cast<int>(i % 10));
    BOOST_CHECK_EQUAL(train.index[i], static_cast<int>(i));
    const auto image = train.images.subspan(i * 3072, 3072);
    BOOST_CHECK_EQUAL(image[0], i);
    BOOST_CHECK_EQUAL(image[1], 2 * i);
    BOOST_CHECK_EQUAL(image[2], 0);
    BOOST_CHECK_EQUAL(image[3 * 700 + 2], 700 % 256);  // Pixel 700, blue.
  }
  BOOST_CHECK_EQUAL(data.split("test").count, 20);
  BOOST_CHECK_EQUAL(data.split("test").images[0], 100);
  check_contains(job.context.logs.back().second,
                 "80 training and 20 test images in 10 classes (CIFAR-10)");
}

BOOST_AUTO_TEST_CASE(other_names_stay) {
  Job job;
  write_cifar10(job.files(), "a\r\nb \nc\nd\ne\nf\ng\nh\ni\nairplane");
  const learn::DatasetReader data = job.run();
  BOOST_CHECK_EQUAL(data.info().classes[1], "b");
  BOOST_CHECK_EQUAL(data.info().classes[9], "airplane");
}

BOOST_AUTO_TEST_CASE(cifar100_layout) {
  Job job;
  std::string train;
  for (std::size_t i = 0; i < 12; ++i) {
    train += record(i, {static_cast<char>(i % 2), static_cast<char>(i % 3)});
  }
  write(job.files() / "cifar-100-binary/train.bin", train);
  write(job.files() / "cifar-100-binary/test.bin", train.substr(0, 3074 * 6));
  write(job.files() / "cifar-100-binary/fine_label_names.txt", "apple\nbaby\nbear\n");
  write(job.files() / "cifar-100-binary/coarse_label_names.txt", "fruit\npeople\n");
  {
    const learn::DatasetReader data = job.run();
    BOOST_CHECK_EQUAL(data.info().classes.size(), 3u);
    BOOST_CHECK_EQUAL(data.split("train").labels[5], 2);
    BOOST_CHECK_EQUAL(data.split("train").images[5 * 3072], 5);
  }
  job.params.labels = "coarse";
  const learn::DatasetReader data = job.run();
  BOOST_CHECK_EQUAL(data.info().classes[1], "people");
  BOOST_CHECK_EQUAL(data.split("train").labels[5], 1);
  BOOST_CHECK_EQUAL(data.split("test").count, 6);
}

BOOST_AUTO_TEST_CASE(validation_split) {
  Job job;
  write_cifar10(job.files());
  job.params.validation = 0.25;
  const learn::DatasetReader data = job.run();
  const learn::SplitView train = data.split("train");
  const learn::SplitView held_out = data.split("validation");
  BOOST_CHECK_EQUAL(train.count, 60);
  BOOST_CHECK_EQUAL(held_out.count, 20);
  std::set<int> all(train.index.begin(), train.index.end());
  all.insert(held_out.index.begin(), held_out.index.end());
  BOOST_CHECK_EQUAL(all.size(), 80u);  // Each image is in one of them.
  int counts[10] = {};
  for (const int label : held_out.labels) ++counts[label];
  for (const int count : counts) BOOST_CHECK_EQUAL(count, 2);
  for (std::size_t i = 0; i < 20; ++i) {
    BOOST_CHECK_EQUAL(held_out.images[i * 3072], held_out.index[i]);
    BOOST_CHECK_EQUAL(held_out.labels[i], held_out.index[i] % 10);
  }
  check_contains(job.context.logs.back().second, "60 training, 20 validation and 20 test images");

  Job same;
  write_cifar10(same.files());
  same.params.validation = 0.25;
  same.run();
  BOOST_CHECK(tree(same.temp.path() / "work/out") == tree(job.temp.path() / "work/out"));
  Job other;
  write_cifar10(other.files());
  other.params.validation = 0.25;
  other.context.seed_value = 43;
  other.run();
  BOOST_CHECK(tree(other.temp.path() / "work/out") != tree(job.temp.path() / "work/out"));
}

BOOST_AUTO_TEST_CASE(limits) {
  Job job;
  write_cifar10(job.files());
  job.params.limit_train = 50;
  job.params.limit_test = 3;
  const learn::DatasetReader data = job.run();
  BOOST_CHECK_EQUAL(data.split("train").count, 50);
  BOOST_CHECK_EQUAL(data.split("train").images[49 * 3072], 49);
  BOOST_CHECK_EQUAL(data.split("test").count, 3);
  Job generous;
  write_cifar10(generous.files());
  generous.params.limit_train = 1000;
  BOOST_CHECK_EQUAL(generous.run().split("train").count, 80);
}

BOOST_AUTO_TEST_CASE(normalisation) {
  Job job;
  write_cifar10(job.files());
  job.params.normalization = "computed";
  const learn::DatasetReader data = job.run();
  // Red is 0..79, blue 0..255.
  BOOST_CHECK_CLOSE(data.info().mean[0], 39.5 / 255, 1e-9);
  BOOST_CHECK_CLOSE(data.info().mean[2], 127.5 / 255, 1e-9);
  BOOST_CHECK_CLOSE(data.info().std[0], std::sqrt((80.0 * 80 - 1) / 12) / 255, 1e-9);
  BOOST_CHECK_CLOSE(data.info().std[2], std::sqrt((256.0 * 256 - 1) / 12) / 255, 1e-9);

  Job given;
  write_cifar10(given.files());
  given.params.normalization = "given";
  given.params.mean = {0.1, 0.2, 0.3};
  given.params.std = {1, 2, 3};
  BOOST_CHECK((given.run().info().std == std::vector<double>{1, 2, 3}));
  Job two;
  write_cifar10(two.files());
  two.params.normalization = "given";
  two.params.mean = {0.1, 0.2};
  BOOST_CHECK_EQUAL(two.failure(),
                    "mean and std need 3 numbers each (red, green, blue); there are 2 and 0");

  ChannelStatistics constant(3);
  constant.add(std::vector<std::uint8_t>(3072, 255));
  BOOST_CHECK_EQUAL(constant.mean()[1], 1.0);
  BOOST_CHECK_EQUAL(constant.deviation()[1], 0.0);
}

BOOST_AUTO_TEST_CASE(rules_are_data) {
  const ParamSchema schema = PreprocessParams::schema().info();
  const auto broken = [&](const std::string& normalization, std::vector<double> numbers,
                          std::vector<std::int64_t> size = {}) {
    ParamValues values;
    for (const FieldInfo& field : schema.fields)
      values.emplace_back(field.name, field.default_value);
    for (auto& [name, value] : values) {
      if (name == "normalization") value = normalization;
      if (name == "size") value = size;
      if (name == "mean" || name == "std") value = numbers;
    }
    int count = 0;
    for (const Rule& rule : schema.rules) {
      bool applies = true;
      for (const Condition& c : rule.when) applies = applies && c.holds(values);
      bool met = true;
      for (const Condition& c : rule.require) met = met && c.holds(values);
      if (applies && !met) ++count;
    }
    return count;
  };
  BOOST_CHECK_EQUAL(broken("reference", {}), 0);
  BOOST_CHECK_EQUAL(broken("given", {1, 1, 1}), 0);
  BOOST_CHECK_EQUAL(broken("given", {}), 1);
  BOOST_CHECK_EQUAL(broken("computed", {1, 1, 1}), 1);
  BOOST_CHECK_EQUAL(broken("reference", {}, {20, 44}), 0);
  BOOST_CHECK_EQUAL(broken("reference", {}, {32, 32, 3}), 1);
}

BOOST_AUTO_TEST_CASE(wrong_records) {
  {
    Job job;
    write_cifar10(job.files());
    const fs::path file = job.files() / "x/y/data_batch_2.bin";
    write(file, records(40, 40).substr(0, 3073 * 7 + 100));
    BOOST_CHECK_EQUAL(job.failure(),
                      file.string() +
                          " ends at byte 21611, in the middle of record 7 (from byte "
                          "21511; a record has 3073 bytes): it was cut off or is another format");
  }
  {
    Job job;
    write_cifar10(job.files());
    const fs::path file = job.files() / "x/y/test_batch.bin";
    std::string text = records(100, 20);
    text[3073 * 4] = 10;
    write(file, text);
    BOOST_CHECK_EQUAL(job.failure(), file.string() +
                                         ", byte 12292: label 10 in record 4, but "
                                         "there are 10 classes");
  }
  {
    Job job;
    write_cifar10(job.files());
    write(job.files() / "x/y/test_batch.bin", std::string(3074 * 3, '\1'));
    check_contains(job.failure(),
                   "holds records of 3074 bytes and not of 3073: it is CIFAR-100's "
                   "layout under a name of CIFAR-10's");
  }
  {
    Job job;
    write_cifar10(job.files());
    write(job.files() / "x/y/test_batch.bin", "");
    check_contains(job.failure(), "test_batch.bin is empty");
  }
}

BOOST_AUTO_TEST_CASE(missing_and_foreign_files) {
  {
    Job job;
    BOOST_CHECK_EQUAL(
        job.failure(),
        "no data set is among the files: neither folders of images (train/<class>/, or "
        "<class>/), nor NumPy arrays (.npz, .npy), nor data_batch_1.bin (CIFAR-10's "
        "binary layout), nor train.bin (CIFAR-100's); there is nothing");
    write(job.files() / "a/cats.zip", "x");
    check_contains(job.failure(), "there is a/cats.zip");
    write(job.files() / "cifar-10-batches-py/data_batch_1", "x");
    check_contains(job.failure(), "these files are CIFAR's version for Python");
  }
  for (const std::string missing : {"data_batch_1.bin", "test_batch.bin", "batches.meta.txt"}) {
    Job job;
    write_cifar10(job.files());
    fs::remove(job.files() / "x/y" / missing);
    check_contains(job.failure(), missing + " is missing: ");
  }
  {
    Job job;
    write_cifar10(job.files());
    write_cifar10(job.files() / "again");
    BOOST_CHECK_EQUAL(job.failure(),
                      "there is more than one data set among the files: in "
                      "again/x/y and in x/y; keep one");
  }
  {
    Job job;
    write_cifar10(job.files(), "cat\ndog\ncat\n");
    check_contains(job.failure(), "must hold 1 to 256 different class names");
    job.params.labels = "coarse";
    check_contains(job.failure(), "labels = \"coarse\" is for CIFAR-100");
  }
}

BOOST_AUTO_TEST_CASE(preview) {
  Job job;
  write_cifar10(job.files());
  job.params.validation = 0.25;
  job.run();
  const fs::path dir = job.context.output("preview");
  BOOST_CHECK_EQUAL(read(dir / "contact-sheet.png").substr(1, 3), "PNG");
  const auto summary = nlohmann::json::parse(read(dir / "summary.json"));
  BOOST_CHECK_EQUAL(summary["layout"], "cifar10");
  BOOST_CHECK_EQUAL(summary["splits"]["train"]["images"], 60);
  BOOST_CHECK_EQUAL(summary["splits"]["validation"]["classes"]["cat"], 2);
  BOOST_CHECK_EQUAL(summary["splits"]["test"]["classes"]["truck"], 2);
  BOOST_CHECK_EQUAL(summary["std"][2], 0.2010);
}

BOOST_AUTO_TEST_CASE(duplicates_are_searched_unless_not_wanted) {
  Job job;
  write_cifar10(job.files());
  write(job.files() / "x/y/test_batch.bin", records(5, 3));  // All of them are training images.
  job.run();
  const std::string list = read(job.context.output("dataset") / "duplicates.csv");
  check_contains(list, "\ntest,2,train,7,exact,0,7,7\n");
  BOOST_CHECK(fs::exists(job.context.output("preview") / "duplicates.json"));
  Job other;
  write_cifar10(other.files());
  other.params.duplicate_distance = -1;
  other.run();
  BOOST_CHECK(!fs::exists(other.context.output("dataset") / "duplicates.csv"));
  BOOST_CHECK(!fs::exists(other.context.output("preview") / "duplicates.json"));
}

BOOST_AUTO_TEST_CASE(stops_when_asked) {
  Job job;
  write(job.files() / "data_batch_1.bin", records(0, 600, 1));
  write(job.files() / "test_batch.bin", records(0, 10));
  write(job.files() / "batches.meta.txt", kLongNames);
  job.context.stopper.request_stop();
  BOOST_CHECK_THROW(job.run(), Interrupted);
}

BOOST_AUTO_TEST_SUITE_END()
