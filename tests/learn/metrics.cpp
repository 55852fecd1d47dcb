// Against figures of scikit-learn: tests/parity/make_metrics.py.
#include "stages/learn/metrics.hpp"

#include "stages/evaluate/report.hpp"
#include "tests/learn/learn_fixture.hpp"

namespace cifarpipe::learn {
namespace {

#include "tests/learn/metrics_expected.inc"

/// As the script makes them.
class Answers {
 public:
  EvaluationReport report() {
    ModelInfo info;
    info.classes = {"a", "b", "c", "d", "e", "f", "g"};
    EvaluationReport made({"test", "none", 3, 15}, info);
    for (std::int32_t i = 0; i < 500; ++i) {
      const auto label = static_cast<std::int32_t>(draw(6));
      std::vector<float> row;
      for (int c = 0; c < 7; ++c) row.push_back((static_cast<float>(draw(256)) - 128) / 64);
      row[static_cast<std::size_t>(label)] += static_cast<float>(draw(192)) / 64;
      made.add(judge(row, label), i);
    }
    return made;
  }

 private:
  std::uint64_t draw(std::uint64_t bound) {
    state_ = (state_ * 1103515245 + 12345) % (std::uint64_t{1} << 31);
    return (state_ >> 8) % bound;
  }
  std::uint64_t state_ = 12345;
};

bool near(double a, double b) {
  return std::abs(a - b) < 1e-9;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(metrics)

BOOST_AUTO_TEST_CASE(as_scikit_learn) {
  const EvaluationReport report = Answers().report();
  BOOST_TEST(near(report.loss(), kLoss));
  BOOST_TEST(near(report.accuracy(), kAccuracy));
  BOOST_TEST(near(report.topk_accuracy(), kTop3));
  BOOST_TEST(near(report.macro().precision, kMacro[0]));
  BOOST_TEST(near(report.macro().recall, kMacro[1]));
  BOOST_TEST(near(report.macro().f1, kMacro[2]));
  BOOST_TEST(near(report.calibration().expected_error(), kCalibrationError));
  const auto classes = class_metrics(report.counts());
  for (std::size_t c = 0; c < classes.size(); ++c) {
    const double* row = kPerClass[c];
    const Interval interval = wilson(classes[c].correct, classes[c].images);
    BOOST_TEST(static_cast<double>(classes[c].images) == row[0]);
    BOOST_TEST(static_cast<double>(classes[c].correct) == row[1]);
    BOOST_TEST(static_cast<double>(classes[c].predicted) == row[2]);
    BOOST_TEST(near(classes[c].precision, row[3]));
    BOOST_TEST(near(classes[c].recall, row[4]));
    BOOST_TEST(near(classes[c].f1, row[5]));
    BOOST_TEST(near(interval.low, row[6]));
    BOOST_TEST(near(interval.high, row[7]));
  }
}

BOOST_AUTO_TEST_CASE(edges) {
  BOOST_TEST(wilson(0, 0).low == 0);
  BOOST_TEST(wilson(0, 0).high == 1);
  BOOST_TEST(wilson(0, 5).low == 0);
  BOOST_TEST(wilson(5, 5).high == 1);
  BOOST_TEST(wilson(5, 5).low > 0.5);
  Calibration calibration(4);
  calibration.add(0, false);
  calibration.add(1, true);
  calibration.add(0.25, true);
  calibration.add(std::nan(""), false);
  BOOST_TEST(calibration.bins()[0].images == 3);
  BOOST_TEST(calibration.bins()[3].images == 1);
  BOOST_TEST(near(calibration.largest_error(), 0.25 / -3 + 1.0 / 3));
  BOOST_TEST(macro_metrics({}).f1 == 0);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
