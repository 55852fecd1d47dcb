#include "tracking/reproduction.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tests/unit/temp_dir.hpp"

namespace cifarpipe {
namespace {

using Verdict = StageComparison::Verdict;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

/// A finished stage with two files and two metrics, points in turns.
StageOutcome stage(const std::string& name = "train") {
  StageOutcome s;
  s.name = name;
  s.status = "finished";
  s.outputs = {{"model", {{"a.bin", 3, "aa"}, {"b/c.bin", 4, "bb"}}}};
  s.points = {{"loss", 1, 10, 0.5},
              {"accuracy", 1, 11, 0.1},
              {"loss", 2, 12, 0.25},
              {"accuracy", 2, 13, kNan},
              {"images_per_second", 2, 14, 99}};
  return s;
}

RunOutcome run_of(std::vector<StageOutcome> stages) {
  RunOutcome run;
  run.stages = std::move(stages);
  return run;
}

StageComparison compare(const StageOutcome& a, const StageOutcome& b,
                        std::optional<double> tolerance = std::nullopt) {
  return compare_outcomes(run_of({a}), run_of({b}), tolerance).at(0);
}

BOOST_AUTO_TEST_SUITE(reproduction)

BOOST_AUTO_TEST_CASE(the_same) {
  StageOutcome b = stage();
  b.points[0].time_ms = 999;  // When is not what.
  b.points[4].value = 1;      // A rate.
  const StageComparison c = compare(stage(), b);
  BOOST_TEST((c.verdict == Verdict::same));
  BOOST_TEST(c.file_count == 2);
  BOOST_TEST(c.point_count == 4);
}

BOOST_AUTO_TEST_CASE(the_earliest_point_that_differs) {
  StageOutcome b = stage();
  b.points[2].value = std::nextafter(0.25, 1.0);
  b.points[1].value = 0.2;
  const StageComparison c = compare(stage(), b);
  BOOST_TEST((c.verdict == Verdict::differs));
  BOOST_REQUIRE(c.points.size() == 2);
  BOOST_TEST(c.points[0].metric == "accuracy");
  BOOST_TEST(c.points[0].step == 1);
  BOOST_TEST(*c.points[0].before == 0.1);
  BOOST_TEST(*c.points[0].now == 0.2);
  BOOST_TEST(c.points[1].metric == "loss");  // One unit in the last place is a difference.
  BOOST_TEST(c.points[1].step == 2);
}

BOOST_AUTO_TEST_CASE(values_that_are_not_finite) {
  const auto differs = [](double x, double y) {
    StageOutcome a = stage();
    StageOutcome b = stage();
    a.points[0].value = x;
    b.points[0].value = y;
    return compare(a, b).verdict == Verdict::differs;
  };
  BOOST_TEST(!differs(kNan, -kNan));
  BOOST_TEST(!differs(kInf, kInf));
  BOOST_TEST(differs(kInf, -kInf));
  BOOST_TEST(differs(kNan, 0.0));
  BOOST_TEST(differs(0.0, kNan));
  BOOST_TEST(differs(0.0, -0.0));
}

BOOST_AUTO_TEST_CASE(points_that_are_not_there) {
  StageOutcome fewer = stage();
  fewer.points.erase(fewer.points.begin() + 2);
  const StageComparison less = compare(stage(), fewer);
  BOOST_REQUIRE(less.points.size() == 1);
  BOOST_TEST(less.points[0].step == 2);
  BOOST_TEST(!less.points[0].now.has_value());
  const StageComparison more = compare(fewer, stage());
  BOOST_REQUIRE(more.points.size() == 1);
  BOOST_TEST(!more.points[0].before.has_value());
  BOOST_TEST(*more.points[0].now == 0.25);
  StageOutcome other = stage();
  other.points.push_back({"f1", 2, 15, 0.5});
  BOOST_TEST(compare(stage(), other).points.at(0).metric == "f1");
  StageOutcome later = stage();
  later.points[2].step = 3;
  BOOST_TEST(*compare(stage(), later).points.at(0).step_now == 3);
}

BOOST_AUTO_TEST_CASE(files) {
  StageOutcome b = stage();
  b.outputs[0].files[1].sha256 = "cc";
  b.outputs[0].files.push_back({"d.bin", 1, "dd"});
  const StageComparison c = compare(stage(), b);
  BOOST_TEST((c.verdict == Verdict::differs));
  BOOST_TEST(c.files == (std::vector<std::string>{"model/b/c.bin", "model/d.bin"}),
             boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(with_a_tolerance_files_do_not_decide) {
  StageOutcome b = stage();
  b.outputs[0].files[0].sha256 = "zz";
  b.points[0].value = 0.5 + 1e-7;
  BOOST_TEST((compare(stage(), b, 1e-6).verdict == Verdict::same));
  BOOST_TEST(compare(stage(), b, 1e-6).files.size() == 1);
  BOOST_TEST((compare(stage(), b, 1e-8).verdict == Verdict::differs));
  b.points[0].value = kInf;
  BOOST_TEST((compare(stage(), b, 1e300).verdict == Verdict::differs));
  b.points[0].value = kNan;
  BOOST_TEST((compare(stage(), b, 1e300).verdict == Verdict::differs));
}

BOOST_AUTO_TEST_CASE(stages_that_did_not_get_there) {
  StageOutcome failed = stage();
  failed.status = "failed";
  BOOST_TEST((compare(stage(), failed).verdict == Verdict::missing));
  const auto all = compare_outcomes(run_of({stage("a"), stage("b")}), run_of({stage("b")}), {});
  BOOST_TEST((all.at(0).verdict == Verdict::missing));
  BOOST_TEST((all.at(1).verdict == Verdict::same));
}

BOOST_AUTO_TEST_CASE(what_differs_around_it) {
  RunOutcome a = run_of({stage()});
  RunOutcome b = run_of({stage()});
  a.facts = {{"cpu", "one"},
             {"host", "same"},
             {"git.commit", "c0ffee"},
             {"git.top", "/there"},
             {"data.train.labels", "sha256:aa /there/labels"},
             {"data.train.images", "sha256:ab /there/images"},
             {"gpu", "sm_90"}};
  b.facts = {{"cpu", "two"},
             {"host", "same"},
             {"data.train.labels", "sha256:aa /here/labels"},
             {"data.train.images", "sha256:ff /here/images"},
             {"libtorch", "2.13"}};
  a.stages[0].facts = {{"etag", "x"}};
  b.stages[0].facts = {{"etag", "y"}};
  std::string text;
  for (const Circumstance& c : differing_circumstances(a, b)) {
    text += c.name + ":" + c.before + ">" + c.now + " ";
  }
  BOOST_TEST(text ==
             "cpu:one>two data.train.images:sha256:ab>sha256:ff gpu:sm_90> "
             "libtorch:>2.13 etag.train:x>y ");
}

BOOST_AUTO_TEST_CASE(data_that_only_the_key_tells_of) {
  RunOutcome a = run_of({stage()});
  RunOutcome b = run_of({stage()});
  const auto document = [](const std::string& digest) {
    return R"({"params":{"labels":{"content":")" + digest + R"("},"lr":1},"stage":"train"})";
  };
  a.stages[0].key_document = document("aaaaaaaa11");
  b.stages[0].key_document = document("bbbbbbbb22");
  const auto found = differing_circumstances(a, b);
  BOOST_REQUIRE(found.size() == 1);
  BOOST_TEST(found[0].name == "data.train.labels");
  BOOST_TEST(found[0].before == "content aaaaaaaa");
  BOOST_TEST(found[0].now == "content bbbbbbbb");
}

BOOST_AUTO_TEST_CASE(as_a_database_has_it) {
  const testing::TempDir dir;
  SqliteRecorder recorder(dir / "cifarpipe.db");
  NewRun run;
  run.id = "aa11";
  run.name = "one";
  run.facts = {{"host", "vm"}};
  run.folder = (dir / "one").string();
  recorder.create_run(run);
  RunStage row;
  row.name = "train";
  row.uses = "train";
  row.action = "run";
  row.status = "finished";
  row.job = {"k1", 0};
  recorder.put_run_stage("aa11", row);
  ResultRecord result;
  result.job = {"k1", 0};
  result.stage = "train";
  result.key_document = "{}";
  result.outputs = stage().outputs;
  recorder.restore_points({"k1", 0}, stage().points);
  recorder.put_result(result);
  const RunOutcome outcome = outcome_of(recorder, "aa11");
  BOOST_TEST(outcome.record.name == "one");
  BOOST_REQUIRE(outcome.stages.size() == 1);
  BOOST_TEST(outcome.stages[0].key_document == "{}");
  BOOST_TEST((compare(stage(), outcome.stages[0]).verdict == Verdict::same));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
