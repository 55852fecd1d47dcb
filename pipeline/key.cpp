#include "pipeline/key.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "pipeline/digest.hpp"
#include "pipeline/secrets.hpp"

namespace cifarpipe {
namespace {

using nlohmann::json;

std::string json_string(const std::string& text) {
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string canonical(bool v) {
  return v ? "true" : "false";
}
std::string canonical(std::int64_t v) {
  return std::to_string(v);
}
// JSON has no NaN; a schema range keeps it out of most parameters, quotes keep the rest readable.
std::string canonical(double v) {
  const std::string text = number_text(v);
  return text.find('n') == std::string::npos ? text : json_string(text);
}
// Who asks a server for a file does not change the file, and the document is kept.
std::string canonical(const std::string& v) {
  return json_string(without_userinfo(v));
}

template <class T>
std::string canonical_list(const std::vector<T>& values) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i > 0) out += ',';
    out += canonical(static_cast<T>(values[i]));
  }
  return out + "]";
}

std::string canonical_value(const Value& value) {
  return std::visit(
      [](const auto& v) -> std::string {
        using T = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<T, Groups>) {
          std::string out = "[";
          for (std::size_t i = 0; i < v.size(); ++i) {
            if (i > 0) out += ',';
            out += "[" + json_string(v[i].first) + "," + canonical_list(v[i].second) + "]";
          }
          return out + "]";
        } else if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, std::int64_t> ||
                             std::is_same_v<T, double> || std::is_same_v<T, std::string>) {
          return canonical(v);
        } else {
          return canonical_list(v);
        }
      },
      value);
}

/// Sorted by construction, so that the text does not depend on the order of insertion.
using Members = std::map<std::string, std::string>;

std::string object(const Members& members) {
  std::string out = "{";
  for (const auto& [name, text] : members) {
    if (out.size() > 1) out += ',';
    out += json_string(name) + ":" + text;
  }
  return out + "}";
}

/// The wishes for device and precision are in the key as what they became, not as they were said.
bool is_wish(const StageDescription& stage, const std::string& name) {
  return (stage.numerics.device && name == "device") ||
         (stage.numerics.precision && name == "precision");
}

std::string params_object(const KeyParts& parts) {
  const StageDescription& stage = parts.instance->type->description;
  Members members;
  for (const auto& [name, value] : parts.instance->params) {
    const FieldInfo* field = stage.params.find(name);
    if (field == nullptr || field->no_effect || field->secret || is_wish(stage, name)) continue;
    const auto digest = parts.path_digests.find(name);
    const auto covered = parts.covered.find(name);
    if (digest != parts.path_digests.end()) {
      members[name] = object({{"content", json_string(digest->second)}});
    } else if (covered != parts.covered.end()) {
      members[name] = object({{"shown", json_string(covered->second)},
                              {"sha256", json_string(sha256(canonical_value(value)))}});
    } else {
      members[name] = canonical_value(value);
    }
  }
  return object(members);
}

std::string numerics_object(const KeyParts& parts) {
  const NumericsUse& use = parts.instance->type->description.numerics;
  Members members;
  if (use.device) members["device"] = json_string(parts.numerics.device);
  if (use.precision) members["precision"] = json_string(parts.numerics.precision);
  if (use.threads) members["threads"] = std::to_string(parts.numerics.threads);
  return object(members);
}

std::string text_of(const json& value) {
  if (value.is_null()) return "none";
  if (value.is_object() && value.contains("content")) {
    return "content " + value["content"].get<std::string>().substr(0, 8);
  }
  if (value.is_object() && value.contains("shown")) return value["shown"].dump();
  return value.dump();
}

