#include <bit>
#include <nlohmann/json.hpp>

#include "stages/learn/tensor_file.hpp"
#include "stages/learn/trainer.hpp"

namespace cifarpipe::learn {
namespace {

using Json = nlohmann::ordered_json;
constexpr int kFormat = 2;

/// Calls `field` for every number of the state with its name: one list for both directions.
template <class State, class Field>
void each_field(State& state, const Field& field) {
  field("epoch", state.epoch);
  field("batch", state.batch);
  field("steps", state.steps);
  field("loss_sum", state.loss_sum);
  field("correct", state.correct);
  field("images", state.images);
  field("group_loss_sum", state.group_loss_sum);
  field("group_images", state.group_images);
  field("best_epoch", state.best_epoch);
  field("best_accuracy", state.best_accuracy);
  field("loss_scale", state.loss_scale.factor);
  field("good_steps", state.loss_scale.good_steps);
  field("seconds", state.seconds);
}

}  // namespace

std::filesystem::path checkpoint_tensors(const std::filesystem::path& dir) {
  return dir / "state.safetensors";
}

void write_checkpoint(const std::filesystem::path& dir, const TrainState& state,
                      const std::vector<NamedTensor>& tensors) {
  write_tensors(checkpoint_tensors(dir), tensors);
  Json json;
  json["format"] = kFormat;
  each_field(state, [&](const char* name, const auto& value) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, double>) {
      json[name] = std::bit_cast<std::uint64_t>(value);  // exact, also when it is not a number
    } else {
      json[name] = value;
    }
  });
  write_text(dir / "state.json", json.dump(2) + "\n");
}

TrainState read_checkpoint_state(const std::filesystem::path& dir) {
  const auto file = dir / "state.json";
  TrainState state;
  try {
    const Json json = Json::parse(read_text(file));
    if (const int format = json.at("format").get<int>(); format != kFormat) {
      throw Error(file.string() + ": a checkpoint of format " + std::to_string(format) +
                  ", which this program does not read");
    }
    each_field(state, [&](const char* name, auto& value) {
      if constexpr (std::is_same_v<std::decay_t<decltype(value)>, double>) {
        value = std::bit_cast<double>(json.at(name).get<std::uint64_t>());
      } else {
        value = json.at(name).get<std::int64_t>();
      }
    });
  } catch (const nlohmann::json::exception& e) {
    throw Error("the checkpoint " + file.string() + " is damaged: " + e.what());
  }
  return state;
}

}  // namespace cifarpipe::learn
