// Duplicates in small datasets: which are found, what is written about them, and that neither
// threads nor many equal images change what it says.
#include "stages/preprocess/duplicates.hpp"

#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "stages/learn/duplicate_list.hpp"
#include "stages/preprocess/duplicates_report.hpp"
#include "stages/preprocess/perceptual_hash.hpp"
#include "tests/data/photographs.hpp"
#include "tests/data/support.hpp"

using namespace cifarpipe;
using namespace cifarpipe::preprocess;
using namespace cifarpipe::test;

namespace {

using Image = std::vector<std::uint8_t>;

/// A dataset of which each test adds images; an image's index is 10 more than its place.
struct Data {
  TempDir temp;
  FakeContext context{temp.path()};
  learn::DatasetWriter writer{context.output("dataset"), info()};
  std::map<std::string, std::int32_t> next;

  static learn::DatasetInfo info() {
    learn::DatasetInfo info;
    info.height = info.width = 32;
    info.channels = 3;
    info.classes = {"a", "b"};
    return info;
  }
  void add(const std::string& split, const Image& image, int label = 0) {
    writer.add(split, image, label, 10 + next[split]++);
  }
  learn::DatasetReader finish() {
    writer.set_normalisation({0.5, 0.5, 0.5}, {0.2, 0.2, 0.2});
    writer.finish();
    return learn::DatasetReader(context.output("dataset"));
  }
};

Duplicates find(const learn::DatasetReader& data, int distance = 64, int threads = 2) {
  return find_duplicates(data, distance, threads, [](double) {});
}

Image flat(int shade) {
  return Image(3072, static_cast<std::uint8_t>(shade));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(duplicates)

BOOST_AUTO_TEST_CASE(exact_and_near_are_listed) {
  Data data;
  const Image near = changed(photograph(1), 1, 12, 0);
  const int distance =
      hash_distance(PerceptualHasher(32, 32, 3)(photograph(1)), PerceptualHasher(32, 32, 3)(near));
  data.add("train", photograph(0));
  data.add("train", photograph(1));
  data.add("train", photograph(2), 1);
  data.add("train", photograph(0), 1);  // Exact, of another label.
  data.add("validation", photograph(2), 1);
  data.add("test", photograph(9));
  data.add("test", near);
  const learn::DatasetReader reader = data.finish();
  const Duplicates found = find(reader);
  const std::string bits = std::to_string(distance);
  BOOST_CHECK_EQUAL(duplicates_csv(found),
                    "split,index,other_split,other_index,kind,distance,label,other_label\n"
                    "train,10,train,13,exact,0,0,1\n"
                    "train,11,test,11,near," +
                        bits +
                        ",0,0\n"
                        "train,12,validation,10,exact,0,1,1\n"
                        "train,13,train,10,exact,0,1,0\n"
                        "validation,10,train,12,exact,0,1,1\n"
                        "test,11,train,11,near," +
                        bits + ",0,0\n");
  BOOST_CHECK_EQUAL(duplicates_sentence(found, reader),
                    "duplicates: of 2 test images 1 has one in the training split; of 1 "
                    "validation image 1 has one in the training split (1 exact); of 4 training "
                    "images 2 have one in their own split (2 exact, 2 of another label)");
  const auto counts = nlohmann::json::parse(duplicates_json(found, reader, 64));
  BOOST_CHECK_EQUAL(counts["distance"], 64);
  BOOST_CHECK_EQUAL(counts["images"]["test"]["train"]["near"], 1);
  BOOST_CHECK_EQUAL(counts["images"]["train"]["train"]["other_label"], 2);
  BOOST_CHECK_EQUAL(counts["images"]["test"]["test"]["near"], 0);

  BOOST_CHECK_EQUAL(find(reader, distance - 1).counts[2][0].all(), 0);
  BOOST_CHECK_EQUAL(find(reader, distance - 1).counts[0][0].exact, 2);
  BOOST_CHECK_EQUAL(find(reader, -1).counts[0][1].exact, 1);
}

BOOST_AUTO_TEST_CASE(nothing_is_found_among_different_images) {
  Data data;
  for (unsigned i = 0; i < 40; ++i) data.add(i % 4 == 0 ? "test" : "train", photograph(i));
  const learn::DatasetReader reader = data.finish();
  BOOST_CHECK(find(reader).found.empty());
  BOOST_CHECK_EQUAL(duplicates_sentence(find(reader), reader), "duplicates: none");
}

BOOST_AUTO_TEST_CASE(labels_that_differ_raise_a_doubt) {
  Data data;
  for (unsigned i = 0; i < 10; ++i) {
    data.add("train", photograph(i), 0);
    data.add("train", changed(photograph(i), 1, 12, 0), i < 5 ? 1 : 0);
  }
  BOOST_CHECK_EQUAL(duplicates_doubt(find(data.finish())),
                    "10 of 20 near-duplicates have another label than their partner: images of "
                    "this data set may be alike without being duplicates; look at duplicates.png, "
                    "and lower duplicate_distance");
  Data few;
  for (unsigned i = 0; i < 10; ++i) {
    few.add("train", photograph(i), 0);
    few.add("train", changed(photograph(i), 1, 12, 0), i < 4 ? 1 : 0);
  }
  BOOST_CHECK_EQUAL(duplicates_doubt(find(few.finish())), "");
}

BOOST_AUTO_TEST_CASE(evaluate_reads_the_list) {
  Data data;
  for (unsigned i = 0; i < 6; ++i) data.add("train", photograph(i));
  data.add("validation", photograph(3));
  for (const unsigned i : {7U, 2U, 8U, 8U, 5U}) data.add("test", changed(photograph(i), 1, 2, 2));
  data.finish();
  report_duplicates(data.context, 64);
  const fs::path list = data.context.output("dataset") / "duplicates.csv";
  BOOST_CHECK((learn::read_duplicates(list, "test") == std::set<std::int64_t>{11, 14}));
  BOOST_CHECK((learn::read_duplicates(list, "validation") == std::set<std::int64_t>{10}));
  check_contains(data.context.logs.back().second,
                 "of 5 test images 2 have one in the training split");
  const fs::path preview = data.context.output("preview");
  BOOST_CHECK_EQUAL(read(preview / "duplicates.png").substr(1, 3), "PNG");
  BOOST_CHECK(fs::exists(preview / "duplicates.json"));
}

/// What the search promises, computed the plain way.
std::string plain_search(const learn::DatasetReader& data, int limit) {
  struct One {
    std::string_view split;
    std::size_t place;
    std::span<const std::uint8_t> pixels;
    PerceptualHash hash;
  };
  std::vector<One> all;
  PerceptualHasher hasher(32, 32, 3);
  for (const std::string_view name : learn::kSplitNames) {
    if (!data.has(name)) continue;
    const learn::SplitView& split = data.split(name);
    for (std::size_t i = 0; i < static_cast<std::size_t>(split.count); ++i) {
      const auto pixels = split.images.subspan(i * 3072, 3072);
      all.push_back({name, i, pixels, hasher(pixels)});
    }
  }
  std::string text;
  for (const One& one : all) {
    for (const std::string_view name : learn::kSplitNames) {
      std::tuple<int, int, const One*> best{2, 0, nullptr};  // Not exact, distance.
      for (const One& other : all) {
        if (&one == &other || other.split != name) continue;
        const bool exact = std::ranges::equal(one.pixels, other.pixels);
        const int distance = hash_distance(one.hash, other.hash);
        if (!exact && (distance > limit || one.hash.flat || other.hash.flat)) continue;
        const std::tuple<int, int, const One*> found{exact ? 0 : 1, distance, &other};
        if (std::pair(std::get<0>(found), std::get<1>(found)) <
            std::pair(std::get<0>(best), std::get<1>(best))) {
          best = found;
        }
      }
      const One* other = std::get<2>(best);
      if (other == nullptr) continue;
      text += std::string(one.split) + " " + std::to_string(one.place) + " " + std::string(name) +
              " " + std::to_string(std::get<1>(best)) + (std::get<0>(best) == 0 ? " exact" : "") +
              "\n";
    }
  }
  return text;
}

BOOST_AUTO_TEST_CASE(the_nearest_of_all_whatever_the_threads) {
  Data data;
  std::mt19937 random(3);
  for (int i = 0; i < 400; ++i) {
    const Image image = photograph(random() % 60);
    const int noise = static_cast<int>(random() % 4) * 5;
    const double contrast = random() % 2 == 0 ? 1 : 0.8;
    const std::string split(learn::kSplitNames[random() % 3]);
    data.add(split, random() % 20 == 0 ? flat(static_cast<int>(random() % 3))
                                       : changed(image, contrast, 0, noise));
  }
  const learn::DatasetReader reader = data.finish();
  for (const int limit : {0, 20, 64}) {
    const Duplicates found = find(reader, limit, 1);
    std::string text;
    for (const Duplicate& d : found.found) {
      text += std::string(learn::kSplitNames[d.image.split]) + " " + std::to_string(d.image.place) +
              " " + std::string(learn::kSplitNames[d.partner.split]) + " " +
              std::to_string(d.distance) + (d.exact ? " exact" : "") + "\n";
    }
    BOOST_CHECK_GT(found.found.size(), 100u);
    BOOST_CHECK_EQUAL(text, plain_search(reader, limit));
    for (const int threads : {2, 7}) {
      BOOST_CHECK_EQUAL(duplicates_csv(find(reader, limit, threads)), duplicates_csv(found));
    }
  }
}

BOOST_AUTO_TEST_CASE(many_equal_images_are_a_line_each) {
  Data data;
  for (int i = 0; i < 500; ++i) data.add("train", photograph(1));
  data.add("train", changed(photograph(1), 1, 3, 0));
  for (int i = 0; i < 3; ++i) data.add("test", changed(photograph(1), 1, 6, 0));
  const Duplicates found = find(data.finish());
  BOOST_CHECK_EQUAL(found.counts[0][0].exact, 500);
  BOOST_CHECK_EQUAL(found.counts[0][0].near, 1);
  BOOST_CHECK_EQUAL(found.counts[2][0].near, 3);  // Each of the equal ones, not only their first.
  BOOST_CHECK_EQUAL(found.counts[2][2].exact, 3);
  BOOST_CHECK_EQUAL(found.found.size(), 2 * 501u + 2 * 3u);
}

BOOST_AUTO_TEST_CASE(images_of_one_colour_match_only_themselves) {
  Data data;
  for (int shade = 0; shade < 200; ++shade) data.add("train", flat(shade));
  data.add("train", changed(flat(50), 1, 0, 1));
  data.add("test", flat(77));
  const Duplicates found = find(data.finish(), kHashBits);
  BOOST_REQUIRE_EQUAL(found.found.size(), 2u);
  BOOST_CHECK(found.found[1].exact);
  BOOST_CHECK_EQUAL(found.found[1].partner_index, 87);
}

BOOST_AUTO_TEST_CASE(a_search_can_be_stopped) {
  Data data;
  for (unsigned i = 0; i < 20; ++i) data.add("train", photograph(i));
  const learn::DatasetReader reader = data.finish();
  BOOST_CHECK_THROW(find_duplicates(reader, 64, 3, [](double) { throw Interrupted(); }),
                    Interrupted);
  data.context.stopper.request_stop();
  BOOST_CHECK_THROW(report_duplicates(data.context, 64), Interrupted);
  double last = -1;
  find_duplicates(reader, 64, 3, [&](double done) {
    BOOST_CHECK_GE(done, last);
    BOOST_CHECK_LE(done, 1.0);
    last = done;
  });
  BOOST_CHECK_GE(last, 0.0);
}

BOOST_AUTO_TEST_CASE(no_images_no_duplicates) {
  Data data;
  data.writer.begin_split("train");
  data.add("test", photograph(1));
  BOOST_CHECK(find(data.finish()).found.empty());
}

BOOST_AUTO_TEST_SUITE_END()
