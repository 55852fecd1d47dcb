#include "tracking/mlflow/wire.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

namespace cifarpipe::mlflow {
namespace {

using nlohmann::json;

/// Upper bound for a text in quotes.
std::size_t text_size(std::string_view text) {
  std::size_t size = 2;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    // \u00XX; and what is not UTF-8 becomes three bytes.
    size += byte < ' ' || byte == 0x7f ? 6 : c == '"' || c == '\\' ? 2 : byte >= 0x80 ? 3 : 1;
  }
  return size;
}

std::size_t pair_size(const std::pair<std::string, std::string>& pair) {
  return text_size(pair.first) + text_size(pair.second) + 24;
}

std::size_t metric_size(const Metric& metric) {
  std::size_t size = text_size(metric.key) + 128;
  if (!metric.model_id.empty()) {
    size += text_size(metric.model_id) + text_size(metric.dataset_name) +
            text_size(metric.dataset_digest) + 64;
  }
  return size;
}

std::string quoted(const std::string& text) {
  return dumped(json(text));
}

void add_integer(std::string& out, std::int64_t value) {
  char buffer[24];
  out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}

void add_metric(std::string& out, const Metric& metric, const std::string& key, bool models) {
  out += "{\"key\":" + key + ",\"value\":" + number_text(metric.value) + ",\"timestamp\":";
  add_integer(out, metric.time_ms);
  out += ",\"step\":";
  add_integer(out, metric.step);
  // A NaN of a logged model would be stored there as 0.
  if (models && !metric.model_id.empty() && !std::isnan(metric.value)) {
    out += ",\"model_id\":" + quoted(metric.model_id);
    if (!metric.dataset_name.empty()) {
      out += ",\"dataset_name\":" + quoted(metric.dataset_name) +
             ",\"dataset_digest\":" + quoted(metric.dataset_digest);
    }
  }
  out += '}';
}

void add_pairs(std::string& out, const Pairs& pairs, std::size_t from, std::size_t to) {
  for (std::size_t i = from; i < to; ++i) {
    out += i == from ? "{\"key\":" : ",{\"key\":";
    out += quoted(pairs[i].first) + ",\"value\":" + quoted(pairs[i].second) + '}';
  }
}

double number_from(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);  // "NaN" and "-Infinity" too.
  if (read.ec != std::errc() || read.ptr != end) return 0;
  return value;
}

}  // namespace

std::string dumped(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<json> parsed(std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) return json::object();
  json value = json::parse(text.begin(), text.end(), nullptr, false);
  if (!value.is_object()) return std::nullopt;
  return value;
}

json pairs_json(const Pairs& pairs) {
  json list = json::array();
  for (const auto& pair : pairs) {
    list.push_back(json{{"key", pair.first}, {"value", pair.second}});
  }
  return list;
}

Pairs pairs_of(const json& object, const char* field) {
  Pairs pairs;
  for (const json& entry : array_of(object, field)) {
    pairs.emplace_back(text_of(entry, "key"), text_of(entry, "value"));
  }
  return pairs;
}

std::string text_of(const json& object, const char* field) {
  if (!object.is_object()) return "";
  const auto found = object.find(field);
  if (found == object.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  return found->is_primitive() ? dumped(*found) : "";
}

std::int64_t integer_of(const json& object, const char* field) {
  const std::string text = text_of(object, field);
  std::int64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec == std::errc() && read.ptr == text.data() + text.size()) return value;
  const double number = number_from(text);  // 1.7e12
  return std::abs(number) < 9e18 ? static_cast<std::int64_t>(number) : 0;
}

double number_of(const json& object, const char* field) {
  return number_from(text_of(object, field));
}

const json& object_of(const json& object, const char* field) {
  static const json kEmpty = json::object();
  if (!object.is_object()) return kEmpty;
  const auto found = object.find(field);
  return found != object.end() && found->is_object() ? *found : kEmpty;
}

const json& array_of(const json& object, const char* field) {
  static const json kEmpty = json::array();
  if (!object.is_object()) return kEmpty;
  const auto found = object.find(field);
  return found != object.end() && found->is_array() ? *found : kEmpty;
}

std::string number_text(double value) {
  if (std::isnan(value)) return "\"NaN\"";
  if (std::isinf(value)) return value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  char buffer[32];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr};
}

std::pair<BatchPart, BatchPart> BatchPart::halves() const {
  BatchPart first = *this;
  BatchPart second = *this;
  std::size_t left = size() / 2;
  const auto share = [&left](std::size_t from, std::size_t to) {
    const std::size_t taken = std::min(left, to - from);
    left -= taken;
    return from + taken;
  };
  first.params_to = second.params_from = share(params_from, params_to);
  first.metrics_to = second.metrics_from = share(metrics_from, metrics_to);
  first.tags_to = second.tags_from = share(tags_from, tags_to);
  return {first, second};
}

std::vector<BatchPart> split_batch(const std::vector<Metric>& metrics, const Pairs& params,
                                   const Pairs& tags, const BatchLimits& limits) {
  std::vector<BatchPart> parts;
  BatchPart next;
  while (next.params_to < params.size() || next.tags_to < tags.size() ||
         next.metrics_to < metrics.size()) {
    next.params_from = next.params_to;
    next.tags_from = next.tags_to;
    next.metrics_from = next.metrics_to;
    std::size_t bytes = 128;
    const auto fits = [&](std::size_t size) {
      if (next.size() > 0 && bytes + size > limits.bytes) return false;
      if (next.size() >= limits.entities) return false;
      bytes += size;
      return true;
    };
    while (next.params_to < params.size() && next.params_to - next.params_from < limits.params &&
           fits(pair_size(params[next.params_to]))) {
      ++next.params_to;
    }
    while (next.tags_to < tags.size() && next.tags_to - next.tags_from < limits.tags &&
           fits(pair_size(tags[next.tags_to]))) {
      ++next.tags_to;
    }
    while (next.metrics_to < metrics.size() &&
           next.metrics_to - next.metrics_from < limits.metrics &&
           fits(metric_size(metrics[next.metrics_to]))) {
      ++next.metrics_to;
    }
    parts.push_back(next);
  }
  return parts;
}

std::string batch_body(const std::string& run_id, const std::vector<Metric>& metrics,
                       const Pairs& params, const Pairs& tags, const BatchPart& part, bool models) {
  std::string out = "{\"run_id\":" + quoted(run_id);
  if (part.metrics_from < part.metrics_to) {
    out += ",\"metrics\":[";
    std::string key;
    for (std::size_t i = part.metrics_from; i < part.metrics_to; ++i) {
      const bool same = i > part.metrics_from && metrics[i].key == metrics[i - 1].key;
      if (!same) key = quoted(metrics[i].key);
      if (i > part.metrics_from) out += ',';
      add_metric(out, metrics[i], key, models);
    }
    out += ']';
  }
  if (part.params_from < part.params_to) {
    out += ",\"params\":[";
    add_pairs(out, params, part.params_from, part.params_to);
    out += ']';
  }
  if (part.tags_from < part.tags_to) {
    out += ",\"tags\":[";
    add_pairs(out, tags, part.tags_from, part.tags_to);
    out += ']';
  }
  return out + '}';
}

}  // namespace cifarpipe::mlflow
