// What the suites about the store share: a result with every kind of file and point, and its
// making.
#pragma once

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "pipeline/store.hpp"
#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace testing {

namespace fs = std::filesystem;

inline const std::string kDocument = R"({"stage":"train","lr":0.001})";
inline const std::string kKey = sha256(kDocument);

inline const std::vector<VisiblePoint> kPoints = {
    {"loss", 1, 1700000000000, 0.1},
    {"loss", 2, 1700000000001, std::numeric_limits<double>::quiet_NaN()},
    {"class_accuracy/\"cat\"\n", 0, 1700000000002, -0.0},
    {"up", 0, 1700000000003, std::numeric_limits<double>::infinity()},
    {"down", -1, 1700000000004, -std::numeric_limits<double>::infinity()},
    {"tiny", 0, 1700000000005, 4.9e-324},
};

/// What a worker leaves: outputs below a work folder, and the record that tells of them.
inline ResultRecord fill(const fs::path& work, const JobRef& job,
                         const std::string& weights = "weights") {
  FileOps& ops = real_file_ops();
  ops.make_dirs(work / "model/deep");
  ops.make_dirs(work / "empty");
  ops.write_file(work / "model/weights", weights);
  ops.write_file(work / "model/deep/er", "");
  ResultRecord record;
  record.job = job;
  record.stage = "train";
  record.key_document = kDocument;
  record.outputs = {{"model", digest_tree(work / "model")}, {"empty", {}}};
  record.facts = {{"cpu", "a \"fast\" one"}, {"odd", "\xff"}};
  record.usage = {1234, 2345, 1 << 30};
  record.attempts = 3;
  record.created_ms = 1700000000000;
  return record;
}

inline StoredResult make(Store& store, const JobRef& job, const std::string& weights = "weights") {
  const auto lock = Lock::try_lock(store.lock_file(job));
  const fs::path work = store.new_work_dir(job);
  return store.publish(work, fill(work, job, weights), kPoints);
}

/// Everything below a folder, as "path size", for comparing.
inline std::vector<std::string> tree(const fs::path& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(dir)) {
    names.push_back(fs::relative(entry.path(), dir).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

inline bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

inline void check_points(const std::vector<VisiblePoint>& points) {
  BOOST_REQUIRE_EQUAL(points.size(), kPoints.size());
  for (std::size_t i = 0; i < points.size(); ++i) {
    BOOST_TEST(points[i].metric == kPoints[i].metric);
    BOOST_TEST(points[i].step == kPoints[i].step);
    BOOST_TEST(points[i].time_ms == kPoints[i].time_ms);
    BOOST_TEST(same(points[i].value, kPoints[i].value));
  }
}

}  // namespace testing
}  // namespace cifarpipe
