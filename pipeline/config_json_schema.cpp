// JSON Schema (draft 2020-12) of a pipeline file, for editors that complete and check TOML by it.
#include <nlohmann/json.hpp>

#include "pipeline/config_draft.hpp"
#include "pipeline/value_json.hpp"

namespace cifarpipe {
namespace {

using Json = nlohmann::ordered_json;

Json array_of(Json items) {
  return {{"type", "array"}, {"items", std::move(items)}};
}

/// A list, or a pattern where a choice has a number.
void add_choices(Json& out, const std::vector<std::string>& choices) {
  std::string pattern;
  bool numbered = false;
  for (const std::string& choice : choices) {
    const bool number = choice.ends_with(":N");
    numbered = numbered || number;
    pattern += pattern.empty() ? "^(" : "|";
    pattern += number ? choice.substr(0, choice.size() - 1) + "[0-9]{1,4}" : choice;
  }
  if (numbered) {
    out["pattern"] = pattern + ")$";
  } else {
    out["enum"] = choices;
  }
}

Json scalar_schema(const FieldInfo& field, std::string_view type) {
  Json out = {{"type", type}};
  if (field.minimum) out["minimum"] = *field.minimum;
  if (field.maximum) out["maximum"] = *field.maximum;
  if (type == "string" && !field.choices.empty()) add_choices(out, field.choices);
  return out;
}

Json type_schema(const FieldInfo& field) {
  switch (field.type) {
    case Type::boolean:
      return {{"type", "boolean"}};
    case Type::integer:
      return scalar_schema(field, "integer");
    case Type::number:
      return scalar_schema(field, "number");
    case Type::boolean_array:
      return array_of({{"type", "boolean"}});
    case Type::integer_array:
      return array_of(scalar_schema(field, "integer"));
    case Type::number_array:
      return array_of(scalar_schema(field, "number"));
    case Type::string_array:
    case Type::path_array:
      return array_of(scalar_schema(field, "string"));
    case Type::groups:
      return {{"type", "object"}, {"additionalProperties", array_of({{"type", "string"}})}};
    default:
      break;
  }
  Json text = scalar_schema(field, "string");
  if (!field.secret) return text;
  const Json env = {{"type", "object"},
                    {"properties", {{"env", {{"type", "string"}}}}},
                    {"required", {"env"}},
                    {"additionalProperties", false}};
  return {{"anyOf", {text, env}}};
}

Json object_schema(const ParamSchema& schema, bool with_defaults) {
  Json properties = Json::object();
  for (const FieldInfo& field : schema.fields) {
    Json one = type_schema(field);
    one["description"] = field.help;
    if (with_defaults && !field.required && !field.secret) {
      one["default"] = value_json(field.default_value);
    }
    if (!field.deprecated.empty()) one["deprecated"] = true;
    properties[field.name] = std::move(one);
  }
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
}

Json inputs_schema(const std::vector<Port>& ports) {
  Json properties = Json::object();
  for (const Port& port : ports) {
    properties[port.name] = {
        {"type", "string"},
        {"description", port.help + (port.help.empty() ? "" : " ") + "(" + port.type + ")"},
        {"pattern", "^(run:.+/)?[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$"}};
  }
  return {{"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
}

// One stage instance: what `params` and `inputs` may hold follows from `uses`.
Json instance_schema(const StageCatalog& catalog, Json& definitions) {
  Json names = Json::array(), cases = Json::array();
  for (const std::string& name : catalog.names()) {
    const StageType* type = catalog.find(name);
    if (type == nullptr) continue;
    names.push_back(name);
    definitions[name] = object_schema(type->description.params, true);
    definitions[name]["description"] = type->description.summary;
    cases.push_back(
        {{"if", {{"properties", {{"uses", {{"const", name}}}}}, {"required", {"uses"}}}},
         {"then",
          {{"properties",
            {{"params", {{"$ref", "#/$defs/" + name}}},
             {"inputs", inputs_schema(type->description.inputs)}}}}}});
  }
  Json uses = {{"type", "string"}, {"description", "The stage to use."}};
  if (!names.empty()) uses["enum"] = names;
  Json out = {{"type", "object"},
              {"properties",
               {{"uses", uses},
                {"params", {{"type", "object"}}},
                {"inputs", {{"type", "object"}, {"description", "PORT = \"STAGE.PORT\""}}},
                {"enabled", {{"type", "boolean"}, {"default", true}}},
                {"experiment",
                 {{"type", "string"},
                  {"description",
                   "Gives this stage, and what only it leads to, a run of its own "
                   "in that experiment."}}}}},
              {"additionalProperties", false}};
  if (!cases.empty()) out["allOf"] = cases;
  return out;
}

}  // namespace

std::string file_json_schema(const StageCatalog& catalog) {
  Json definitions = Json::object();
  Json tracking = object_schema(config::tracking_schema(), true);
  tracking["properties"]["mlflow"] = object_schema(config::mlflow_schema(), false);
  Json instance = instance_schema(catalog, definitions);
  const Json combination = {{"type", "object"}};
  Json out = {
      {"$schema", "https://json-schema.org/draft/2020-12/schema"},
      {"title", "cifarpipe pipeline"},
      {"type", "object"},
      {"properties",
       {{"extends", {{"type", "string"}, {"description", "Another file that this one changes."}}},
        {"pipeline", object_schema(config::pipeline_schema(), true)},
        {"stages",
         {{"type", "object"},
          {"propertyNames", {{"pattern", "^[A-Za-z0-9_-]+$"}}},
          {"additionalProperties", std::move(instance)}}},
        {"matrix",
         {{"type", "object"},
          {"description", "STAGE.PARAM = [values]: every combination is a cell."},
          {"properties",
           {{"include", array_of(combination)}, {"exclude", array_of(combination)}}}}},
        {"tracking", std::move(tracking)},
        {"cache", object_schema(config::cache_schema(), true)},
        {"plugins", object_schema(config::plugins_schema(), false)}}},
      {"additionalProperties", false},
      {"$defs", definitions}};
  return out.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cifarpipe
