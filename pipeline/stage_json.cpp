#include "pipeline/stage_json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "pipeline/error.hpp"

namespace cifarpipe {
namespace {

using Json = nlohmann::ordered_json;

/// Facts may hold what a server sent: what is not UTF-8 is replaced, not refused.
std::string dump(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

/// The files' paths become paths on disk again: none may lead out of its folder.
bool is_safe_path(std::string_view path) {
  if (path.empty() || path.find('\0') != path.npos) return false;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

Json to_json(const FileDigest& file) {
  return {{"path", file.path}, {"size", file.size}, {"sha256", file.sha256}};
}

FileDigest file_from(const Json& json) {
  FileDigest file{json.at("path"), json.at("size"), json.at("sha256")};
  if (!is_safe_path(file.path)) throw Error(fmt::format("'{}' is no path of an output", file.path));
  return file;
}

StageJson parse(std::string_view text) {
  const Json json = Json::parse(text);
  if (const int format = json.at("format"); format != kStageJsonFormat) {
    throw Error(fmt::format("has format {} instead of {}", format, kStageJsonFormat));
  }
  StageJson stage;
  ResultRecord& record = stage.record;
  record.stage = json.at("stage");
  record.job.key = json.at("key");
  record.job.generation = json.at("generation");
  record.created_ms = json.at("created_ms");
  record.attempts = json.at("attempts");
  record.usage.wall_ms = json.at("usage").at("wall_ms");
  record.usage.cpu_ms = json.at("usage").at("cpu_ms");
  record.usage.peak_rss_bytes = json.at("usage").at("peak_rss_bytes");
  for (const auto& [name, value] : json.at("facts").items()) record.facts.emplace_back(name, value);
  for (const auto& [port, files] : json.at("outputs").items()) {
    if (!is_safe_path(port) || port.find('/') != port.npos) {
      throw Error(fmt::format("'{}' is no name of an output", port));
    }
    PortFiles entry{port, {}};
    for (const Json& file : files) entry.files.push_back(file_from(file));
    record.outputs.push_back(std::move(entry));
  }
  stage.points = json.at("metrics").at("points");
  stage.metrics = file_from(json.at("metrics"));
  record.key_document = json.at("key_document");
  return stage;
}

VisiblePoint point_from(std::string_view line) {
  const Json json = Json::parse(line);
  VisiblePoint point{json.at("metric"), json.at("step"), json.at("time_ms"), 0};
  const Json& value = json.at("value");
  if (value.is_number()) {
    point.value = value;
  } else {
    const std::string& word = value.get_ref<const std::string&>();
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    if (word == "nan") {
      point.value = std::numeric_limits<double>::quiet_NaN();
    } else if (word == "inf") {
      point.value = kInfinity;
    } else if (word == "-inf") {
      point.value = -kInfinity;
    } else {
      throw Error(fmt::format("'{}' is no value", word));
    }
  }
  return point;
}

}  // namespace

std::string write_stage_json(const StageJson& stage) {
  const ResultRecord& record = stage.record;
  Json outputs = Json::object();
  for (const PortFiles& port : record.outputs) {
    Json& files = outputs[port.port] = Json::array();
    for (const FileDigest& file : port.files) files.push_back(to_json(file));
  }
  Json facts = Json::object();
  for (const auto& [name, value] : record.facts) facts[name] = value;
  Json metrics = to_json(stage.metrics);
  metrics["points"] = stage.points;
  const Json json = {
      {"format", kStageJsonFormat},
      {"stage", record.stage},
      {"key", record.job.key},
      {"generation", record.job.generation},
      {"created_ms", record.created_ms},
      {"attempts", record.attempts},
      {"usage",
       {{"wall_ms", record.usage.wall_ms},
        {"cpu_ms", record.usage.cpu_ms},
        {"peak_rss_bytes", record.usage.peak_rss_bytes}}},
      {"facts", std::move(facts)},
      {"outputs", std::move(outputs)},
      {"metrics", std::move(metrics)},
      // A string and not an object: the key is the digest of exactly these bytes.
      {"key_document", record.key_document},
  };
  return dump(json, 2) + '\n';
}

std::optional<StageJson> read_stage_json(std::string_view text, std::string& why) {
  try {
    return parse(text);
  } catch (const Json::parse_error& error) {
    const auto read = text.substr(0, std::min(error.byte, text.size()));
    why = fmt::format("line {} is no JSON", 1 + std::count(read.begin(), read.end(), '\n'));
  } catch (const Json::exception&) {
    why = "it is JSON, but not as cifarpipe writes it";
  } catch (const Error& error) {
    why = error.what();
  }
  return std::nullopt;
}

std::string write_metrics_jsonl(const std::vector<VisiblePoint>& points) {
  std::string text;
  for (const VisiblePoint& point : points) {
    const bool finite = std::isfinite(point.value);
    const std::string value = number_text(point.value);
    text += fmt::format("{{\"metric\":{},\"step\":{},\"time_ms\":{},\"value\":{}{}{}}}\n",
                        dump(point.metric, -1), point.step, point.time_ms, finite ? "" : "\"",
                        value, finite ? "" : "\"");
  }
  return text;
}

std::vector<VisiblePoint> read_metrics_jsonl(std::string_view text) {
  std::vector<VisiblePoint> points;
  for (int line = 1; !text.empty(); ++line) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    try {
      points.push_back(point_from(text.substr(0, end)));
    } catch (const std::exception& error) {
      throw Error(fmt::format("line {}: {}", line, error.what()));
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return points;
}

}  // namespace cifarpipe
