#include "stages/learn/model_file.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "stages/learn/counted.hpp"

namespace cifarpipe::learn {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kFormat = 1;

std::string size_text(std::int64_t height, std::int64_t width, std::int64_t channels) {
  return std::to_string(height) + "x" + std::to_string(width) + "x" + std::to_string(channels);
}

std::int32_t group_of(const ModelInfo& model, const std::string& name) {
  for (std::size_t g = 0; g < model.groups.size(); ++g) {
    const auto& members = model.groups[g].second;
    if (std::find(members.begin(), members.end(), name) != members.end()) {
      return static_cast<std::int32_t>(g);
    }
  }
  throw Error("the dataset's class '" + name + "' belongs to none of the model's groups");
}

/// A list of [name, [member, ...]]: their order counts.
void read_groups(const Json& json, ModelInfo& info) {
  const auto found = json.find("groups");
  if (found == json.end()) return;
  info.groups = found->get<decltype(info.groups)>();
  bool fits = info.groups.size() == info.classes.size();
  for (std::size_t i = 0; fits && i < info.groups.size(); ++i) {
    fits = info.groups[i].first == info.classes[i];
  }
  if (!fits) throw Error("model.json is damaged: its groups are not its classes");
}

}  // namespace

std::filesystem::path weights_file(const std::filesystem::path& dir) {
  return dir / "model.safetensors";
}

ModelInfo read_model_info(const std::filesystem::path& dir) {
  const auto file = dir / "model.json";
  ModelInfo info;
  try {
    const Json json = Json::parse(read_text(file));
    if (const int format = json.at("format").get<int>(); format != kFormat) {
      throw Error(file.string() + ": format " + std::to_string(format) +
                  " is not known; this program reads format " + std::to_string(kFormat));
    }
    info.architecture = json.at("architecture").get<std::string>();
    info.height = json.at("height").get<std::int64_t>();
    info.width = json.at("width").get<std::int64_t>();
    info.channels = json.at("channels").get<std::int64_t>();
    info.classes = json.at("classes").get<std::vector<std::string>>();
    info.mean = json.at("mean").get<std::vector<double>>();
    info.std = json.at("std").get<std::vector<double>>();
    info.parameters = json.at("parameters").get<std::int64_t>();
    info.epoch = json.value("epoch", std::int64_t{0});
    read_groups(json, info);
  } catch (const nlohmann::json::exception& e) {
    throw Error(file.string() + " is damaged: " + e.what());
  }
  const auto channels = static_cast<std::size_t>(info.channels);
  if (info.channels < 1 || info.classes.empty() || info.mean.size() != channels ||
      info.std.size() != channels) {
    throw Error(file.string() + " is damaged: channels, classes, mean and std do not fit together");
  }
  return info;
}

void write_model_info(const std::filesystem::path& dir, const ModelInfo& info) {
  Json json;
  json["format"] = kFormat;
  json["architecture"] = info.architecture;
  json["height"] = info.height;
  json["width"] = info.width;
  json["channels"] = info.channels;
  json["classes"] = info.classes;
  json["mean"] = info.mean;
  json["std"] = info.std;
  json["parameters"] = info.parameters;
  json["epoch"] = info.epoch;
  if (!info.groups.empty()) json["groups"] = info.groups;
  write_text(dir / "model.json", json.dump(2) + "\n");
}

void require_fit(const ModelInfo& model, const DatasetInfo& data) {
  fit_labels(model, data);
}

std::vector<std::int32_t> fit_labels(const ModelInfo& model, const DatasetInfo& data) {
  if (model.height != data.height || model.width != data.width || model.channels != data.channels) {
    throw Error("the model takes images of " +
                size_text(model.height, model.width, model.channels) + ", the dataset's are " +
                size_text(data.height, data.width, data.channels) + " (height x width x channels)");
  }
  std::vector<std::int32_t> labels(data.classes.size());
  std::iota(labels.begin(), labels.end(), 0);
  if (model.classes == data.classes) return labels;
  if (!model.groups.empty()) {
    for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = group_of(model, data.classes[i]);
    return labels;
  }
  if (model.classes.size() != data.classes.size()) {
    throw Error("the model knows " +
                counted(static_cast<std::int64_t>(model.classes.size()), "class") +
                ", the dataset has " + std::to_string(data.classes.size()));
  }
  for (std::size_t i = 0; i < model.classes.size(); ++i) {
    if (model.classes[i] != data.classes[i]) {
      throw Error("class " + std::to_string(i) + " is '" + model.classes[i] +
                  "' for the model and '" + data.classes[i] + "' in the dataset");
    }
  }
  return labels;
}

}  // namespace cifarpipe::learn
