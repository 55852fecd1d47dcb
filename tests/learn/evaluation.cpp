#include "stages/learn/evaluation.hpp"

#include "stages/evaluate/report.hpp"
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
  BOOST_TEST(judge(logits, 3).label_rank == 0);
  BOOST_TEST(std::abs(judge(std::vector<float>{1000, 0}, 1).loss - 1000) < 1e-9);  // no overflow
}

BOOST_AUTO_TEST_CASE(a_report_counts_and_writes) {
  TempFolder temp;
  ModelInfo info;
  info.architecture = "linear";
  info.classes = {"cat", "a,b", "dog"};
  info.parameters = 12;
  EvaluationReport report("test", info);
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
  BOOST_TEST(read_text(temp.path() / "per_class.csv") ==
             "class,images,correct,accuracy,predicted,precision\n"
             "cat,1,1,1,2,0.5\n\"a,b\",2,1,0.5,1,1\ndog,0,0,0,0,0\n");
  const std::string predictions = read_text(temp.path() / "predictions.csv");
  BOOST_TEST(predictions.find("\n11,1,0,\"a,b\",cat,0.665241,0.244728,0\n") != std::string::npos);
  BOOST_TEST(read_text(temp.path() / "summary.json").find("\"images\": 3") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
}  // namespace cifarpipe::learn
