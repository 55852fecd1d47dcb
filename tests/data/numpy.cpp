// NumPy arrays: formats, types, orders, names, and every wrong file as one sentence. The files are
// written here, byte for byte as numpy.save writes them.
#include <zlib.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "stages/preprocess/npy.hpp"
#include "tests/data/preprocess_job.hpp"

using namespace cifarpipe;
using namespace cifarpipe::preprocess;
using namespace cifarpipe::test;

namespace {

using Ints = std::vector<int>;

std::string npy(const std::string& descr, const std::string& shape, const std::string& values,
                bool fortran = false, int format = 1) {
  std::string header = "{'descr': '" + descr +
                       "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': (" +
                       shape + "), }";
  const std::size_t before = format == 1 ? 10 : 12;
  while ((before + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string text = std::string("\x93NUMPY", 6) + static_cast<char>(format) + '\0';
  for (std::size_t i = 0; i < before - 8; ++i) {
    text += static_cast<char>(header.size() >> (8 * i) & 0xff);
  }
  return text + header + values;
}

template <class T>
std::string raw(const std::vector<T>& values, bool swapped = false) {
  std::string text;
  for (const T value : values) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    text += swapped ? std::string(bytes.rbegin(), bytes.rend()) : bytes;
  }
  return text;
}

std::string number(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
  return text;
}

std::string deflated(const std::string& text) {
  std::string packed(text.size() + 100, '\0');
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string npz(const std::map<std::string, std::string>& arrays, bool compressed) {
  std::string archive;
  std::string directory;
  for (const auto& [name, content] : arrays) {
    const std::string file = name + ".npy";
    const std::string packed = compressed ? deflated(content) : content;
    const auto crc = static_cast<std::uint32_t>(crc32(
        0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
    const std::string common = number(20, 2) + number(0, 2) + number(compressed ? 8 : 0, 2) +
                               number(0, 4) + number(crc, 4) + number(packed.size(), 4) +
                               number(content.size(), 4) + number(file.size(), 2) + number(0, 2);
    directory += "PK\1\2" + number(20, 2) + common + number(0, 2) + number(0, 2) + number(0, 2) +
                 number(0, 4) + number(archive.size(), 4) + file;
    archive += "PK\3\4" + common + file + packed;
  }
  const std::size_t at = archive.size();
  return archive + directory + "PK\5\6" + number(0, 4) + number(arrays.size(), 2) +
         number(arrays.size(), 2) + number(directory.size(), 4) + number(at, 4) + number(0, 2);
}

/// `count` images of height 2 and width 3, image i all of the value first + i.
std::string grey_images(int count, int first) {
  std::string values;
  for (int i = 0; i < count; ++i) values += std::string(6, static_cast<char>(first + i));
  return npy("|u1", std::to_string(count) + ", 2, 3", values);
}

std::string labels(const std::vector<std::int64_t>& values) {
  return npy("<i8", std::to_string(values.size()) + ",", raw(values));
}

std::map<std::string, std::string> keras() {
  return {{"x_train", grey_images(4, 10)},
          {"y_train", labels({0, 2, 1, 0})},
          {"x_test", grey_images(2, 20)},
          {"y_test", labels({1, 2})}};
}

/// One split in .npy files, divided in halves by nothing: for looking at the training pixels.
std::vector<int> pixels_of(const std::string& images, const std::string& layout = "auto",
                           const std::string& color = "auto") {
  PreprocessJob job;
  write(job.files() / "x_train.npy", images);
  write(job.files() / "y_train.npy", labels({0}));
  write(job.files() / "x_test.npy", images);
  write(job.files() / "y_test.npy", labels({0}));
  job.params.layout = layout;
  job.params.color = color;
  job.params.normalization = "computed";
  const learn::DatasetReader data = job.run();
  const auto images_read = data.split("train").images;
  return {images_read.begin(), images_read.end()};
}

std::string parse_failure(const std::string& text) {
  return message_of([&] {
    parse_npy({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, "a.npy");
  });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(numpy)

BOOST_AUTO_TEST_CASE(keras_and_medmnist_names) {
  for (const bool compressed : {false, true}) {
    PreprocessJob job;
    write(job.files() / "deep/mnist.npz", npz(keras(), compressed));
    job.params.normalization = "computed";
    const learn::DatasetReader data = job.run();
    BOOST_CHECK_EQUAL(data.info().channels, 1);
    BOOST_CHECK_EQUAL(data.info().height, 2);
    BOOST_CHECK_EQUAL(data.info().width, 3);
    BOOST_CHECK((data.info().classes == std::vector<std::string>{"0", "1", "2"}));
    BOOST_CHECK((reds(data, "train") == Ints{10, 11, 12, 13}));
    BOOST_CHECK((numbers(data.split("train").labels) == Ints{0, 2, 1, 0}));
    BOOST_CHECK((reds(data, "test") == Ints{20, 21}));
    BOOST_CHECK(!fs::exists(job.preview() / "files.csv"));
  }
  PreprocessJob med;
  write(med.files() / "med.npz", npz({{"train_images", grey_images(2, 1)},
                                      {"train_labels", npy("|u1", "2, 1", std::string("\0\1", 2))},
                                      {"val_images", grey_images(1, 5)},
                                      {"val_labels", npy("|u1", "1, 1", std::string("\1", 1))},
                                      {"test_images", grey_images(1, 6)},
                                      {"test_labels", npy("|u1", "1, 1", std::string("\0", 1))}},
                                     false));
  med.params.color = "rgb";
  const learn::DatasetReader data = med.run();
  BOOST_CHECK_EQUAL(data.info().channels, 3);
  BOOST_CHECK((reds(data, "validation") == Ints{5}));
}

BOOST_AUTO_TEST_CASE(one_set_is_split_and_classes_have_names) {
  PreprocessJob job;
  write(job.files() / "X.npy", grey_images(8, 1));
  write(job.files() / "y.npy", labels({0, 1, 0, 1, 0, 1, 0, 1}));
  write(job.files() / "classes.txt", "no\nyes\n");
  job.params.normalization = "computed";
  job.params.test = 0.25;
  const learn::DatasetReader data = job.run();
  BOOST_CHECK((data.info().classes == std::vector<std::string>{"no", "yes"}));
  BOOST_CHECK_EQUAL(data.split("train").count, 6);
  BOOST_CHECK_EQUAL(data.split("test").count, 2);

  PreprocessJob named;
  auto arrays = keras();
  std::vector<std::uint32_t> text = {'u', 0xe9, 0, 'x', 0, 0, 'y', 'z', 0};
  arrays["class_names"] = npy("<U3", "3,", raw(text));
  write(named.files() / "a.npz", npz(arrays, true));
  named.params.normalization = "computed";
  BOOST_CHECK((named.run().info().classes == std::vector<std::string>{"u\xc3\xa9", "x", "yz"}));
}

BOOST_AUTO_TEST_CASE(types_and_byte_orders) {
  const std::string shape = "1, 1, 4";
  const Ints expected = {0, 1, 128, 255};
  BOOST_CHECK(pixels_of(npy("|u1", shape, std::string("\0\1\x80\xff", 4))) == expected);
  for (const bool big : {false, true}) {
    const std::string order = big ? ">" : "<";
    const std::vector<std::uint16_t> deep = {128, 129, 32896, 65535};
    BOOST_CHECK(pixels_of(npy(order + "u2", shape, raw(deep, big))) == expected);
    const std::vector<float> single = {0, 1 / 255.f, 0.502f, 1};
    BOOST_CHECK(pixels_of(npy(order + "f4", shape, raw(single, big))) == expected);
    const std::vector<double> twice = {0.0019, 0.002, 0.5, 0.9999};
    BOOST_CHECK(pixels_of(npy(order + "f8", shape, raw(twice, big))) == expected);
  }
  for (const int format : {2, 3}) {
    const std::string values("\0\1\x80\xff", 4);
    BOOST_CHECK(pixels_of(npy("|u1", shape, values, false, format)) == expected);
  }
}

BOOST_AUTO_TEST_CASE(axes) {
  // Two rows of two pixels; channel c of pixel p is 10 p + c.
  const Ints expected = {0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32};
  std::string last;
  std::string second;
  std::string fortran;  // Of (N, H, W, C): the rows lie together, then columns, then channels.
  for (const int value : expected) last += static_cast<char>(value);
  for (int c = 0; c < 3; ++c) {
    for (const int pixel : {0, 1, 2, 3}) second += static_cast<char>(10 * pixel + c);
    for (const int pixel : {0, 2, 1, 3}) fortran += static_cast<char>(10 * pixel + c);
  }
  BOOST_CHECK(pixels_of(npy("|u1", "1, 2, 2, 3", last)) == expected);
  BOOST_CHECK(pixels_of(npy("|u1", "1, 3, 2, 2", second)) == expected);
  BOOST_CHECK(pixels_of(npy("|u1", "1, 2, 2, 3", fortran, true)) == expected);
  const std::string both(27, '\7');
  check_contains(message_of([&] { pixels_of(npy("|u1", "1, 3, 3, 3", both)); }),
                 "whose channels may be the second or the last axis: set layout");
  BOOST_CHECK_EQUAL(
      message_of([&] { pixels_of(npy("|u1", "1, 3, 3, 3", both + ""), "NCHW"); }),
      "normalization = \"computed\" is impossible: channel 0 has the same value in every training "
      "image");
  const std::string clear("\x64\x64\x64\xff\1\1\1\0", 8);
  BOOST_CHECK((pixels_of(npy("|u1", "1, 1, 2, 4", clear), "NHWC", "grey") == Ints{100, 128}));
}

BOOST_AUTO_TEST_CASE(wrong_arrays) {
  const auto failure = [](std::map<std::string, std::string> changes) {
    PreprocessJob job;
    auto arrays = keras();
    for (auto& [name, content] : changes) {
      if (content.empty()) {
        arrays.erase(name);
      } else {
        arrays[name] = content;
      }
    }
    write(job.files() / "a.npz", npz(arrays, false));
    job.params.normalization = "computed";
    return job.failure();
  };
  BOOST_CHECK_EQUAL(failure({{"y_test", ""}}), "a.npz: x_test is there without its labels");
  BOOST_CHECK_EQUAL(failure({{"train_images", grey_images(1, 1)}}),
                    "a.npz: both train_images and x_train are images of one split");
  check_contains(failure({{"X", grey_images(1, 1)}, {"y", labels({0})}}),
                 "X and y are of no split, while others are");
  BOOST_CHECK_EQUAL(failure({{"y_train", labels({0, 1})}}),
                    "y_train of a.npz has the shape (2,), but one label for each of the 4 images "
                    "of x_train of a.npz is needed");
  check_contains(failure({{"y_train", labels({0, -1, 0, 0})}}), "label -1 of image 1 is not");
  check_contains(failure({{"y_train", npy("<f4", "4,", std::string(16, '\0'))}}),
                 "has to hold whole numbers, not float32");
  check_contains(failure({{"x_train", npy("|O", "4,", "x")}}),
                 "holds Python objects (dtype object)");
  check_contains(failure({{"x_train", npy("<i4", "4, 2, 3", std::string(96, '\0'))}}),
                 "holds int32; images are read from uint8");
  check_contains(failure({{"x_train", npy("<f4", "4, 1, 1", raw<float>({0, 0.5, 17, 1}))}}),
                 "x_train of a.npz, image 2: the value 17 is not from 0 to 1, where floats have to "
                 "be; divide the array by its maximum");
  check_contains(failure({{"x_train", npy("<f4", "4, 1, 1", raw<float>({0, 1, 0.5, -0.5}))}}),
                 "image 3: the value -0.5 is not from 0 to 1, where floats have to be; move and");
  for (const double value : {std::nan(""), HUGE_VAL}) {
    check_contains(failure({{"x_train", npy("<f8", "4, 1, 1", raw<double>({0, 1, value, 1}))}}),
                   "is no number that a pixel can have; put another in its place "
                   "(numpy.nan_to_num) or leave such images out");
  }
  BOOST_CHECK_EQUAL(failure({{"x_test", npy("|u1", "0, 2, 3", "")}, {"y_test", labels({})}}),
                    "x_test of a.npz has the shape (0, 2, 3), so that no images are in it: leave "
                    "it out together with its labels, or save it again with images");
  check_contains(failure({{"x_train", npy("|u1", "4, 6", std::string(24, 'x'))}}),
                 "has the shape (4, 6); images have");
  check_contains(failure({{"x_train", npy("|u1", "4, 2, 3", std::string(23, 'x'))}}),
                 "has 23 bytes of values instead of 24 for (4, 2, 3) uint8");
  PreprocessJob strange;
  write(strange.files() / "a.npz", npz({{"arr_0", grey_images(1, 1)}}, false));
  check_contains(strange.failure(), "no array has the name of images or labels");
  check_contains(strange.failure(), "a.npz holds arr_0");
}

BOOST_AUTO_TEST_CASE(labels_without_images) {
  const auto fill = [](const PreprocessJob& job, const std::vector<std::int64_t>& train,
                       const std::vector<std::int64_t>& test, const std::string& names) {
    const auto count = [](const auto& labels) { return static_cast<int>(labels.size()); };
    write(job.files() / "in/a.npz", npz({{"x_train", grey_images(count(train), 1)},
                                         {"y_train", labels(train)},
                                         {"x_test", grey_images(count(test), 9)},
                                         {"y_test", labels(test)}},
                                        true));
    if (!names.empty()) write(job.files() / "in/classes.txt", names);
  };
  const auto failure = [&](const std::vector<std::int64_t>& train,
                           const std::vector<std::int64_t>& test, const std::string& names = "") {
    PreprocessJob job;
    fill(job, train, test, names);
    job.params.normalization = "computed";
    return job.failure();
  };
  BOOST_CHECK_EQUAL(failure({0, 2, 4}, {2, 0}),
                    "in/a.npz: the labels go up to 4, but no image has 1, 3: renumber them in all "
                    "splits alike (numpy.unique(labels, return_inverse=True)[1]); or, if these are "
                    "classes without images, name all 5 (class_names, or a classes.txt beside the "
                    "arrays)");
  check_contains(failure({1, 2, 3}, {3}),
                 "the labels go up to 3, but no image has 0: labels count from 0, so subtract 1 "
                 "from all; or");
  check_contains(failure({0, 65535}, {0}), "no image has 1, 2, 3, 4, 5 and 65529 more: renumber");
  BOOST_CHECK_EQUAL(failure({1, 2, 3}, {1}, "a\nb\nc"),
                    "in/a.npz: with 3 class names labels go up to 2, but there is the label 3: "
                    "labels count from 0, so subtract 1 from all");
  check_contains(failure({0, 1, 2}, {1}, "a\nb"),
                 "with 2 class names labels go up to 1, but there is the label 2: name the other");

  const auto remarks = [&](const std::vector<std::int64_t>& train,
                           const std::vector<std::int64_t>& test, const std::string& names,
                           std::size_t classes) {
    PreprocessJob job;
    fill(job, train, test, names);
    job.params.normalization = "computed";
    BOOST_CHECK_EQUAL(job.run().info().classes.size(), classes);
    std::string said;
    for (const auto& [level, line] : job.context.logs) {
      if (line.find("no image") == 0) said += line + "\n";
    }
    return said;
  };
  BOOST_CHECK_EQUAL(remarks({0, 1}, {1, 0}, "", 2), "");
  BOOST_CHECK_EQUAL(remarks({0, 2}, {2, 0}, "a\nb\nc\nd", 4),
                    "no image has the label 1 ('b'), 3 ('d')\n");
  BOOST_CHECK_EQUAL(remarks({0, 1}, {0, 2}, "", 3),
                    "no image of the train split has the label 2\n"
                    "no image of the test split has the label 1\n");
}

BOOST_AUTO_TEST_CASE(wrong_headers) {
  const std::string good = npy("|u1", "2,", "ab");
  BOOST_CHECK_EQUAL(parse_failure(good), "");
  BOOST_CHECK_EQUAL(parse_failure("PK"), "a.npy is not a NumPy array");
  BOOST_CHECK_EQUAL(parse_failure(good.substr(0, 60)), "a.npy is cut off in its header");
  check_contains(parse_failure(npy("|u1", "2,", "ab", false, 4)), "has the .npy format 4");
  check_contains(parse_failure(npy("|u1", "99999999999, 99999999999", "ab")), "any memory");
  check_contains(parse_failure(npy("|u1', 'descr': '|u1", "2,", "ab")), "has an entry twice");
  check_contains(parse_failure(npy("|u1", "__import__(1)", "ab")), "has no number where");
  check_contains(parse_failure(npy("|V8", "2,", "ab")), "instead of");
  check_contains(parse_failure(npy("<U0", "2,", "")), "values of no size");
}

/// Any change of a few bytes gives an array or one sentence.
BOOST_AUTO_TEST_CASE(changed_headers) {
  const std::string good = npy("<u2", "3, 2, 2, 1", std::string(24, 'x'));
  std::uint32_t random = 7;
  const auto draw = [&](std::size_t below) {
    random = random * 1664525 + 1013904223;
    return (random >> 8) % below;
  };
  for (int round = 0; round < 20000; ++round) {
    std::string changed = good;
    for (std::size_t k = draw(3) + 1; k > 0; --k) {
      const char replacements[] = "0123456789(),':{}<>|TFuifOUS \n";
      changed[draw(80)] = replacements[draw(sizeof replacements - 1)];
    }
    parse_failure(changed);
  }
}

BOOST_AUTO_TEST_CASE(damaged_archives) {
  for (const bool compressed : {false, true}) {
    const std::string good = npz(keras(), compressed);
    std::uint32_t random = 3;
    for (int round = 0; round < 100; ++round) {
      random = random * 1664525 + 1013904223;
      std::string changed = good;
      changed[(random >> 8) % changed.size()] ^= 0x55;
      PreprocessJob job;
      write(job.files() / "a.npz", changed);
      job.params.normalization = "computed";
      message_of([&] { PreprocessStage(job.params).run(job.context); });
    }
    PreprocessJob wrong;
    std::string changed = good;
    changed[good.find("PK\3\4", 10) - 2] ^= 1;  // The last value but one of an array.
    write(wrong.files() / "a.npz", changed);
    check_contains(wrong.failure(), "is damaged");
  }
}

BOOST_AUTO_TEST_SUITE_END()
