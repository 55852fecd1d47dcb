#include "stages/learn/trainer.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "stages/learn/compute_scope.hpp"
#include "stages/learn/tensor_file.hpp"

namespace cifarpipe::learn {
namespace {

constexpr std::int64_t kValidationBatch = 256;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

BatchFormat batch_format(const TrainOptions& options, const DatasetInfo& info) {
  return {info.height, info.width,   info.channels,        info.mean,
          info.std,    options.bf16, options.channels_last};
}

template <class... Args>
std::string text(const char* format, Args... args) {
  char buffer[256];
  std::snprintf(buffer, sizeof buffer, format, args...);
  return buffer;
}

/// The indices of the `count` first maxima, row by row, that equal the label.
std::int64_t count_correct(const at::Tensor& logits, const at::Tensor& labels) {
  const auto classes = logits.size(1);
  const float* values = logits.const_data_ptr<float>();
  const auto* label = labels.const_data_ptr<std::int64_t>();
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < logits.size(0); ++i, values += classes) {
    correct += std::max_element(values, values + classes) - values == label[i] ? 1 : 0;
  }
  return correct;
}

std::vector<NamedTensor> prefixed(const std::string& prefix, std::vector<NamedTensor> tensors) {
  for (auto& tensor : tensors) tensor.name = prefix + tensor.name;
  return tensors;
}

}  // namespace

std::vector<std::int32_t> shuffled_rows(std::uint64_t seed, std::int64_t epoch,
                                        std::int64_t count) {
  const CounterRandom random(seed, Purpose::shuffle, static_cast<std::uint64_t>(epoch));
  std::vector<std::int32_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[random.below(i, i)]);
  return rows;
}

TrainingData training_data(const DatasetReader& reader) {
  TrainingData data{reader.info(), reader.split("train"), std::nullopt};
  if (reader.has("validation") && reader.split("validation").count > 0) {
    data.validation = reader.split("validation");
  }
  return data;
}

Trainer::Trainer(const TrainOptions& options, TrainingData data, TrainingHost& host,
                 const Start& start)
    : options_(options),
      data_(std::move(data)),
      host_(host),
      maker_(batch_format(options, data_.info)) {
  const DatasetInfo& info = data_.info;
  if (data_.train.count == 0) throw Error("the dataset's split 'train' has no images");
  model_ = make_model(options.architecture,
                      {info.height, info.width, info.channels,
                       static_cast<std::int64_t>(info.classes.size()), options.channels_last});
  model_->set_fusion(options.fusion);
  model_->initialise(options.seed);
  begin_from(start);
  model_->freeze(options.freeze);
  optimizer_ = std::make_unique<Optimizer>(
      OptimizerOptions{options.optimizer, options.weight_decay, options.momentum},
      model_->trained());
  if (!data_.validation) return;
  for (const auto& [name, tensor] : all_tensors(*model_)) {
    best_.push_back({name, at::empty_like(tensor.detach())});
  }
}

void Trainer::begin_from(const Start& start) {
  const at::NoGradGuard no_grad;
  const auto all = all_tensors(*model_);
  for (const auto& [name, from] : start.weights) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const NamedTensor& known) { return known.name == name; });
    if (found == all.end()) {
      throw Error("the weights to begin from have a tensor '" + name + "' that " +
                  options_.architecture + " lacks");
    }
    if (found->tensor.sizes() != from.sizes()) {
      throw Error("the weights to begin from have another shape of '" + name + "' than " +
                  options_.architecture + " for these images and classes");
    }
    found->tensor.copy_(from);
  }
}

std::int64_t Trainer::batches() const {
  return (data_.train.count + options_.batch_size - 1) / options_.batch_size;
}

/// All images of the accumulation group that the next batch belongs to; the epoch's last group
/// may be smaller, and its gradient is still the mean over its own images.
std::int64_t Trainer::images_of_group() const {
  const std::int64_t whole = std::int64_t{options_.batch_size} * options_.accumulate;
  const std::int64_t begin = state_.batch / options_.accumulate * whole;
  return std::min(data_.train.count, begin + whole) - begin;
}

void Trainer::run() {
  const at::AutoGradMode with_gradients(true);
  const FlushDenormalScope flush_denormals;
  if (const auto dir = host_.checkpoint()) {
    restore(*dir);
    host_.info(text("going on after epoch %lld, batch %lld", static_cast<long long>(state_.epoch),
                    static_cast<long long>(state_.batch)));
  }
  while (state_.epoch < options_.epochs) {
    begin_epoch();
    train_epoch();
    finish_epoch();
  }
}

void Trainer::begin_epoch() {
  order_ = shuffled_rows(options_.seed, state_.epoch, data_.train.count);
  lr_ = step_lr(options_.lr, options_.lr_step, options_.lr_gamma, state_.epoch);
  last_time_ = now_seconds();
}

void Trainer::note_time() {
  const double now = now_seconds();
  state_.seconds += now - last_time_;
  last_time_ = now;
}

void Trainer::train_epoch() {
  while (state_.batch < batches()) {
    stop_if_requested();
    train_batch();
    note_time();
  }
}

void Trainer::train_batch() {
  const std::int64_t begin = state_.batch * options_.batch_size;
  const std::int64_t count = std::min<std::int64_t>(options_.batch_size, data_.train.count - begin);
  const double loss = train_on(
      std::span(order_).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count)));
  if (!std::isfinite(loss)) found_nan();
  state_.loss_sum += loss * static_cast<double>(count);
  state_.images += count;
  state_.group_loss_sum += loss * static_cast<double>(count);
  state_.group_images += count;
  const bool group_ends = state_.group_images == images_of_group();
  ++state_.batch;
  if (group_ends) finish_group();
  report_progress(loss);
}

