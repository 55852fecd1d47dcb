// Numbers in comments are the points of docs/conformance.md.
#include <boost/test/unit_test.hpp>
#include <clocale>
#include <cmath>
#include <limits>
#include <locale>

#include "tracking/mlflow/http.hpp"
#include "tracking/mlflow/retry.hpp"
#include "tracking/mlflow/wire.hpp"

namespace cifarpipe {
namespace {

using mlflow::BatchLimits;
using mlflow::BatchPart;
using mlflow::Metric;
using mlflow::Pairs;
using nlohmann::json;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Pairs some_pairs(std::size_t count, const std::string& value = "v") {
  Pairs pairs;
  for (std::size_t i = 0; i < count; ++i) pairs.emplace_back("k" + std::to_string(i), value);
  return pairs;
}

std::vector<Metric> some_metrics(std::size_t count) {
  std::vector<Metric> metrics(count);
  for (std::size_t i = 0; i < count; ++i) {
    metrics[i].key = "m";
    metrics[i].step = static_cast<std::int64_t>(i);
  }
  return metrics;
}

/// "metrics/params/tags" of each request, which together must be everything, in order.
std::string shapes(const std::vector<Metric>& metrics, const Pairs& params, const Pairs& tags,
                   const BatchLimits& limits = {}) {
  std::string out;
  BatchPart last;
  for (const BatchPart& part : mlflow::split_batch(metrics, params, tags, limits)) {
    BOOST_TEST(part.metrics_from == last.metrics_to);
    BOOST_TEST(part.params_from == last.params_to);
    BOOST_TEST(part.tags_from == last.tags_to);
    BOOST_TEST(part.size() > 0u);
    out += std::to_string(part.metrics_to - part.metrics_from) + "/" +
           std::to_string(part.params_to - part.params_from) + "/" +
           std::to_string(part.tags_to - part.tags_from) + " ";
    const std::string body = mlflow::batch_body("run", metrics, params, tags, part, true);
    BOOST_TEST(body.size() <= limits.bytes);
    BOOST_TEST(json::parse(body).is_object());
    last = part;
  }
  BOOST_TEST(last.metrics_to == metrics.size());
  BOOST_TEST(last.params_to == params.size());
  BOOST_TEST(last.tags_to == tags.size());
  return out;
}

std::string body_of(const Metric& metric, bool models = true) {
  BatchPart part;
  part.metrics_to = 1;
  return mlflow::batch_body("r", {metric}, {}, {}, part, models);
}

BOOST_AUTO_TEST_SUITE(mlflow_wire)

BOOST_AUTO_TEST_CASE(requests_keep_the_limits) {  // 22, 23
  BOOST_TEST(shapes({}, {}, {}) == "");
  BOOST_TEST(shapes({}, some_pairs(1), {}) == "0/1/0 ");
  BOOST_TEST(shapes({}, some_pairs(100), {}) == "0/100/0 ");
  BOOST_TEST(shapes({}, some_pairs(101), {}) == "0/100/0 0/1/0 ");
  BOOST_TEST(shapes({}, some_pairs(250), some_pairs(101)) == "0/100/100 0/100/1 0/50/0 ");
  BOOST_TEST(shapes(some_metrics(1000), {}, {}) == "1000/0/0 ");
  BOOST_TEST(shapes(some_metrics(1001), {}, {}) == "1000/0/0 1/0/0 ");
  BOOST_TEST(shapes(some_metrics(900), some_pairs(100), some_pairs(1)) == "899/100/1 1/0/0 ");
}

BOOST_AUTO_TEST_CASE(requests_stay_below_900_kilobytes) {  // 24
  std::string wide;
  for (int i = 0; i < 6000; ++i) wide += "😀";
  const std::string nasty(6000, '\x01');   // Six bytes each as JSON.
  const std::string broken(6000, '\xff');  // Three each.
  for (const std::string& value : {wide, nasty, broken}) {
    BOOST_TEST(mlflow::split_batch({}, some_pairs(100, value), {}).size() > 1u);
    shapes({}, some_pairs(100, value), {});
  }
  std::vector<Metric> metrics = some_metrics(1000);
  for (Metric& metric : metrics) metric.key = std::string(250 * 4, '\xf0');
  shapes(metrics, {}, {});
  BatchLimits small;
  small.bytes = 2000;
  BOOST_TEST(mlflow::split_batch(some_metrics(100), {}, {}, small).size() > 4u);
  shapes(some_metrics(100), {}, {}, small);
}

BOOST_AUTO_TEST_CASE(halves) {
  BatchPart part;
  part.metrics_to = 5;
  part.params_to = 2;
  part.tags_to = 2;
  const auto halves = part.halves();
  BOOST_TEST(halves.first.size() == 4u);
  BOOST_TEST(halves.second.size() == 5u);
  BOOST_TEST(halves.first.metrics_to == halves.second.metrics_from);
  BOOST_TEST(halves.second.metrics_to == 5u);
  BOOST_TEST(halves.first.params_to == 2u);
  BOOST_TEST(halves.second.tags_to == 2u);
}

BOOST_AUTO_TEST_CASE(numbers) {  // 26, 32
  BOOST_TEST(body_of({"a", kNan, 1, 2, "", "", ""}) ==
             R"({"run_id":"r","metrics":[{"key":"a","value":"NaN","timestamp":1,"step":2}]})");
  BOOST_TEST(mlflow::number_text(kInfinity) == "\"Infinity\"");
  BOOST_TEST(mlflow::number_text(-kInfinity) == "\"-Infinity\"");
  for (const double value : {0.1, -0.1, 1e-310, 5e-324, 1.7976931348623157e308, 3.0, 1e22, -7.0,
                             0.30000000000000004, 0.0}) {
    BOOST_TEST(json::parse(mlflow::number_text(value)).get<double>() == value);
  }
  Metric metric{"a", 1, 1700000000000, (std::int64_t{1} << 53) + 1, "", "", ""};
  json read = json::parse(body_of(metric))["metrics"][0];
  BOOST_TEST(read["step"].get<std::int64_t>() == (std::int64_t{1} << 53) + 1);
  BOOST_TEST(read["timestamp"].get<std::int64_t>() == 1700000000000);
  metric.step = std::numeric_limits<std::int64_t>::min();
  read = json::parse(body_of(metric))["metrics"][0];
  BOOST_TEST(read["step"].get<std::int64_t>() == std::numeric_limits<std::int64_t>::min());
}

struct German : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

BOOST_AUTO_TEST_CASE(the_locale_changes_nothing) {  // 31
  const std::string before = body_of({"a", 1234567.5, 1700000000000, 12345, "", "", ""});
  const std::locale old = std::locale::global(std::locale(std::locale(), new German));
  const std::string old_c = std::setlocale(LC_ALL, nullptr);
  for (const char* name : {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8"}) {
    if (std::setlocale(LC_ALL, name) != nullptr) break;  // Where it is installed.
  }
  const std::string after = body_of({"a", 1234567.5, 1700000000000, 12345, "", "", ""});
  const json read = *mlflow::parsed(R"({"value": 0.25, "text": "1234.5"})");
  const double number = mlflow::number_of(read, "value");
  const double text = mlflow::number_of(read, "text");
  std::setlocale(LC_ALL, old_c.c_str());
  std::locale::global(old);
  BOOST_TEST(before == after);
  BOOST_TEST(number == 0.25);
  BOOST_TEST(text == 1234.5);
}

BOOST_AUTO_TEST_CASE(models_and_their_datasets) {
  Metric metric{"a", 0.5, 1, 2, "m-1", "cifar10-test", "abc"};
  BOOST_TEST(json::parse(body_of(metric))["metrics"][0]["model_id"] == "m-1");
  BOOST_TEST(json::parse(body_of(metric))["metrics"][0]["dataset_digest"] == "abc");
  BOOST_TEST(!json::parse(body_of(metric, false))["metrics"][0].contains("model_id"));
  metric.value = kNan;  // Would be stored as 0.
  BOOST_TEST(!json::parse(body_of(metric))["metrics"][0].contains("model_id"));
}

BOOST_AUTO_TEST_CASE(text_is_always_utf8) {
  BatchPart part;
  part.params_to = part.tags_to = 1;
  const std::string body =
      mlflow::batch_body("r", {}, {{"a\xff", "\xc3("}}, {{"q\"", "\n\x01"}}, part, true);
  const json read = json::parse(body);
  BOOST_TEST(read["params"][0]["key"] == "a\xef\xbf\xbd");
  BOOST_TEST(read["params"][0]["value"] == "\xef\xbf\xbd(");
  BOOST_TEST(read["tags"][0]["value"] == "\n\x01");
}

BOOST_AUTO_TEST_CASE(answers_are_read_leniently) {
  BOOST_TEST(mlflow::parsed("").has_value());
  BOOST_TEST(mlflow::parsed(" \n").has_value());
  for (const char* text : {"<html>", "[]", "null", "{\"a\":", "OK", "\xff{}"}) {
    BOOST_TEST(!mlflow::parsed(text).has_value(), text);
  }
  const json read = *mlflow::parsed(
      R"({"n": "NaN", "i": "1700000000000", "d": 1.7e12, "x": null, "b": true, "o": {"k": "v"}})");
  BOOST_TEST(std::isnan(mlflow::number_of(read, "n")));
  BOOST_TEST(mlflow::integer_of(read, "i") == 1700000000000);
  BOOST_TEST(mlflow::integer_of(read, "d") == 1700000000000);
  BOOST_TEST(mlflow::text_of(read, "x") == "");
  BOOST_TEST(mlflow::text_of(read, "b") == "true");
  BOOST_TEST(mlflow::text_of(read, "o") == "");
  BOOST_TEST(mlflow::text_of(mlflow::object_of(read, "o"), "k") == "v");
  BOOST_TEST(mlflow::array_of(read, "o").empty());
  BOOST_TEST(mlflow::integer_of(read, "gone") == 0);
}

BOOST_AUTO_TEST_CASE(waits_between_tries) {  // 7
  const mlflow::Settings settings;
  std::string waits;
  for (int repeat = 1; repeat <= 9; ++repeat) {
    waits += std::to_string(static_cast<int>(mlflow::backoff_s(repeat, settings, 0))) + " ";
  }
  BOOST_TEST(waits == "0 2 4 8 16 32 64 120 120 ");
  BOOST_TEST(mlflow::backoff_s(2, settings, 0.5) == 2.5);
  BOOST_TEST(mlflow::backoff_s(100000, settings, 0) == 120);
  for (const long status : {408, 429, 500, 502, 503, 504})
    BOOST_TEST(mlflow::worth_repeating(status));
  for (const long status : {200, 301, 400, 401, 403, 404, 409, 413, 501}) {
    BOOST_TEST(!mlflow::worth_repeating(status));
  }
}

BOOST_AUTO_TEST_CASE(parts_of_addresses) {
  BOOST_TEST(mlflow::authority_of("https://u:p@Host:5000/a?b") == "host:5000");
  BOOST_TEST(mlflow::host_of("http://[::1]:5000/x") == "[::1]");
  BOOST_TEST(mlflow::host_of("http://h") == "h");
  BOOST_TEST(mlflow::is_loopback("http://127.0.0.1:1"));
  BOOST_TEST(mlflow::is_loopback("http://localhost"));
  BOOST_TEST(mlflow::is_loopback("http://[::1]:2"));
  BOOST_TEST(!mlflow::is_loopback("http://127.example.com"));
  BOOST_TEST(!mlflow::is_loopback("http://10.0.0.1"));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe
