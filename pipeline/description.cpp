#include "pipeline/description.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "pipeline/secrets.hpp"

namespace cifarpipe {
namespace {

// Ordered, so that the text reads as the stage's author wrote it.
using Json = nlohmann::ordered_json;

// JSON has no name for these, and a range may well be open at one end.
Json number_to(double v) {
  if (std::isfinite(v)) return v;
  return std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
}

double number_from(const Json& j) {
  if (!j.is_string()) return j.get<double>();
  const auto text = j.get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  throw Error("'" + text + "' is not a number");
}

// A value with its type beside it, since 1 and 1.0, "nan" and nan, and empty arrays of different
// types must come back as what they were: {"integer": 20}.
Json value_to(const Value& value) {
  return std::visit(
      [](const auto& v) -> Json {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, bool>) {
          return {{"boolean", v}};
        } else if constexpr (std::is_same_v<T, std::int64_t>) {
          return {{"integer", v}};
        } else if constexpr (std::is_same_v<T, double>) {
          return {{"number", number_to(v)}};
        } else if constexpr (std::is_same_v<T, std::string>) {
          return {{"string", v}};
        } else if constexpr (std::is_same_v<T, std::vector<bool>>) {
          return {{"booleans", v}};
        } else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>) {
          return {{"integers", v}};
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          Json out = Json::array();
          for (const double x : v) out.push_back(number_to(x));
          return {{"numbers", std::move(out)}};
        } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
          return {{"strings", v}};
        } else {
          static_assert(std::is_same_v<T, Groups>);
          Json out = Json::array();
          for (const auto& [name, members] : v) {
            Json pair = Json::array();
            pair.push_back(name);
            pair.push_back(members);
            out.push_back(std::move(pair));
          }
          return {{"groups", std::move(out)}};
        }
      },
      value);
}

Value value_from(const Json& j) {
  if (!j.is_object() || j.size() != 1) throw Error("a value without its type");
  const std::string type = j.begin().key();
  const Json& v = j.begin().value();
  if (type == "boolean") return v.get<bool>();
  if (type == "integer") return v.get<std::int64_t>();
  if (type == "number") return number_from(v);
  if (type == "string") return v.get<std::string>();
  if (type == "booleans") return v.get<std::vector<bool>>();
  if (type == "integers") return v.get<std::vector<std::int64_t>>();
  if (type == "strings") return v.get<std::vector<std::string>>();
  if (type == "numbers") {
    std::vector<double> out;
    for (const Json& x : v) out.push_back(number_from(x));
    return out;
  }
  if (type == "groups") {
    Groups out;
    for (const Json& pair : v) {
      out.emplace_back(pair.at(0).get<std::string>(), pair.at(1).get<std::vector<std::string>>());
    }
    return out;
  }
  throw Error("unknown type '" + type + "' of a value");
}

constexpr const char* kOps[] = {"==", "!=", "<", "<=", ">", ">="};
constexpr const char* kOfs[] = {"value", "length", "ascending", "distinct", "wired"};

Json condition_to(const Condition& c) {
  Json j = {{"field", c.field}, {"op", kOps[static_cast<int>(c.op)]}};
  if (c.of != Condition::Of::value) j["of"] = kOfs[static_cast<int>(c.of)];
  if (c.other_field.empty()) {
    j["constant"] = value_to(c.constant);
  } else {
    j["other_field"] = c.other_field;
  }
  return j;
}

Condition condition_from(const Json& j) {
  Condition c;
  c.field = j.at("field");
  const auto op = j.at("op").get<std::string>();
  int index = 0;
  while (index < 6 && op != kOps[index]) ++index;
  if (index == 6) throw Error("unknown comparison '" + op + "'");
  c.op = static_cast<Condition::Op>(index);
  const auto of = j.value("of", std::string("value"));
  const auto* found = std::find(std::begin(kOfs), std::end(kOfs), of);
  if (found == std::end(kOfs)) throw Error("a rule compares the unknown '" + of + "'");
  c.of = static_cast<Condition::Of>(found - std::begin(kOfs));
  if (j.contains("other_field")) {
    c.other_field = j.at("other_field");
  } else {
    c.constant = value_from(j.at("constant"));
  }
  return c;
}

// What is at its default is left out: most fields of most parameters are.
Json field_to(const FieldInfo& f) {
  Json j = {{"name", f.name},
            {"type", type_name(f.type)},
            {"help", f.help},
            {"default", value_to(f.default_value)}};
  if (f.required) j["required"] = true;
  if (f.minimum) j["minimum"] = number_to(*f.minimum);
  if (f.maximum) j["maximum"] = number_to(*f.maximum);
  if (!f.choices.empty()) j["choices"] = f.choices;
  if (!f.unit.empty()) j["unit"] = f.unit;
  if (!f.deprecated.empty()) j["deprecated"] = f.deprecated;
  if (f.no_effect) j["no_effect"] = true;
  if (f.secret) j["secret"] = true;
  if (f.input_path) j["input_path"] = true;
  if (!f.keywords.empty()) j["keywords"] = f.keywords;
  return j;
}

FieldInfo field_from(const Json& j) {
  FieldInfo f;
  f.name = j.at("name");
  const auto type = j.at("type").get<std::string>();
  const auto known = type_from_name(type);
  if (!known) throw Error("parameter '" + f.name + "' has the unknown type '" + type + "'");
  f.type = *known;
  f.help = j.at("help");
  f.default_value = value_from(j.at("default"));
  f.required = j.value("required", false);
  if (j.contains("minimum")) f.minimum = number_from(j.at("minimum"));
  if (j.contains("maximum")) f.maximum = number_from(j.at("maximum"));
  f.choices = j.value("choices", std::vector<std::string>{});
  f.unit = j.value("unit", "");
  f.deprecated = j.value("deprecated", "");
  f.no_effect = j.value("no_effect", false);
  f.secret = j.value("secret", false);
  if (is_secret_by_name(f)) f.secret = f.no_effect = true;  // Declared or not.
  f.input_path = j.value("input_path", false);
  f.keywords = j.value("keywords", std::vector<std::string>{});
  return f;
}

Json port_to(const Port& p) {
  Json j = {{"name", p.name}, {"type", p.type}, {"help", p.help}};
  if (p.optional) j["optional"] = true;
  return j;
}

Port port_from(const Json& j) {
  return {j.at("name"), j.at("type"), j.at("help"), j.value("optional", false)};
}

constexpr const char* kGoals[] = {"none", "minimize", "maximize"};

Json metric_to(const MetricInfo& m) {
  return {{"name", m.name}, {"goal", kGoals[static_cast<int>(m.goal)]}, {"help", m.help}};
}

MetricInfo metric_from(const Json& j) {
  const auto goal = j.at("goal").get<std::string>();
  for (int i = 0; i < 3; ++i) {
    if (goal == kGoals[i]) {
      return {j.at("name"), static_cast<MetricInfo::Goal>(i), j.at("help")};
    }
  }
  throw Error("unknown goal '" + goal + "' of a metric");
}

template <class T, class F>
Json list_to(const std::vector<T>& items, F to) {
  Json out = Json::array();
  for (const T& item : items) out.push_back(to(item));
  return out;
}

template <class T, class F>
std::vector<T> list_from(const Json& j, F from) {
  if (!j.is_array()) throw Error("a list is expected");
  std::vector<T> out;
  for (const Json& item : j) out.push_back(from(item));
  return out;
}

Json rule_to(const Rule& r) {
  return {{"when", list_to(r.when, condition_to)},
          {"require", list_to(r.require, condition_to)},
          {"message", r.message}};
}

Rule rule_from(const Json& j) {
  return {list_from<Condition>(j.at("when"), condition_from),
          list_from<Condition>(j.at("require"), condition_from), j.at("message")};
}

}  // namespace

std::string to_json(const StageDescription& d) {
  const Json j = {
      {"name", d.name},
      {"summary", d.summary},
      {"revision", d.revision},
      {"uses_seed", d.uses_seed},
      {"numerics",
       {{"device", d.numerics.device},
        {"precision", d.numerics.precision},
        {"threads", d.numerics.threads}}},
      {"params", list_to(d.params.fields, field_to)},
      {"rules", list_to(d.params.rules, rule_to)},
      {"inputs", list_to(d.inputs, port_to)},
      {"outputs", list_to(d.outputs, port_to)},
      {"metrics", list_to(d.metrics, metric_to)},
  };
  try {
    return j.dump();
  } catch (const nlohmann::json::exception&) {
    throw Error("the description of stage '" + d.name + "' holds text that is not UTF-8");
  }
}

StageDescription description_from_json(std::string_view text) {
  try {
    const Json j = Json::parse(text);
    StageDescription d;
    d.name = j.at("name");
    d.summary = j.at("summary");
    d.revision = j.at("revision");
    d.uses_seed = j.at("uses_seed");
    const Json& numerics = j.at("numerics");
    d.numerics = {numerics.at("device"), numerics.at("precision"), numerics.at("threads")};
    d.params.fields = list_from<FieldInfo>(j.at("params"), field_from);
    d.params.rules = list_from<Rule>(j.at("rules"), rule_from);
    d.inputs = list_from<Port>(j.at("inputs"), port_from);
    d.outputs = list_from<Port>(j.at("outputs"), port_from);
    d.metrics = list_from<MetricInfo>(j.at("metrics"), metric_from);
    return d;
  } catch (const nlohmann::json::exception& e) {
    throw Error(std::string("a stage's description cannot be read: ") + e.what());
  }
}

}  // namespace cifarpipe
