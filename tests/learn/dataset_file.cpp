#include "stages/learn/dataset_file.hpp"

#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
BOOST_AUTO_TEST_SUITE(dataset_file)

void append(const std::filesystem::path& file, std::string_view bytes) {
  write_text(file, read_text(file) + std::string(bytes));
}

void replace(const std::filesystem::path& file, const std::string& from, const std::string& to) {
  std::string text = read_text(file);
  BOOST_REQUIRE(text.find(from) != std::string::npos);
  text.replace(text.find(from), from.size(), to);
  write_text(file, text);
}

BOOST_AUTO_TEST_CASE(what_is_written_is_read) {
  TempFolder temp;
  const auto dir = temp.make("d");
  DatasetWriter writer(dir, small_info());
  std::vector<std::uint8_t> image(8 * 8 * 3);
  for (int i = 0; i < 3000; ++i) {  // more than a writer's buffer
    image.assign(image.size(), static_cast<std::uint8_t>(i));
    writer.add(i % 3 == 0 ? "test" : "train", image, i % 4, 100 + i);
  }
  writer.begin_split("validation");
  writer.finish();
  BOOST_TEST(writer.count("train") == 2000);

  const DatasetReader reader(dir);
  BOOST_TEST(reader.info().classes == small_info().classes);
  BOOST_TEST(reader.info().mean == small_info().mean);
  BOOST_TEST(reader.info().std == small_info().std);
  BOOST_TEST(reader.has("validation"));
  BOOST_TEST(reader.split("validation").count == 0);
  const SplitView& test = reader.split("test");
  BOOST_TEST(test.count == 1000);
  BOOST_TEST(test.labels[999] == 2997 % 4);
  BOOST_TEST(test.index[999] == 100 + 2997);
  BOOST_TEST(test.images[999 * image.size()] == 2997 % 256);
  BOOST_TEST(test.images.back() == 2997 % 256);
}

BOOST_AUTO_TEST_CASE(the_same_images_give_the_same_bytes) {
  TempFolder a;
  TempFolder b;
  make_small_dataset(a, 50, 10);
  make_small_dataset(b, 50, 10);
  for (const auto& entry : std::filesystem::directory_iterator(a.path() / "data")) {
    BOOST_TEST(read_text(entry.path()) == read_text(b.path() / "data" / entry.path().filename()));
  }
}

BOOST_AUTO_TEST_CASE(a_writer_refuses_what_does_not_fit) {
  TempFolder temp;
  DatasetWriter writer(temp.make("d"), small_info());
  const std::vector<std::uint8_t> image(8 * 8 * 3);
  expect_error([&] { writer.add("train", std::span(image).first(7), 0, 0); }, "7 bytes");
  expect_error([&] { writer.add("train", image, 4, 9); }, "label 4 of image 9");
  expect_error([&] { writer.add("train", image, -1, 9); }, "label -1");
  expect_error([&] { writer.add("trian", image, 0, 0); }, "unknown split 'trian'");
  DatasetInfo twice = small_info();
  twice.classes[1] = twice.classes[0];
  expect_error([&] { DatasetWriter(temp.path(), twice); }, "same name");
  writer.set_normalisation({0, 0}, {1, 1});
  expect_error([&] { writer.finish(); }, "each of the 3 channels");
}

BOOST_AUTO_TEST_CASE(a_reader_says_what_is_wrong) {
  const auto damaged = [](const auto& damage, const std::string& sentence) {
    TempFolder temp;
    const auto dir = make_small_dataset(temp, 10);
    damage(dir);
    expect_error([&] { DatasetReader reader(dir); }, sentence);
  };
  damaged([](auto dir) { append(dir / "train.images.bin", "x"); },
          "train.images.bin has 1921 bytes instead of 1920 for 10 images");
  damaged([](auto dir) { std::filesystem::resize_file(dir / "test.index.bin", 79); },
          "test.index.bin has 79 bytes");
  damaged([](auto dir) { std::filesystem::remove(dir / "test.labels.bin"); },
          "test.labels.bin: No such file");
  damaged(
      [](auto dir) {
        std::string labels = read_text(dir / "train.labels.bin");
        labels[4 * 3] = 4;
        write_text(dir / "train.labels.bin", labels);
      },
      "label 4 of image 3 is outside the 4 classes");
  damaged([](auto dir) { write_text(dir / "dataset.json", "{"); }, "is damaged");
  damaged([](auto dir) { replace(dir / "dataset.json", "\"height\": 8", "\"height\": \"8\""); },
          "is damaged");
  damaged([](auto dir) { replace(dir / "dataset.json", "\"format\": 1", "\"format\": 9"); },
          "format 9 is not known");
  damaged([](auto dir) { replace(dir / "dataset.json", "\"count\": 10", "\"count\": -1"); },
          "cannot have -1 images");
  damaged([](auto dir) { replace(dir / "dataset.json", "\"test\"", "\"../x\""); },
          "unknown split '../x'");
  damaged([](auto dir) { replace(dir / "dataset.json", "0.25", "0.0"); }, "'std' above 0");
}

BOOST_AUTO_TEST_CASE(a_missing_split_names_those_that_are_there) {
  TempFolder temp;
  const DatasetReader reader(make_small_dataset(temp, 10));
  expect_error([&] { reader.split("validation"); },
               "no split 'validation'; it has 'test', 'train'");
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
