#include "pipeline/schema.hpp"

#include <boost/test/unit_test.hpp>

namespace cifarpipe {
namespace {

struct Params {
  int count = 3;
  std::int64_t big = 1LL << 40;
  double rate = 0.5;
  bool on = true;
  std::string kind = "a";
  std::filesystem::path file = "x/y";
  std::vector<std::filesystem::path> files = {"p"};
  Groups groups = {{"g", {"m"}}};
  std::string token;

  static Schema<Params> schema() {
    return Schema<Params>{}
        .field("count", &Params::count, "A count.")
        .range(1, 9)
        .unit("things")
        .field("big", &Params::big, "A big one.")
        .field("rate", &Params::rate, "A rate.")
        .at_least(0)
        .field("on", &Params::on, "A switch.")
        .no_effect()
        .field("kind", &Params::kind, "A kind.")
        .one_of({"a", "b"})
        .deprecated("nothing")
        .field("file", &Params::file, "A file.")
        .input_path({"word"})
        .field("files", &Params::files, "Files.")
        .field("groups", &Params::groups, "Groups.")
        .field("token", &Params::token, "A secret.")
        .secret()
        .required()
        .rule({Param("kind") == "b"}, {Param("count") <= Param("big")}, "m");
  }
};

ParamValues values(std::initializer_list<std::pair<std::string, Value>> list) {
  return list;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(schema)

BOOST_AUTO_TEST_CASE(defaults_are_the_member_initialisers) {
  const ParamSchema info = Params::schema().info();
  BOOST_CHECK(info.find("count")->default_value == Value{std::int64_t{3}});
  BOOST_CHECK(info.find("rate")->default_value == Value{0.5});
  BOOST_CHECK(info.find("file")->default_value == Value{std::string("x/y")});
  BOOST_CHECK(info.find("files")->default_value == Value{std::vector<std::string>{"p"}});
  BOOST_CHECK(info.find("count")->type == Type::integer);
  BOOST_CHECK(info.find("file")->type == Type::path);
  BOOST_CHECK(info.find("groups")->type == Type::groups);
  BOOST_TEST(info.find("nothing") == nullptr);
}

BOOST_AUTO_TEST_CASE(a_part_has_the_defaults_that_the_whole_gives_it) {
  struct Part {
    int epochs = 20;
    double rate = 0.5;
  };
  struct Whole {
    bool first = true;
    Part part{.epochs = 5};
  };
  const Schema<Part> part = Schema<Part>{}
                                .field("epochs", &Part::epochs, "Help.")
                                .range(1, 9)
                                .field("rate", &Part::rate, "Help.")
                                .rule({}, {Param("epochs") > 0}, "message");
  const Schema<Whole> whole =
      Schema<Whole>{}.field("first", &Whole::first, "Help.").part(&Whole::part, part);
  BOOST_TEST(whole.info().fields.size() == 3u);
  BOOST_CHECK(whole.info().find("epochs")->default_value == Value{std::int64_t{5}});
  BOOST_TEST(*whole.info().find("epochs")->maximum == 9);
  BOOST_TEST(whole.info().rules.size() == 1u);
  const Whole made = whole.make(values({{"first", false}, {"epochs", std::int64_t{7}}}));
  BOOST_TEST(!made.first);
  BOOST_TEST(made.part.epochs == 7);
  BOOST_TEST(made.part.rate == 0.5);
}

BOOST_AUTO_TEST_CASE(modifiers_belong_to_the_field_before_them) {
  const ParamSchema info = Params::schema().info();
  BOOST_TEST(*info.find("count")->minimum == 1);
  BOOST_TEST(*info.find("count")->maximum == 9);
  BOOST_TEST(info.find("count")->unit == "things");
  BOOST_TEST(!info.find("big")->minimum.has_value());
  BOOST_TEST(!info.find("rate")->maximum.has_value());
  BOOST_TEST(info.find("on")->no_effect);
  BOOST_TEST(info.find("token")->no_effect);
  BOOST_TEST(info.find("token")->secret);
  BOOST_TEST(info.find("token")->required);
  BOOST_TEST(info.find("file")->keywords.size() == 1u);
  BOOST_TEST(info.find("kind")->choices.size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_choice_can_have_a_number) {
  FieldInfo field;
  BOOST_TEST(field.allows("anything"));
  field.choices = {"cpu", "cuda", "cuda:N"};
  for (const char* good : {"cpu", "cuda", "cuda:0", "cuda:15"}) BOOST_TEST(field.allows(good));
  for (const char* bad : {"", "cuda:", "cuda:x", "cuda:1x", "cuda:-1", "cuda:12345", "gpu"}) {
    BOOST_TEST(!field.allows(bad), bad);
  }
}

BOOST_AUTO_TEST_CASE(a_struct_is_filled_from_values) {
  const Params p = Params::schema().make(values({{"count", std::int64_t{7}},
                                                 {"on", false},
                                                 {"file", std::string("/f")},
                                                 {"groups", Groups{{"z", {}}, {"a", {"b"}}}}}));
  BOOST_TEST(p.count == 7);
  BOOST_TEST(!p.on);
  BOOST_TEST(p.file.string() == "/f");
  BOOST_CHECK(p.groups == (Groups{{"z", {}}, {"a", {"b"}}}));
  BOOST_TEST(p.rate == 0.5);
}

BOOST_AUTO_TEST_CASE(conditions_compare_numbers_as_numbers_and_the_rest_for_equality) {
  const ParamValues v = values({{"i", std::int64_t{2}},
                                {"d", 2.5},
                                {"s", std::string("x")},
                                {"b", true},
                                {"a", std::vector<double>{1}}});
  const auto p = [](const char* name) { return Param(name); };
  BOOST_TEST((p("i") == 2).holds(v));
  BOOST_TEST((p("i") == 2.0).holds(v));
  BOOST_TEST((p("i") < p("d")).holds(v));
  BOOST_TEST(!(p("i") > p("d")).holds(v));
  BOOST_TEST((p("i") <= 2).holds(v));
  BOOST_TEST((p("d") >= 2.5).holds(v));
  BOOST_TEST((p("d") != 2).holds(v));
  BOOST_TEST((p("s") == "x").holds(v));
  BOOST_TEST((p("s") != "y").holds(v));
  BOOST_TEST((p("b") == true).holds(v));
  BOOST_TEST(!(p("s") < "y").holds(v));  // Only numbers have an order.
  BOOST_TEST(!(p("s") == 2).holds(v));
  BOOST_TEST((p("s") != 2).holds(v));
  BOOST_TEST(!(p("nothing") == 2).holds(v));
  BOOST_TEST(!(p("nothing") != 2).holds(v));
  BOOST_TEST((p("a") == p("a")).holds(v));
}

BOOST_AUTO_TEST_CASE(conditions_measure_arrays_and_look_at_inputs) {
  const ParamValues v = values({{"up", std::vector<std::int64_t>{1, 3, 3}},
                                {"down", std::vector<double>{2, 1}},
                                {"names", std::vector<std::string>{"a", "b", "a"}},
                                {"none", std::vector<std::string>{}},
                                {"flags", std::vector<bool>{true, false}},
                                {"groups", Groups{{"g", {}}}},
                                {"three", std::int64_t{3}},
                                {"text", std::string("aa")}});
  BOOST_TEST((length_of("up") == 3).holds(v));
  BOOST_TEST((length_of("up") == Param("three")).holds(v));
  BOOST_TEST((length_of("names") > 2).holds(v));
  BOOST_TEST((length_of("none") == 0).holds(v));
  BOOST_TEST((length_of("groups") == 1).holds(v));
  BOOST_TEST(!(length_of("none") > 0).holds(v));
  BOOST_TEST((is_ascending("up") == true).holds(v));
  BOOST_TEST((is_ascending("down") == false).holds(v));
  BOOST_TEST((is_distinct("down") == true).holds(v));
  BOOST_TEST((is_distinct("flags") == true).holds(v));
  BOOST_TEST((is_distinct("names") == false).holds(v));
  BOOST_TEST((is_distinct("up") == false).holds(v));
  BOOST_TEST((is_wired("model") == true).holds(v, {"data", "model"}));
  BOOST_TEST((is_wired("model") == false).holds(v, {"data"}));
  // What has no such measure fulfils nothing.
  BOOST_TEST(!(length_of("text") == 2).holds(v));
  BOOST_TEST(!(is_ascending("names") == true).holds(v));
  BOOST_TEST(!(is_ascending("names") == false).holds(v));
  BOOST_TEST(!(is_distinct("three") == true).holds(v));
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace cifarpipe
