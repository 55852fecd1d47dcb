// Folders of images: where the classes are, in which order images come, what is passed over, split
// and resized, and what is said about damaged files.
#include <nlohmann/json.hpp>

#include "tests/data/preprocess_job.hpp"

using namespace cifarpipe;
using namespace cifarpipe::test;

namespace {

using Ints = std::vector<int>;

using Files = std::vector<std::string>;

Files operator+(Files files, const Files& more) {
  files.insert(files.end(), more.begin(), more.end());
  return files;
}

/// What is said to a folder with these images.
std::string failure_of(const Files& files) {
  PreprocessJob job;
  for (const std::string& file : files) job.add_image(file, 1);
  return job.failure();
}

/// Two classes, train and test, below a folder around them. Red tells the images apart.
void write_small(const PreprocessJob& job) {
  job.add_image("set/train/b/1.png", 11);
  job.add_image("set/train/a/zz.png", 12);
  job.add_image("set/train/a/deep/x.png", 13);
  job.add_image("set/test/a/t.png", 14);
  job.add_image("set/test/b/t.png", 15);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(image_folder)

BOOST_AUTO_TEST_CASE(train_and_test_folders) {
  PreprocessJob job;
  write_small(job);
  write(job.files() / "set/train/a/.hidden.png", "x");
  write(job.files() / "set/train/a/Thumbs.db", "x");
  write(job.files() / "set/train/a/notes.txt", "x");
  write(job.files() / "set/train/a/more", "of no kind that is known");
  write(job.files() / "__MACOSX/set/train/a/._zz.png", "x");
  fs::create_directories(job.files() / "set/train/nobody");
  const learn::DatasetReader data = job.run();
  BOOST_CHECK((data.info().classes == std::vector<std::string>{"a", "b"}));
  BOOST_CHECK_EQUAL(data.info().height, 8);
  BOOST_CHECK((reds(data, "train") == Ints{13, 12, 11}));  // By path.
  BOOST_CHECK((numbers(data.split("train").labels) == Ints{0, 0, 1}));
  BOOST_CHECK((numbers(data.split("train").index) == Ints{0, 1, 2}));
  BOOST_CHECK((reds(data, "test") == Ints{14, 15}));
  BOOST_CHECK_EQUAL(read(job.preview() / "files.csv"),
                    "split,index,file\n"
                    "train,0,set/train/a/deep/x.png\n"
                    "train,1,set/train/a/zz.png\n"
                    "train,2,set/train/b/1.png\n"
                    "test,0,set/test/a/t.png\n"
                    "test,1,set/test/b/t.png\n");
  BOOST_CHECK(job.said("2 files that are no image are passed over"));
  check_contains(job.context.logs.back().second,
                 "3 training and 2 test images in 2 classes, 8 x 8 pixels");
}

BOOST_AUTO_TEST_CASE(numbers_give_the_order) {
  PreprocessJob job;
  job.add_image("train/cat/00010.png", 10);
  job.add_image("train/cat/00002.png", 2);
  job.add_image("train/dog/7.png", 7);
  job.add_image("test/cat/1.png", 1);
  job.add_image("test/dog/1.png", 1);  // Twice: not numbers of images.
  const learn::DatasetReader data = job.run();
  BOOST_CHECK((numbers(data.split("train").index) == Ints{2, 7, 10}));
  BOOST_CHECK((reds(data, "train") == Ints{2, 7, 10}));
  BOOST_CHECK((numbers(data.split("train").labels) == Ints{0, 1, 0}));
  BOOST_CHECK((numbers(data.split("test").index) == Ints{0, 1}));
}

BOOST_AUTO_TEST_CASE(cifar10_has_its_own_order) {
  PreprocessJob job;
  for (const char* name :
       {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}) {
    job.add_image(std::string("train/") + name + "/x.png", 1);
    job.add_image(std::string("val/") + name + "/x.png", 2);
  }
  const learn::DatasetReader data = job.run();
  BOOST_CHECK_EQUAL(data.info().classes.front(), "plane");
  BOOST_CHECK_EQUAL(data.info().classes[1], "car");
  BOOST_CHECK((numbers(data.split("validation").labels) == Ints{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  BOOST_CHECK(!data.has("test"));
}

BOOST_AUTO_TEST_CASE(one_folder_is_split) {
  const auto fill = [](const PreprocessJob& job) {
    for (int i = 0; i < 20; ++i) {
      job.add_image("pets/cat/c" + std::to_string(i) + ".png", 1 + i);
      job.add_image("pets/dog/d" + std::to_string(i) + ".png", 101 + i);
    }
  };
  PreprocessJob job;
  fill(job);
  check_contains(job.failure(), "set test, the share of every class that becomes the test split");
  job.params.test = 0.25;
  job.params.validation = 0.2;
  const learn::DatasetReader data = job.run();
  std::set<int> all;
  for (const auto& [split, count] :
       {std::pair("train", 24), std::pair("validation", 6), std::pair("test", 10)}) {
    BOOST_CHECK_EQUAL(data.split(split).count, count);
    int cats = 0;
    for (const int label : data.split(split).labels) cats += label == 0 ? 1 : 0;
    BOOST_CHECK_EQUAL(cats, count / 2);
    for (const int red : reds(data, split)) all.insert(red);
  }
  BOOST_CHECK_EQUAL(all.size(), 40u);

  PreprocessJob few;
  fill(few);
  few.params.test = 0.5;
  few.params.limit_train = 4;
  BOOST_CHECK((numbers(few.run().split("train").labels) == Ints{0, 0, 1, 1}));
}

BOOST_AUTO_TEST_CASE(what_the_data_has_is_not_split_off_again) {
  PreprocessJob job;
  write_small(job);
  job.params.test = 0.5;
  check_contains(job.failure(), "but the data has one: leave test out");
}

BOOST_AUTO_TEST_CASE(classes_must_agree) {
  PreprocessJob job;
  write_small(job);
  job.add_image("set/test/c/t.png", 1);
  fs::remove(job.files() / "set/test/b/t.png");
  BOOST_CHECK_EQUAL(job.failure(),
                    "the classes of train and set/test differ: 'b' has images only in train, 'c' "
                    "has images only in test");
}

BOOST_AUTO_TEST_CASE(layouts_that_are_none) {
  BOOST_CHECK_EQUAL(failure_of({"1.png"}),
                    "there is 1 image, but not in a folder for each class: train/<class>/ with "
                    "test/<class>/, or <class>/ alone, is expected; there is 1.png");
  BOOST_CHECK_EQUAL(failure_of({"set/x/1.png", "set/x/2.png"}),
                    "there is one folder with images only, set/x (2 images), but two classes are "
                    "needed at least, a folder for each: train/<class>/ with test/<class>/, or "
                    "<class>/ alone");
  check_contains(failure_of({"x/1.png", "2.png"}), "there are 2 images, but not in a folder for");
  BOOST_CHECK_EQUAL(failure_of({"train/x/1.png", "test/x/2.png"}),
                    "train holds images of one class only, x, but two are needed at least");
  PreprocessJob coarse;
  write_small(coarse);
  coarse.params.labels = "coarse";
  check_contains(coarse.failure(), "but these files are folders of images");
}

BOOST_AUTO_TEST_CASE(several_data_sets_are_named) {
  const std::string several = "there is more than one data set among the files: ";
  const std::string end =
      "; keep one (train/<class>/ and test/<class>/ of one data set lie in one folder)";
  const Files split = {"s/train/a/1.png", "s/train/b/1.png", "s/test/a/1.png", "s/test/b/1.png"};
  BOOST_CHECK_EQUAL(failure_of(split + Files{"again/train/a/1.png"}),
                    several + "in again and in s" + end);
  // Classes alone beside splits, above them, and in the folder that has the splits.
  BOOST_CHECK_EQUAL(failure_of(split + Files{"one/a/1.png", "one/b/1.png"}),
                    several + "in one and in s" + end);
  BOOST_CHECK_EQUAL(failure_of(split + Files{"s/raw/a/1.png", "s/raw/b/1.png"}),
                    several + "in s and in s/raw" + end);
  // Of no set with splits; at any depth.
  BOOST_CHECK_EQUAL(failure_of({"x/a/1.png", "x/b/1.png", "y/a/1.png", "y/b/1.png"}),
                    several + "in x and in y" + end);
  BOOST_CHECK_EQUAL(
      failure_of({"x/in/a/1.png", "x/in/b/1.png", "y/in/a/1.png", "y/in/b/1.png", "z/1.png"}),
      several + "in x/in and in y/in" + end);
  // train and test that lie apart.
  BOOST_CHECK_EQUAL(
      failure_of({"x/train/a/1.png", "x/train/b/1.png", "y/test/a/1.png", "y/test/b/1.png"}),
      several + "in x and in y" + end);
  Files many;
  for (int i = 0; i < 8; ++i) {
    for (const char* file : {"/a/1.png", "/b/1.png"}) many.push_back(std::to_string(i) + file);
  }
  check_contains(failure_of(many), "in 3 and in 4 and 3 more; keep one");
}

BOOST_AUTO_TEST_CASE(one_class_or_a_data_set) {
  const std::string unclear =
      "the folder cat holds folders of images (2020, 2021), and other images lie beside it: ";
  check_contains(failure_of({"cat/2020/1.png", "cat/2021/1.png", "dog/1.png"}), unclear);
  check_contains(failure_of({"cat/2020/1.png", "cat/2021/1.png", "dog/1.png", "cow/1.png"}),
                 unclear);
  // With images of its own it is a class; so it is in train, and with one folder in it.
  const Files classes[] = {
      {"cat/1.png", "cat/2020/1.png", "cat/2021/1.png", "valid/deep/1.png"},
      {"cat/1.png", "cat/deep/x/1.png", "cat/deep/y/1.png", "valid/1.png"},
      {"train/cat/2020/1.png", "train/cat/2021/1.png", "train/valid/1.png", "train/valid/2.png"},
      {"set/logo.png", "set/cat/1.png", "set/cat/2.png", "set/cat/3.png", "set/valid/1.png"}};
  for (const Files& files : classes) {
    PreprocessJob job;
    for (const std::string& file : files) job.add_image(file, 1);
    job.params.validation = 0.25;
    BOOST_CHECK((job.run().info().classes == std::vector<std::string>{"cat", "valid"}));
    BOOST_CHECK_EQUAL(job.said("1 image outside of the class folders is passed over"),
                      files.front() == "set/logo.png");
  }
}

BOOST_AUTO_TEST_CASE(test_without_train) {
  for (const double share : {0.0, 0.5}) {
    for (const char* name : {"test", "Testing", "val", "valid", "validation"}) {
      PreprocessJob job;
      for (const char* file : {"/a/1.png", "/a/2.png", "/b/1.png", "/b/2.png"}) {
        job.add_image(std::string("set/") + name + file, 1);
      }
      job.params.test = share;
      BOOST_CHECK_EQUAL(job.failure(),
                        std::string("there is set/") + name +
                            " without train: put a folder train with the same classes beside it, "
                            "or, if its images are to be learned from, call it train and set test, "
                            "the share that becomes the test split");
    }
  }
  check_contains(failure_of({"val/a/1.png", "val/b/1.png", "test/a/1.png", "test/b/1.png"}),
                 "there is test without train");
}

BOOST_AUTO_TEST_CASE(sizes) {
  PreprocessJob job;
  write_small(job);
  job.add_image("set/train/b/2.png", 50, 16, 8);
  check_contains(
      job.failure(),
      "set/train/a/deep/x.png has 8 x 8 pixels (height x width) and set/train/b/2.png has "
      "8 x 16: set size");
  PreprocessJob resized;
  write_small(resized);
  resized.add_image("set/train/b/2.png", 50, 16, 8);
  resized.params.size = {8};
  const learn::DatasetReader data = resized.run();
  const auto wide = data.split("train").images.last(8 * 8 * 3);
  BOOST_CHECK_EQUAL(wide[0], 128);               // Grey above,
  BOOST_CHECK_EQUAL(wide[(4 * 8 + 1) * 3], 50);  // the image in the middle.
  PreprocessJob oblong;
  write_small(oblong);
  oblong.params.size = {10, 20};
  const learn::DatasetReader other = oblong.run();
  BOOST_CHECK_EQUAL(other.info().height, 10);
  BOOST_CHECK_EQUAL(other.info().width, 20);
  const auto summary = nlohmann::json::parse(read(oblong.preview() / "summary.json"));
  BOOST_CHECK_EQUAL(summary["image"]["width"], 20);
  BOOST_CHECK_EQUAL(summary["layout"], "image folder");
}

BOOST_AUTO_TEST_CASE(grey) {
  PreprocessJob job;
  write_small(job);
  job.params.color = "grey";
  check_contains(job.failure(), "but these images are grey: set normalization = \"computed\"");
  job.params.normalization = "given";
  job.params.mean = {0.5, 0.5, 0.5};
  job.params.std = {1, 1, 1};
  check_contains(job.failure(), "mean and std need 1 number each (grey); there are 3 and 3");
  job.params.normalization = "computed";
  job.params.mean = job.params.std = {};
  const learn::DatasetReader data = job.run();
  BOOST_CHECK_EQUAL(data.info().channels, 1);
  BOOST_CHECK_EQUAL(data.info().mean.size(), 1u);
  BOOST_CHECK((reds(data, "train") == Ints{4, 4, 3}));  // 0.299 of 13, 12 and 11.
}

BOOST_AUTO_TEST_CASE(damaged_files_are_all_listed) {
  const auto damage = [](const PreprocessJob& job) {
    write_small(job);
    const std::string png = read(job.files() / "set/train/b/1.png");
    write(job.files() / "set/train/b/0.png", png.substr(0, png.size() - 5));
    write(job.files() / "set/train/b/2,3.jpg", "");
    for (int i = 0; i < 5; ++i) {
      write(job.files() / ("set/test/a/x" + std::to_string(i) + ".jpeg"), "nothing");
    }
  };
  PreprocessJob job;
  damage(job);
  const std::string message = job.failure();
  check_contains(message,
                 "7 of 12 images cannot be used: set/train/b/0.png is cut off: it ends before the "
                 "end chunk of a PNG image; set/train/b/2,3.jpg is empty; set/test/a/x0.jpeg is "
                 "not an image");
  check_contains(message, "; and 2 more. All of them are in the run's log");
  BOOST_CHECK(job.said("set/test/a/x4.jpeg is not an image"));

  PreprocessJob skipping;
  damage(skipping);
  skipping.params.on_bad_image = "skip";
  const learn::DatasetReader data = skipping.run();
  BOOST_CHECK((reds(data, "train") == Ints{13, 12, 11}));
  BOOST_CHECK((numbers(data.split("train").index) == Ints{0, 1, 3}));
  BOOST_CHECK_EQUAL(data.split("test").count, 2);
  const std::string list = read(skipping.preview() / "bad_images.csv");
  check_contains(list, "split,file,reason\ntrain,set/train/b/0.png,is cut off");
  check_contains(list, "train,\"set/train/b/2,3.jpg\",is empty");
  BOOST_CHECK_EQUAL(std::count(list.begin(), list.end(), '\n'), 8);
  BOOST_CHECK(skipping.said("They are left out"));

  PreprocessJob none;
  damage(none);
  none.params.on_bad_image = "skip";
  write(none.files() / "set/train/b/1.png", "x");
  check_contains(none.failure(),
                 "none of the 3 images of class 'b' in the train split can be used");
}

BOOST_AUTO_TEST_CASE(the_same_bytes_each_time) {
  std::map<std::string, std::string> first;
  for (int round = 0; round < 3; ++round) {
    PreprocessJob job;
    for (int i = 0; i < 300; ++i) {
      job.add_image((i % 2 == 0 ? "a/" : "b/") + std::to_string(i) + ".png", i % 256, 60, 50);
    }
    job.params.test = 0.3;
    job.params.size = {32};
    job.params.normalization = "computed";
    job.params.mean = {};
    // Green and blue are the same in all of them, but for the grey beside.
    job.run();
    const auto made = tree(job.temp.path() / "work/out");
    if (round == 0) first = made;
    BOOST_CHECK(made == first);
  }
}

BOOST_AUTO_TEST_CASE(large_images_are_small_on_the_sheet) {
  PreprocessJob job;
  for (const char* name : {"a", "b"}) {
    for (int i = 0; i < 20; ++i) {
      job.add_image(std::string(name) + "/" + std::to_string(i) + "x.png", i, 900, 300);
    }
  }
  job.params.test = 0.2;
  job.run();
  const std::string png = read(job.preview() / "contact-sheet.png");
  const int width = static_cast<unsigned char>(png[18]) * 256 + static_cast<unsigned char>(png[19]);
  BOOST_CHECK_LT(width, 1400);  // Twelve of 96 pixels and what is between them.
  BOOST_CHECK_GT(width, 12 * 96);
}

BOOST_AUTO_TEST_CASE(stops_when_asked) {
  PreprocessJob job;
  write_small(job);
  job.context.stopper.request_stop();
  BOOST_CHECK_THROW(job.run(), Interrupted);
}

BOOST_AUTO_TEST_SUITE_END()
