#include "stages/learn/model_file.hpp"

#include <nlohmann/json.hpp>

namespace cifarpipe::learn {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kFormat = 1;

std::string size_text(std::int64_t height, std::int64_t width, std::int64_t channels) {
  return std::to_string(height) + "x" + std::to_string(width) + "x" + std::to_string(channels);
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
  write_text(dir / "model.json", json.dump(2) + "\n");
}

void require_fit(const ModelInfo& model, const DatasetInfo& data) {
  if (model.height != data.height || model.width != data.width || model.channels != data.channels) {
    throw Error("the model takes images of " +
                size_text(model.height, model.width, model.channels) + ", the dataset's are " +
                size_text(data.height, data.width, data.channels));
  }
  if (model.classes.size() != data.classes.size()) {
    throw Error("the model knows " + std::to_string(model.classes.size()) +
                " classes, the dataset has " + std::to_string(data.classes.size()));
  }
  for (std::size_t i = 0; i < model.classes.size(); ++i) {
    if (model.classes[i] != data.classes[i]) {
      throw Error("class " + std::to_string(i) + " is '" + model.classes[i] +
                  "' for the model and '" + data.classes[i] + "' in the dataset");
    }
  }
}

}  // namespace cifarpipe::learn