/// "name old → new" for each member that differs between two objects.
void compare_members(const json& before, const json& after, std::string_view prefix,
                     std::vector<std::string>& out) {
  std::vector<std::string> names;
  for (const json* side : {&before, &after}) {
    if (!side->is_object()) continue;
    for (const auto& [name, value] : side->items()) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  for (const std::string& name : names) {
    const json old_value = before.is_object() ? before.value(name, json()) : json();
    const json new_value = after.is_object() ? after.value(name, json()) : json();
    if (old_value == new_value) continue;
    const std::string from = text_of(old_value);
    const std::string to = text_of(new_value);
    out.push_back(from == to ? fmt::format("{}{} changed in what is not shown", prefix, name)
                             : fmt::format("{}{} {} → {}", prefix, name, from, to));
  }
}

}  // namespace

std::string key_document(const KeyParts& parts,
                         const std::vector<std::pair<std::string, std::string>>& inputs) {
  const StageType& type = *parts.instance->type;
  const StageDescription& stage = type.description;
  Members members;
  members["format"] = std::to_string(kResultFormat);
  members["stage"] = json_string(stage.name);
  members["code"] =
      json_string(parts.code == CodeIdentity::build ? type.build_id
                                                    : fmt::format("revision {}", stage.revision));
  members["params"] = params_object(parts);
  Members ports;
  for (const auto& [port, digest] : inputs) ports[port] = json_string(digest);
  members["inputs"] = object(ports);
  if (stage.uses_seed) members["seed"] = std::to_string(parts.seed);
  if (parts.numerics_keying == NumericsKeying::strict) {
    members["numerics"] = numerics_object(parts);
  }
  if (!type.torch_version.empty()) members["libtorch"] = json_string(type.torch_version);
  if (!parts.salt.empty()) members["salt"] = json_string(parts.salt);
  return object(members);
}

std::uint64_t stage_seed(std::uint64_t root, std::string_view instance, std::uint64_t repeat) {
  const std::string digest = sha256(fmt::format("seed\n{}\n{}\n{}", root, instance, repeat));
  // 63 bits, so that the seed also fits the signed integers of databases and of JSON readers.
  return std::stoull(digest.substr(0, 16), nullptr, 16) >> 1;
}

std::vector<std::string> explain_change(const std::string& before, const std::string& after,
                                        std::string_view instance) {
  std::vector<std::string> changes;
  const json a = json::parse(before, nullptr, false);
  const json b = json::parse(after, nullptr, false);
  if (!a.is_object() || !b.is_object()) return {"its recorded key cannot be read"};
  if (a.value("stage", "") != b.value("stage", "")) {
    changes.push_back(fmt::format("uses {} → {}", text_of(a["stage"]), text_of(b["stage"])));
    return changes;
  }
  compare_members(a.value("params", json::object()), b.value("params", json::object()), "",
                  changes);
  if (a.value("seed", json()) != b.value("seed", json())) {
    changes.push_back(fmt::format("seed {} → {}", text_of(a.value("seed", json())),
                                  text_of(b.value("seed", json()))));
  }
  const json inputs_a = a.value("inputs", json::object());
  const json inputs_b = b.value("inputs", json::object());
  for (const auto& [port, digest] : inputs_b.items()) {
    if (inputs_a.value(port, json()) != digest) {
      changes.push_back(fmt::format("input '{}' changed", port));
    }
  }
  compare_members(a.value("numerics", json::object()), b.value("numerics", json::object()), "",
                  changes);
  if (a.value("code", "") != b.value("code", "")) {
    changes.push_back(fmt::format("{} was rebuilt", instance));
  }
  compare_members({{"libtorch", a.value("libtorch", json())},
                   {"salt", a.value("salt", json())},
                   {"result format", a.value("format", json())}},
                  {{"libtorch", b.value("libtorch", json())},
                   {"salt", b.value("salt", json())},
                   {"result format", b.value("format", json())}},
                  "", changes);
  return changes;
}

bool differ_only_in_code(const std::string& before, const std::string& after) {
  json a = json::parse(before, nullptr, false);
  json b = json::parse(after, nullptr, false);
  if (!a.is_object() || !b.is_object()) return false;
  a.erase("code");
  b.erase("code");
  return a == b;
}

}  // namespace cifarpipe