/// Forward and backward; adds to the gradients and to the correct answers, returns the mean loss.
double Trainer::train_on(std::span<const std::int32_t> rows) {
  const at::Tensor images = maker_.augmented(
      data_.train, rows, {options_.crop_padding, options_.flip}, options_.seed, state_.epoch);
  const at::Tensor labels = BatchMaker::labels(data_.train, rows);
  ForwardPass pass;
  pass.training = true;
  pass.seed = options_.seed;
  pass.step = static_cast<std::uint64_t>(state_.epoch * batches() + state_.batch);
  at::Tensor logits;
  {
    const AutocastScope autocast(options_.bf16);
    logits = model_->forward(images, pass);
  }
  logits = logits.to(at::kFloat);
  const at::Tensor loss = at::cross_entropy_loss(logits, labels);
  const double weight = static_cast<double>(rows.size()) / static_cast<double>(images_of_group());
  loss.backward(at::full({}, weight, at::kFloat));
  state_.correct += count_correct(logits, labels);
  return loss.item<float>();
}

void Trainer::finish_group() {
  optimizer_->step(lr_);
  model_->forget_gradients();
  ++state_.steps;
  if (options_.step_metrics) {
    host_.metric(TrainMetric::step_loss, state_.steps,
                 state_.group_loss_sum / static_cast<double>(state_.group_images));
  }
  state_.group_loss_sum = 0;
  state_.group_images = 0;
}

void Trainer::found_nan() {
  const std::string what =
      text("the loss is no longer finite in epoch %lld, batch %lld; a smaller lr may help",
           static_cast<long long>(state_.epoch + 1), static_cast<long long>(state_.batch + 1));
  if (options_.stop_on_nan) throw Error(what);
  if (!warned_of_nan_) host_.warn(what);
  warned_of_nan_ = true;
}

void Trainer::report_progress(double loss) {
  const double total = static_cast<double>(data_.train.count) * options_.epochs;
  const auto done = static_cast<double>(data_.train.count * state_.epoch + state_.images);
  host_.progress(done, total,
                 text("epoch %lld/%d  loss %.4f  accuracy %.3f",
                      static_cast<long long>(state_.epoch + 1), options_.epochs, loss,
                      static_cast<double>(state_.correct) / static_cast<double>(state_.images)));
}

Evaluation Trainer::validate() {
  return evaluate(*model_, maker_, *data_.validation, kValidationBatch, options_.bf16, nullptr,
                  [this](std::int64_t) { stop_if_requested(); });
}

void Trainer::finish_epoch() {
  const auto images = static_cast<double>(state_.images);
  const double rate = images / state_.seconds;
  const double loss = state_.loss_sum / images;
  const double accuracy = static_cast<double>(state_.correct) / images;
  std::optional<Evaluation> validation;
  if (data_.validation) validation = validate();

  const std::int64_t epoch = state_.epoch + 1;
  host_.metric(TrainMetric::loss, epoch, loss);
  host_.metric(TrainMetric::accuracy, epoch, accuracy);
  host_.metric(TrainMetric::lr, epoch, lr_);
  host_.metric(TrainMetric::images_per_second, epoch, rate);
  std::string line = text("epoch %lld/%d  loss %.4f  accuracy %.4f", static_cast<long long>(epoch),
                          options_.epochs, loss, accuracy);
  if (validation) {
    host_.metric(TrainMetric::val_loss, epoch, validation->loss);
    host_.metric(TrainMetric::val_accuracy, epoch, validation->accuracy);
    line += text("  val_loss %.4f  val_accuracy %.4f", validation->loss, validation->accuracy);
    if (state_.best_epoch == 0 || validation->accuracy > state_.best_accuracy) {
      state_.best_epoch = epoch;
      state_.best_accuracy = validation->accuracy;
      const at::NoGradGuard no_grad;
      const auto now = all_tensors(*model_);
      for (std::size_t i = 0; i < now.size(); ++i) best_[i].tensor.copy_(now[i].tensor);
    }
  }
  host_.info(line + text("  %.0f images/s", rate));

  state_.epoch = epoch;
  state_.batch = state_.correct = state_.images = 0;
  state_.loss_sum = state_.seconds = 0;
  if (epoch % options_.checkpoint_every == 0 || epoch == options_.epochs) {
    host_.save_checkpoint([this](const auto& dir) { save(dir); });
  }
}

void Trainer::stop_if_requested() {
  if (!host_.stop_requested()) return;
  host_.save_checkpoint([this](const auto& dir) { save(dir); });
  throw Interrupted();
}

void Trainer::save(const std::filesystem::path& dir) const {
  std::vector<NamedTensor> tensors = prefixed("model.", all_tensors(*model_));
  const auto append = [&](std::vector<NamedTensor> more) {
    tensors.insert(tensors.end(), more.begin(), more.end());
  };
  append(prefixed("optimizer.", optimizer_->state()));
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
  write_model(dir, all_tensors(*model_), state_.epoch);
}

void Trainer::write_model(const std::filesystem::path& dir, const std::vector<NamedTensor>& weights,
                          std::int64_t epoch) const {
  const DatasetInfo& data = data_.info;
  save_weights(weights_file(dir), weights);
  write_model_info(dir, {options_.architecture, data.height, data.width, data.channels,
                         data.classes, data.mean, data.std, model_->parameter_count(), epoch});
}

}  // namespace cifarpipe::learn
