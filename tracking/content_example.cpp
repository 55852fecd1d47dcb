#include "tracking/content_example.hpp"

#include <fmt/format.h>

#include <fstream>

namespace cifarpipe::content {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kMostNumbers = 1'000'000;  // Beyond that it is no example to read.

struct Shape {
  std::size_t channels = 0;
  std::size_t height = 0;
  std::size_t width = 0;
  std::size_t size() const { return channels * height * width; }
};

std::optional<Shape> shape_of(const ModelPort& input) {
  if (input.shape.size() != 4 || input.dtype != "float32") return std::nullopt;
  std::int64_t size = 1;
  for (std::size_t i = 1; i < 4; ++i) {
    if (input.shape[i] < 1 || input.shape[i] > kMostNumbers / size) return std::nullopt;
    size *= input.shape[i];
  }
  return Shape{static_cast<std::size_t>(input.shape[1]), static_cast<std::size_t>(input.shape[2]),
               static_cast<std::size_t>(input.shape[3])};
}

/// The first image of a dataset as it is stored: height x width x channels.
std::string first_image(const RunView& view, const StageRow& data, const Shape& shape) {
  const auto file = view.file(data, "dataset", "dataset.json");
  const auto json = file ? read_json(file->file) : std::nullopt;
  if (!json) return "";
  const auto is = [&](const char* key, std::size_t size) {
    return json->contains(key) && (*json)[key] == size;
  };
  if (!is("channels", shape.channels) || !is("height", shape.height) || !is("width", shape.width)) {
    return "";
  }
  for (const char* split : {"test", "validation", "train"}) {
    const auto images = view.file(data, "dataset", fmt::format("{}.images.bin", split));
    if (!images || images->size < shape.size()) continue;
    std::ifstream in(images->file, std::ios::binary);
    std::string image(shape.size(), '\0');
    if (in.read(image.data(), static_cast<std::streamsize>(image.size()))) return image;
  }
  return "";
}

/// model.json's numbers, one a channel; `otherwise` for each if they are not there.
std::vector<float> per_channel(const ordered_json& info, const char* key, std::size_t channels,
                               float otherwise) {
  std::vector<float> out(channels, otherwise);
  const auto found = info.find(key);
  if (found == info.end() || !found->is_array() || found->size() != channels) return out;
  for (std::size_t c = 0; c < channels; ++c) {
    if ((*found)[c].is_number()) out[c] = (*found)[c].get<float>();
  }
  return out;
}

}  // namespace

std::string input_example(const RunView& view, const StageRow& export_stage,
                          const ordered_json& info, const ModelPort& input) {
  const auto shape = shape_of(input);
  if (!shape) return "";
  const auto source = view.wiring.input(export_stage.name, "data");
  const StageRow* data = source ? view.stage(source->stage) : nullptr;
  const std::string image = data != nullptr ? first_image(view, *data, *shape) : "";
  const bool outside = view.param(export_stage.name + ".normalization") == "outside";
  const auto mean =
      per_channel(outside ? info : ordered_json::object(), "mean", shape->channels, 0);
  const auto std = per_channel(outside ? info : ordered_json::object(), "std", shape->channels, 1);
  std::string out = "[[";
  for (std::size_t c = 0; c < shape->channels; ++c) {
    out += c == 0 ? "[" : ", [";
    for (std::size_t y = 0; y < shape->height; ++y) {
      out += y == 0 ? "[" : ", [";
      for (std::size_t x = 0; x < shape->width; ++x) {
        float value = 0;
        if (!image.empty()) {
          const char byte = image[(y * shape->width + x) * shape->channels + c];
          value =
              (static_cast<float>(static_cast<unsigned char>(byte)) / 255.0F - mean[c]) / std[c];
        }
        out += fmt::format("{}{}", x == 0 ? "" : ", ", value);
      }
      out += ']';
    }
    out += ']';
  }
  return out + "]]";
}

}  // namespace cifarpipe::content
