// The curves of `runs plot` and `runs compare`: pure functions of cli/, compiled into this test
// too.
#include "cli/plot.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>
#include <limits>

namespace cifarpipe::cli {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

Series series(std::vector<double> y, double first = 1) {
  Series s{"a", {}, std::move(y)};
  for (std::size_t i = 0; i < s.y.size(); ++i) s.x.push_back(first + static_cast<double>(i));
  return s;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

/// Whether each element is closed, in order, and no bare '&' or '<' is left.
bool well_formed(const std::string& xml) {
  std::vector<std::string> open;
  for (std::size_t at = 0; at < xml.size(); ++at) {
    if (xml[at] == '&') {
      const std::size_t end = xml.find(';', at);
      if (end == std::string::npos || end - at > 6) return false;
    }
    if (xml[at] != '<') continue;
    const std::size_t end = xml.find('>', at);
    if (end == std::string::npos) return false;
    const std::string tag = xml.substr(at + 1, end - at - 1);
    if (tag.find('<') != std::string::npos) return false;
    const std::string name = tag.substr(0, tag.find_first_of(" /", 1));
    if (tag.starts_with('/')) {
      if (open.empty() || open.back() != tag.substr(1)) return false;
      open.pop_back();
    } else if (!tag.ends_with('/')) {
      open.push_back(name);
    }
    at = end;
  }
  return open.empty();
}

BOOST_AUTO_TEST_SUITE(plot)

BOOST_AUTO_TEST_CASE(whole_steps_have_no_halves) {
  const Axis axis = x_axis({series({1, 2, 3})}, false, 6);
  BOOST_TEST(axis.ticks.size() == 3);
  BOOST_TEST(axis.ticks[1].text == "2");
  BOOST_TEST(axis.place(1) == 0);
  BOOST_TEST(axis.place(3) == 1);
}

BOOST_AUTO_TEST_CASE(one_step_stands_at_the_beginning) {
  Series one = series({0.5});
  for (const double x : {0.0, 5.0}) {
    one.x = {x};
    const Axis axis = x_axis({one}, false, 6);
    BOOST_TEST(axis.place(x) == 0);
    BOOST_TEST(axis.ticks.front().at == x);
  }
}

BOOST_AUTO_TEST_CASE(the_last_value_is_the_last_one) {
  BOOST_TEST(legend_figures(series({1, 0.25, -kNan}), false) ==
             "last nan, least 0.25 at 2, most 1 at 1; 1 not finite");
}

BOOST_AUTO_TEST_CASE(sparklines) {
  BOOST_TEST(sparkline({0, 1, 2, 3, 4, 5, 6, 7}, 0, 7, 16) == "▁▂▃▄▅▆▇█");
  BOOST_TEST(sparkline({0, 7}, 0, 7, 16) == "▁█");
  BOOST_TEST(sparkline({0, kNan, 7, kInf}, 0, 7, 16) == "▁ █ ");
  BOOST_TEST(sparkline({3, 3, 3}, 3, 3, 16) == "▅▅▅");
  BOOST_TEST(sparkline({0, 2, 6, 8}, 0, 8, 2) == "▂█");  // Means of two.
  BOOST_TEST(sparkline({0, 1}, 0, 10, 16) == "▁▁");      // Scaled with others.
  BOOST_TEST(sparkline({}, 0, 1, 16) == "");
  BOOST_TEST(sparkline({kNan}, 0, 1, 16) == " ");
}

BOOST_AUTO_TEST_CASE(a_curve_of_text) {
  PlotOptions options;
  options.width = 40;
  options.height = 11;
  options.x_label = "step";
  options.y_label = "train/loss";
  BOOST_TEST("\n" + plot_text({series({8, 4, 2, 1, 0.5, 0.25, 0.1, 0})}, options) == R"(
train/loss
10 ┤
   │⠢⡀
   │ ⠈⠢⡀
 5 ┤   ⠑⢄
   │     ⠑⠢⢄⡀
   │        ⠈⠓⠤⠤⣀⣀
 0 ┤              ⠉⠉⠒⠒⠒⠒⠤⠤⠤⠤⠤⠤⠤⢄⣀⣀⣀⣀⣀⣀⣀⣀
   └─────┬─────────┬─────────┬─────────┬
         2         4         6         8
                                    step
  ⠒⠒ a  last 0, least 0 at 8, most 8 at 1
)");
}

BOOST_AUTO_TEST_CASE(gaps_and_counts) {
  PlotOptions options;
  options.width = 40;
  options.height = 10;
  const std::string with_gap = plot_text({series({1, 1, kNan, 1, 1})}, options);
  BOOST_TEST(with_gap.find("1 not finite") != std::string::npos);
  const std::string whole = plot_text({series({1, 1, 1, 1, 1})}, options);
  const auto dots = [](const std::string& text) {  // Braille signs, in UTF-8.
    return count(text, "\xe2\xa0") + count(text, "\xe2\xa1") + count(text, "\xe2\xa2") +
           count(text, "\xe2\xa3");
  };
  BOOST_TEST(dots(with_gap) < dots(whole));
  options.log = true;
  const std::string log = plot_text({series({0, 1, 10, -1, 100})}, options);
  BOOST_TEST(log.find("2 not positive, left out") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(several_curves_are_told_apart) {
  PlotOptions options;
  options.width = 60;
  options.height = 12;
  const std::vector<Series> two = {series({1, 2, 3}), series({3, 2, 1})};
  const std::string plain = plot_text(two, options);
  BOOST_TEST(count(plain, "●") > 2);
  BOOST_TEST(count(plain, "○") > 2);
  BOOST_TEST(plain.find('\033') == std::string::npos);
  options.color = true;
  const std::string colored = plot_text(two, options);
  BOOST_TEST(count(colored, "\033[36m") > 2);
  BOOST_TEST(count(colored, "\033[35m") > 2);
}

BOOST_AUTO_TEST_CASE(no_line_is_wider_than_asked) {
  for (const std::size_t width : {40, 61, 120}) {
    PlotOptions options;
    options.width = width;
    options.x_label = "step";
    const std::string text = plot_text({series({0.001, 12345.678, 3}, 1e6)}, options);
    const std::string picture = text.substr(0, text.rfind("\n  "));  // But for the legend.
    std::size_t column = 0;
    for (const char c : picture) {
      if (c == '\n') column = 0;
      if ((static_cast<unsigned char>(c) & 0xc0) != 0x80 && c != '\n') ++column;
      BOOST_REQUIRE(column <= width);
    }
  }
}

BOOST_AUTO_TEST_CASE(an_svg_is_well_formed_and_stands_alone) {
  PlotOptions options;
  options.width = 700;
  options.height = 400;
  options.title = "a <b> & \"c\"";
  options.x_label = "step";
  options.y_label = "train/loss";
  Series odd = series({1, kNan, 2, 3, kInf, 4});
  odd.label = "<&>\"\x01";
  const std::string svg = plot_svg({odd, series({5, 4})}, options);
  BOOST_TEST(well_formed(svg));
  BOOST_TEST(svg.starts_with(kSvgBegin));
  BOOST_TEST(svg.find("prefers-color-scheme: dark") != std::string::npos);
  BOOST_TEST(svg.find("&lt;&amp;&gt;&quot; ") != std::string::npos);
  BOOST_TEST(count(svg, "http") == 1);       // Nothing is fetched.
  BOOST_TEST(count(svg, "<circle") == 2);    // 1 and 4 stand alone between gaps.
  BOOST_TEST(count(svg, "<polyline") == 2);  // 2-3, and the second curve.
  BOOST_TEST(svg.find("nan") == std::string::npos);
  BOOST_TEST(svg.find("inf") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_million_points_make_a_small_svg) {
  Series many{"many", {}, {}};
  for (int i = 0; i < 1'000'000; ++i) {
    many.x.push_back(i);
    many.y.push_back(i == 777'777 ? 9.0 : std::sin(i * 0.001));
  }
  PlotOptions options;
  options.width = 700;
  options.height = 400;
  const std::string svg = plot_svg({many}, options);
  BOOST_TEST(svg.size() < 60'000);
  const Axis y = make_axis(-1, 9, {.rounded = true, .most_ticks = 8});
  BOOST_TEST(y.high == 10);  // The one far out is drawn: it is the highest point of its column.
  BOOST_TEST(svg.find("most 9 at 777777") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
}  // namespace cifarpipe::cli
