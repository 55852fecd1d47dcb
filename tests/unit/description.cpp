#include "pipeline/description.hpp"

#include <boost/test/unit_test.hpp>
#include <cmath>

#include "plugins/schema_section.hpp"

using namespace cifarpipe;

namespace {

// Every field of every struct away from its default, and the values that text formats lose.
StageDescription everything() {
  StageDescription d;
  d.name = "train";
  d.summary = "Trains, with \"quotes\", a\nnewline and ü.";
  d.revision = 7;
  d.uses_seed = true;
  d.numerics = {true, false, true};
  const double inf = INFINITY;
  const std::vector<Value> defaults = {true,
                                       std::int64_t{-9007199254740993},
                                       0.1,
                                       std::string("nan"),
                                       std::vector<bool>{true, false},
                                       std::vector<std::int64_t>{},
                                       std::vector<double>{-0.0, 5e-324, inf, 1.0},
                                       std::vector<std::string>{},
                                       Groups{{"b", {"2", "1"}}, {"a", {}}, {"b", {"again"}}}};
  const Type types[] = {Type::boolean,      Type::integer,       Type::number,
                        Type::path,         Type::boolean_array, Type::integer_array,
                        Type::number_array, Type::path_array,    Type::groups};
  for (std::size_t i = 0; i < defaults.size(); ++i) {
    FieldInfo f;
    f.name = "p" + std::to_string(i);
    f.type = types[i];
    f.help = "Help " + std::to_string(i);
    f.default_value = defaults[i];
    d.params.fields.push_back(f);
  }
  FieldInfo& full = d.params.fields[2];
  full.required = full.no_effect = full.secret = full.input_path = true;
  full.minimum = 1e-300;
  full.maximum = inf;
  full.choices = {"b", "a"};
  full.unit = "epochs";
  full.deprecated = "use p3";
  full.keywords = {"cifar10", "synthetic"};
  d.params.rules = {
      {{Param("p3") == "sgd", Param("p1") < 1}, {Param("p2") >= Param("p1")}, "{p2}!"},
      {{}, {Param("p0") != true, Param("p2") > 1.0, Param("p2") <= 0.1}, "no"},
      {{is_wired("model") == false, length_of("p5") > Param("p1")},
       {is_ascending("p6") == true, is_distinct("p7") == true},
       "measured"}};
  d.inputs = {{"data", "dataset/images", "In.", false},
              {"model", "model/classifier", "Also.", true}};
  d.outputs = {{"out", "model/classifier", "Out.", false}};
  d.metrics = {{"loss", MetricInfo::Goal::minimize, "L."},
               {"accuracy", MetricInfo::Goal::maximize, "A."},
               {"class_accuracy/*", MetricInfo::Goal::none, "C."}};
  return d;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(description)

BOOST_AUTO_TEST_CASE(comes_back_exactly) {
  const StageDescription before = everything();
  const StageDescription after = description_from_json(to_json(before));
  BOOST_TEST(to_json(after) == to_json(before));
  // And not only because both texts lack the same thing:
  BOOST_TEST(after.summary == before.summary);
  BOOST_TEST(after.revision == 7);
  BOOST_TEST(after.uses_seed);
  BOOST_TEST((after.numerics.device && !after.numerics.precision && after.numerics.threads));
  BOOST_REQUIRE(after.params.fields.size() == before.params.fields.size());
  for (std::size_t i = 0; i < before.params.fields.size(); ++i) {
    const FieldInfo& a = after.params.fields[i];
    const FieldInfo& b = before.params.fields[i];
    BOOST_TEST(a.name == b.name);
    BOOST_TEST(a.help == b.help);
    BOOST_TEST((a.type == b.type));
    BOOST_TEST((a.default_value == b.default_value), "default of " << a.name);
    BOOST_TEST(a.required == b.required);
    BOOST_TEST((a.minimum == b.minimum && a.maximum == b.maximum));
    BOOST_TEST(a.choices == b.choices, boost::test_tools::per_element());
    BOOST_TEST(a.unit == b.unit);
    BOOST_TEST(a.deprecated == b.deprecated);
    BOOST_TEST(a.no_effect == b.no_effect);
    BOOST_TEST(a.secret == b.secret);
    BOOST_TEST(a.input_path == b.input_path);
    BOOST_TEST(a.keywords == b.keywords, boost::test_tools::per_element());
  }
  BOOST_TEST(std::signbit(std::get<std::vector<double>>(after.params.fields[6].default_value)[0]));
  BOOST_REQUIRE(after.params.rules.size() == 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto same = [](const std::vector<Condition>& x, const std::vector<Condition>& y) {
      BOOST_REQUIRE(x.size() == y.size());
      for (std::size_t k = 0; k < x.size(); ++k) {
        BOOST_TEST(x[k].field == y[k].field);
        BOOST_TEST((x[k].op == y[k].op));
        BOOST_TEST((x[k].of == y[k].of));
        BOOST_TEST(x[k].other_field == y[k].other_field);
        BOOST_TEST((x[k].constant == y[k].constant));
      }
    };
    same(after.params.rules[i].when, before.params.rules[i].when);
    same(after.params.rules[i].require, before.params.rules[i].require);
    BOOST_TEST(after.params.rules[i].message == before.params.rules[i].message);
  }
  BOOST_TEST(after.inputs[1].optional);
  BOOST_TEST(after.inputs[1].type == "model/classifier");
  BOOST_TEST((after.metrics[0].goal == MetricInfo::Goal::minimize));
  BOOST_TEST((after.metrics[1].goal == MetricInfo::Goal::maximize));
  BOOST_TEST(after.metrics[2].name == "class_accuracy/*");
}

BOOST_AUTO_TEST_CASE(nan_stays_nan) {
  StageDescription d = everything();
  d.params.fields[2].default_value = std::nan("");
  const auto after = description_from_json(to_json(d));
  BOOST_TEST(std::isnan(std::get<double>(after.params.fields[2].default_value)));
}

BOOST_AUTO_TEST_CASE(bad_text_is_an_error) {
  BOOST_CHECK_THROW(description_from_json(""), Error);
  BOOST_CHECK_THROW(description_from_json("[]"), Error);
  BOOST_CHECK_THROW(description_from_json("{\"name\": 1}"), Error);
  // Without any one of its keys it is incomplete; cut anywhere it is no JSON.
  const std::string text = to_json(everything());
  for (std::size_t size = 0; size < text.size(); size += 13) {
    BOOST_CHECK_THROW(description_from_json(text.substr(0, size)), Error);
  }
  StageDescription d = everything();
  d.summary = "\xff";
  BOOST_CHECK_THROW(to_json(d), Error);
}

BOOST_AUTO_TEST_CASE(section) {
  const PluginDescription plugin{"train", "1.2.3", "abcdef", {everything(), everything()}};
  const std::string text = schema_section_text(plugin);
  const PluginDescription after = parse_schema_section(text);
  BOOST_TEST(schema_section_text(after) == text);
  BOOST_TEST(after.build_id == "abcdef");
  BOOST_TEST(after.version == "1.2.3");
  BOOST_TEST(stage_names_in(text).size() == 2u);
  BOOST_TEST(stage_names_in("{\"stages\":[{\"name\":\"a\"},3,{}]}").size() == 1u);
  BOOST_TEST(stage_names_in("nonsense").empty());
  BOOST_TEST(stage_names_in("{\"stages\":7}").empty());
  std::string future = text;
  future.replace(future.find("\"format\":1"), 10, "\"format\":2");
  BOOST_CHECK_THROW(parse_schema_section(future), Error);
}

BOOST_AUTO_TEST_CASE(problems) {
  StageDescription d;
  d.name = "good";
  d.summary = "Good.";
  FieldInfo f;
  f.name = "lr";
  f.help = "Rate.";
  f.type = Type::number;
  f.default_value = 0.5;
  d.params.fields = {f};
  BOOST_TEST(description_problems(d).empty());

  const auto only = [&](auto change) {
    StageDescription changed = d;
    change(changed);
    const auto problems = description_problems(changed);
    return problems.size() == 1 ? problems[0] : std::to_string(problems.size()) + " problems";
  };
  BOOST_TEST(only([](auto& s) { s.name = "Bad name"; }).find("not 'Bad name'") !=
             std::string::npos);
  BOOST_TEST(only([](auto& s) { s.params.fields[0].maximum = 0.1; }) ==
             "parameter 'lr' has the default 0.5, which its range excludes");
  BOOST_TEST(only([](auto& s) { s.params.fields[0].type = Type::integer; }) ==
             "the default of parameter 'lr' is not of its type, integer");
  BOOST_TEST(only([](auto& s) { s.params.fields.push_back(s.params.fields[0]); }) ==
             "parameter 'lr' is declared twice");
  BOOST_TEST(only([](auto& s) {
               s.params.rules = {{{}, {Param("rl") > 1}, "m"}};
             }) == "a rule speaks of 'rl', which is no parameter");
  BOOST_TEST(only([](auto& s) {
               s.params.rules = {{{}, {length_of("lr") > 1}, "m"}};
             }) == "a rule measures 'lr', which is no array");
  BOOST_TEST(only([](auto& s) {
               s.params.rules = {{{}, {is_wired("lr") == true}, "m"}};
             }) == "a rule speaks of 'lr', which is no input");
  BOOST_TEST(only([](auto& s) {
               s.outputs = {{"out", "images", "", false}};
             }) == "the type of output 'out' must be family/kind, not 'images'");
  BOOST_TEST(only([](auto& s) {
               s.params.fields[0].type = Type::string;
               s.params.fields[0].default_value = std::string("rmsprop");
               s.params.fields[0].choices = {"adam"};
             }) == "parameter 'lr' has the default 'rmsprop', which is not among its choices");
  BOOST_TEST(only([](auto& s) {
               s.metrics.assign(2, {"loss", {}, ""});
             }) == "metric 'loss' is declared twice");
}

BOOST_AUTO_TEST_SUITE_END()
