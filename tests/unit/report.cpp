// The parts of a report that know no run: escaping, CSV, axes, charts, words, comparing.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

#include "tracking/report/chart.hpp"
#include "tracking/report/comparison.hpp"
#include "tracking/report/csv.hpp"
#include "tracking/report/curves.hpp"
#include "tracking/report/html.hpp"
#include "tracking/report/judgement.hpp"
#include "tracking/report/words.hpp"

namespace cifarpipe::report {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos; ++at) ++found;
  return found;
}

bool has(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

BOOST_AUTO_TEST_SUITE(report)

BOOST_AUTO_TEST_CASE(text_is_escaped) {
  BOOST_TEST(escaped("a < b & \"c\" > 'd'") == "a &lt; b &amp; &quot;c&quot; &gt; &#39;d&#39;");
  BOOST_TEST(escaped("größe 日本 😀\t\n") == "größe 日本 😀\t\n");
  const std::string odd = "\xef\xbf\xbd";
  BOOST_TEST(escaped(std::string("\0\x1b[31m\x7f\r", 8)) == odd + odd + "[31m" + odd + odd);
  // Overlong, a surrogate, beyond Unicode, cut off, a lone continuation, a byte that never is.
  BOOST_TEST(escaped("\xc0\xaf") == odd + odd);
  BOOST_TEST(escaped("\xed\xa0\x80") == odd + odd + odd);
  BOOST_TEST(escaped("\xf4\x90\x80\x80") == odd + odd + odd + odd);
  BOOST_TEST(escaped("x\xe2\x82") == "x" + odd + odd);
  BOOST_TEST(escaped("\x80<") == odd + "&lt;");
  BOOST_TEST(escaped("\xff") == odd);
}

BOOST_AUTO_TEST_CASE(arguments_are_escaped_and_markup_is_not) {
  const std::string name = "<script>";
  BOOST_TEST(html("<b title=\"{}\">{}</b>{:.2f}{}", name, "a&b", 1.0, Markup{"<br>"}).html ==
             "<b title=\"&lt;script&gt;\">a&amp;b</b>1.00<br>");
}

BOOST_AUTO_TEST_CASE(base64_of_every_length) {
  BOOST_TEST(base64("") == "");
  BOOST_TEST(base64("f") == "Zg==");
  BOOST_TEST(base64("fo") == "Zm8=");
  BOOST_TEST(base64("foo") == "Zm9v");
  BOOST_TEST(base64("foobar") == "Zm9vYmFy");
  BOOST_TEST(base64(std::string_view("\xff\x00\xfe", 3)) == "/wD+");
}

BOOST_AUTO_TEST_CASE(csv_as_stages_write_it) {
  const CsvTable table("class,images,accuracy\n\"a,\"\"b\"\"\nc\",3,0.5\r\ncat,,\n\nlast,nan");
  BOOST_REQUIRE_EQUAL(table.size(), 3u);
  BOOST_TEST(table.text(0, "class") == "a,\"b\"\nc");
  BOOST_TEST(*table.number(0, "accuracy") == 0.5);
  BOOST_TEST(table.text(1, "images") == "");
  BOOST_TEST(!table.number(1, "images"));
  BOOST_TEST(!table.number(1, "class"));
  BOOST_TEST(table.text(2, "accuracy") == "");  // A short row.
  BOOST_TEST(std::isnan(*table.number(2, "images")));
  BOOST_TEST(table.text(0, "no such column") == "");
  BOOST_TEST(CsvTable("").size() == 0u);
  BOOST_TEST(!parsed_number("1x"));
}

BOOST_AUTO_TEST_CASE(a_chart_breaks_at_nan_and_marks_it) {
  Chart chart;
  chart.title = "train/<loss>";
  chart.series = {{"a & b", {{1, 0.5}, {2, 0.25}, {3, kNan}, {4, 0.125}, {5, kInf}}, 0}};
  const std::string svg = draw_chart(chart).html;
  const std::string path = svg.substr(svg.find("class=\"line\""));
  BOOST_TEST(count(path.substr(0, path.find("/>")), "M") == 2u);
  BOOST_TEST(count(svg, "class=\"odd\"") == 2u);
  BOOST_TEST(has(svg, "<title>step 3: NaN</title>"));
  BOOST_TEST(has(svg, "<title>step 5: ∞</title>"));
  BOOST_TEST(has(svg, "train/&lt;loss&gt;"));
  BOOST_TEST(!has(svg, "<loss>"));
  BOOST_TEST(!has(svg, "nan"));  // In no coordinate.
  BOOST_TEST(!has(svg, "inf"));
  BOOST_TEST(!has(svg, "class=\"legend\""));
}

BOOST_AUTO_TEST_CASE(charts_of_nothing_and_of_one_value) {
  Chart chart;
  chart.title = "t";
  BOOST_TEST(!has(draw_chart(chart).html, "class=\"line\""));
  chart.series = {{"a", {{7, kNan}}, 0}, {"b", {{7, 2}}, 9}};
  const std::string svg = draw_chart(chart).html;
  BOOST_TEST(!has(svg, "nan"));
  BOOST_TEST(has(svg, "stroke=\"var(--s1)\" stroke-dasharray"));
  BOOST_TEST(has(svg, "class=\"legend\""));
}

BOOST_AUTO_TEST_CASE(two_decades_are_logarithmic) {
  Chart chart;
  chart.series = {{"a", {{1, 100}, {2, 0.1}}, 0}};
  BOOST_TEST(has(draw_chart(chart).html, "step, logarithmic"));
  chart.series[0].points[1].y = 0;
  BOOST_TEST(!has(draw_chart(chart).html, "logarithmic"));
}

BOOST_AUTO_TEST_CASE(thinning_keeps_the_extremes) {
  std::vector<ChartPoint> points;
  for (int i = 0; i < 100'000; ++i) points.push_back({static_cast<double>(i), std::sin(i * 1e-3)});
  points[31'415].y = 99;
  points[62'831].y = -99;
  points[70'000].y = kNan;
  const auto few = thinned(points, 400);
  BOOST_TEST(few.size() <= 405u);
  double least = 0;
  double greatest = 0;
  int gaps = 0;
  for (std::size_t i = 0; i < few.size(); ++i) {
    if (i > 0) BOOST_TEST(few[i - 1].x < few[i].x);
    if (std::isnan(few[i].y)) {
      ++gaps;
      continue;
    }
    least = std::min(least, few[i].y);
    greatest = std::max(greatest, few[i].y);
  }
  BOOST_TEST(greatest == 99);
  BOOST_TEST(least == -99);
  BOOST_TEST(gaps == 1);
  BOOST_TEST(few.front().x == 0);
  BOOST_TEST(few.back().x == 99'999);
  BOOST_TEST(thinned({{1, 2}}, 400).size() == 1u);
}

BOOST_AUTO_TEST_CASE(words_for_numbers) {
  BOOST_TEST(figure(0.00012345) == "0.0001234");
  BOOST_TEST(figure(kNan) == "NaN");
  BOOST_TEST(figure(-kInf) == "−∞");
  BOOST_TEST(percent(0.8915) == "89.15\u00a0%");
  BOOST_TEST(percent(kNan) == "NaN");
  BOOST_TEST(grouped(1528856) == "1,528,856");
  BOOST_TEST(grouped(-1000) == "-1,000");
  BOOST_TEST(grouped(999) == "999");
  BOOST_TEST(compact(1528856) == "1.53 M");
  BOOST_TEST(counted(1, "image", "images") == "1 image");
  BOOST_TEST(metric_text("test/accuracy", 0.5) == "50.00\u00a0%");
  BOOST_TEST(metric_text("train/loss", 0.5) == "0.5");
  BOOST_TEST(goal_of("test/accuracy") == 1);
  BOOST_TEST(goal_of("test/accuracy_low") == 0);
  BOOST_TEST(goal_of("train/val_loss") == -1);
  BOOST_TEST(goal_of("test/calibration_error") == -1);
  BOOST_TEST(goal_of("train/lr") == 0);
}

BOOST_AUTO_TEST_CASE(charts_by_metric) {
  BOOST_TEST(chart_of("train/val_loss") == "train/loss");
  BOOST_TEST(chart_of("train/loss") == "train/loss");
  BOOST_TEST(chart_of("a/b/val_c") == "a/b/c");
  BOOST_TEST(chart_of("plain") == "plain");
}

BOOST_AUTO_TEST_CASE(the_best_by_direction) {
  using Flags = std::vector<bool>;
  BOOST_TEST(
      (best_of({0.1, 0.3, std::nullopt, 0.3, kNan}, 1) == Flags{false, true, false, true, false}));
  BOOST_TEST((best_of({0.1, 0.3}, -1) == Flags{true, false}));
  BOOST_TEST((best_of({0.1, 0.3}, 0) == Flags{false, false}));
  BOOST_TEST((best_of({0.3, 0.3}, 1) == Flags{false, false}));
  BOOST_TEST((best_of({0.3, std::nullopt}, 1) == Flags{false, false}));
  BOOST_TEST((best_of({-kInf, 1}, 1) == Flags{false, true}));
}

BOOST_AUTO_TEST_CASE(what_differs) {
  std::vector<RunData> runs(2);
  runs[0].params = {{"a", "integer", "1"}, {"b", "integer", "2"}, {"only", "string", "x"}};
  runs[1].params = {{"a", "integer", "1"}, {"b", "integer", "3"}};
  const auto differing = different_params(runs);
  BOOST_REQUIRE_EQUAL(differing.size(), 2u);
  BOOST_TEST(differing[0].key == "b");
  BOOST_TEST((differing[0].values == std::vector<std::string>{"2", "3"}));
  BOOST_TEST((differing[1].values == std::vector<std::string>{"x", ""}));
}

BOOST_AUTO_TEST_CASE(confusion_small_and_large) {
  const CsvTable small("label,a,<b>\na,3,1\n<b>,0,0\n");
  const std::string table = confusion_matrix(small).html;
  BOOST_TEST(has(table, "a taken for &lt;b&gt;: 1 of 4 (25.0\u00a0%)"));
  BOOST_TEST(!has(table, "<b>"));
  BOOST_TEST(has(confused_pairs(small).html, "1 of 4"));
  std::string large = "label";
  for (int i = 0; i < 40; ++i) large += ",c" + std::to_string(i);
  for (int i = 0; i < 40; ++i) {
    large += "\nc" + std::to_string(i);
    for (int j = 0; j < 40; ++j) large += i == j ? ",5" : ",0";
  }
  const std::string picture = confusion_matrix(CsvTable(large)).html;
  BOOST_TEST(count(picture, "<rect") == 40u);
  BOOST_TEST(!has(picture, "<table"));
  BOOST_TEST(confused_pairs(CsvTable(large)).empty());
  BOOST_TEST(confusion_matrix(CsvTable("")).empty());
}

BOOST_AUTO_TEST_CASE(classes_without_images_have_no_figures) {
  const std::string table =
      class_table(CsvTable("class,images,correct,accuracy,accuracy_low,accuracy_high,predicted,"
                           "precision,recall,f1\ncat,10,9,0.9,0.6,0.98,10,0.9,0.9,0.9\n"
                           "none,0,0,,,,1,,,\n"))
          .html;
  BOOST_TEST(has(table, "90.0\u00a0%"));
  BOOST_TEST(has(table, "60.0 to 98.0\u00a0%"));
  BOOST_TEST(count(table, ">–</td>") == 3u);
  BOOST_TEST(count(table, "<svg") == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe::report
