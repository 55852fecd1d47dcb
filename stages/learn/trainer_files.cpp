// What a training writes and reads: its checkpoint, so that it goes on bit by bit, and the model
// artifacts in the end.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>

#include "stages/learn/tensor_file.hpp"
#include "stages/learn/trainer.hpp"

namespace cifarpipe::learn {
namespace {

std::vector<NamedTensor> prefixed(const std::string& prefix, std::vector<NamedTensor> tensors) {
  for (auto& tensor : tensors) tensor.name = prefix + tensor.name;
  return tensors;
}

}  // namespace

void Trainer::save(const std::filesystem::path& dir) const {
  std::vector<NamedTensor> tensors = prefixed("model.", all_tensors(*model_));
  const auto append = [&](std::vector<NamedTensor> more) {
    tensors.insert(tensors.end(), more.begin(), more.end());
  };
  append(prefixed("optimizer.", optimizer_->state()));
  append(prefixed("average.", averaging_->averages()));
  if (state_.best_epoch > 0) append(prefixed("best.", best_));
  if (state_.group_images > 0) {
    for (const auto& [name, tensor] : model_->trained()) {
      tensors.push_back({"gradient." + name, tensor.grad()});
    }
  }
  write_checkpoint(dir, state_, tensors);
}

/// Everything is copied into tensors that were made as at a fresh start, so that nothing about
/// their place or order in memory differs from an undisturbed run.
void Trainer::restore(const std::filesystem::path& dir) {
  const at::NoGradGuard no_grad;
  state_ = read_checkpoint_state(dir);
  const SafetensorsReader reader(checkpoint_tensors(dir));
  const auto read = [&](const std::string& prefix, const std::vector<NamedTensor>& tensors) {
    for (const auto& [name, tensor] : tensors) read_tensor(reader, prefix + name, tensor);
  };
  read("model.", all_tensors(*model_));
  read("optimizer.", optimizer_->state());
  read("average.", averaging_->averages());
  if (state_.best_epoch > 0) read("best.", best_);
  if (state_.group_images == 0) return;
  for (const auto& [name, tensor] : model_->trained()) {
    at::Tensor gradient = at::empty_like(tensor.detach());
    read_tensor(reader, "gradient." + name, gradient);
    tensor.mutable_grad() = gradient;
  }
}

void Trainer::write_best(const std::filesystem::path& dir) const {
  if (state_.best_epoch == 0) return write_last(dir);
  write_model(dir, best_, state_.best_epoch);
}

void Trainer::write_last(const std::filesystem::path& dir) const {
  write_model(dir, averaging_->on() ? averaging_->averages() : all_tensors(*model_), state_.epoch);
}

void Trainer::write_model(const std::filesystem::path& dir, const std::vector<NamedTensor>& weights,
                          std::int64_t epoch) const {
  const DatasetInfo& data = data_.info;
  save_weights(weights_file(dir), weights);
  write_model_info(dir, {options_.architecture, data.height, data.width, data.channels,
                         data.classes, data.mean, data.std, model_->parameter_count(), epoch});
}

}  // namespace cifarpipe::learn
