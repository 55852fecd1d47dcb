#include "stages/learn/trainer.hpp"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/full.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "stages/learn/compute_scope.hpp"
#include "stages/learn/counted.hpp"
#include "stages/learn/whitening.hpp"

namespace cifarpipe::learn {
namespace {

constexpr std::int64_t kValidationBatch = 256;

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

BatchFormat batch_format(const TrainOptions& options, const DatasetInfo& info) {
  return {info.height,
          info.width,
          info.channels,
          info.mean,
          info.std,
          options.precision == Precision::bf16,
          options.channels_last};
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
  check_options();
  model_ = make_model(options.architecture,
                      {info.height, info.width, info.channels,
                       static_cast<std::int64_t>(info.classes.size()), options.channels_last});
  model_->set_fusion(options.fusion);
  model_->initialise(options.seed);
  whiten(*model_, maker_, data_.train);
  begin_from(start);
  images_ = std::make_unique<EpochImages>(options.architecture, data_.train, info,
                                          batch_format(options, info), options.image_sizes);
  model_->freeze(options.freeze);
  if (model_->trained().empty()) {
    throw Error("nothing is left to learn: 'freeze' keeps every layer as it begins",
                ErrorKind::usage);
  }
  model_->move_to(options.device);
  optimizer_ = std::make_unique<Optimizer>(options.optimizer, model_->trained());
  averaging_ = std::make_unique<Averaging>(options.averaging, *model_);
  loss_ = std::make_unique<Loss>(options.loss, data_.train, info, options.device);
  if (!data_.validation) return;
  for (const auto& [name, tensor] : all_tensors(*model_)) {
    best_.push_back({name, at::empty_like(tensor.detach())});
  }
}

void Trainer::check_options() const {
  if (data_.train.count == 0) throw Error("the dataset's split 'train' has no images");
  if (options_.patience > 0 && !data_.validation) {
    throw Error(
        "patience needs a validation split to see what is better: give the preprocess "
        "stage a 'validation' share",
        ErrorKind::usage);
  }
  const Augmentation& a = options_.augmentation;
  const ImageSize own{data_.info.height, data_.info.width};
  std::int64_t least = std::min(own.height, own.width);
  for (const std::int64_t longer : options_.image_sizes) {
    const ImageSize size = size_with(own, longer);
    least = std::min({least, size.height, size.width});
  }
  if (a.cutout > least) {
    const bool own_too = a.cutout > std::min(own.height, own.width);
    throw Error("cutout = " + std::to_string(a.cutout) + " is larger than the images" +
                    (own_too ? "" : " that image_sizes asks for"),
                ErrorKind::usage);
  }
  const bool colour = a.brightness > 0 || a.contrast > 0 || a.saturation > 0;
  if (colour && data_.info.channels != 1 && data_.info.channels != 3) {
    throw Error("brightness, contrast and saturation are for images of 1 or 3 channels, not " +
                    std::to_string(data_.info.channels),
                ErrorKind::usage);
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
  const MemoryReuseScope memory;
  if (const auto dir = host_.checkpoint()) {
    restore(*dir);
    host_.info(text("going on after epoch %lld, batch %lld", static_cast<long long>(state_.epoch),
                    static_cast<long long>(state_.batch)));
  }
  while (!finished()) {
    begin_epoch();
    train_epoch();
    finish_epoch();
  }
}

bool Trainer::finished() const {
  if (state_.epoch >= options_.epochs) return true;
  return options_.patience > 0 && state_.best_epoch > 0 &&
         state_.epoch - state_.best_epoch >= options_.patience;
}

std::int64_t Trainer::steps_per_epoch() const {
  return (batches() + options_.accumulate - 1) / options_.accumulate;
}

void Trainer::begin_epoch() {
  order_ = shuffled_rows(options_.seed, state_.epoch, data_.train.count);
  images_->begin(state_.epoch, *model_);
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
  if (!std::isfinite(loss)) {
    found_nan(text("the loss is no longer finite in epoch %lld, batch %lld; a smaller lr may help",
                   static_cast<long long>(state_.epoch + 1),
                   static_cast<long long>(state_.batch + 1)));
  }
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
  const std::int64_t number = state_.epoch * batches() + state_.batch;
  at::Tensor images = images_->augmented(rows, options_.augmentation, options_.seed, state_.epoch);
  const auto [height, width] = images_->size();
  const Mix mix = draw_mix(options_.loss, options_.seed, number, height, width);
  mix_images(images, mix);
  images = images.to(options_.device);
  const at::Tensor labels = BatchMaker::labels(data_.train, rows);
  const ForwardPass pass{true, options_.seed, static_cast<std::uint64_t>(number)};
  at::Tensor logits;
  {
    const AutocastScope autocast(options_.precision, options_.device.type());
    logits = model_->forward(images, pass);
  }
  logits = logits.to(at::kFloat);
  const at::Tensor loss = loss_->of(logits, labels.to(options_.device), mix);
  double weight = static_cast<double>(rows.size()) / static_cast<double>(images_of_group());
  if (scales_loss()) weight *= state_.loss_scale.factor;
  loss.backward(at::full({}, weight, loss.options().requires_grad(false)));
  state_.correct += count_correct(logits.detach().cpu().contiguous(), mix.main_labels(labels));
  return loss.item<float>();
}

double Trainer::rate_of_step(std::int64_t step) const {
  return learning_rate(options_.schedule, {step, steps_per_epoch(), options_.epochs});
}

void Trainer::finish_group() {
  const bool good = !scales_loss() || state_.loss_scale.unscale(model_->trained());
  if (good) optimizer_->step(rate_of_step(state_.steps));
  model_->forget_gradients();
  ++state_.steps;
  averaging_->after_step(state_.steps, steps_per_epoch() * options_.epochs);
  if (options_.step_metrics) {
    host_.metric(TrainMetric::step_loss, state_.steps,
                 state_.group_loss_sum / static_cast<double>(state_.group_images));
  }
  state_.group_loss_sum = 0;
  state_.group_images = 0;
}

void Trainer::found_nan(const std::string& what) {
  if (options_.stop_on_nan) throw Error(what);
  if (!warned_of_nan_) host_.warn(what);
  warned_of_nan_ = true;
}

/// At an epoch's end: a NaN can get into running statistics, or with the last step into the
/// weights, without any batch's loss having shown it.
bool Trainer::stayed_finite(const std::optional<Evaluation>& validation) {
  const auto epoch = static_cast<long long>(state_.epoch + 1);
  const std::string name =
      first_not_finite(averaging_->on() ? averaging_->averages() : all_tensors(*model_));
  if (!name.empty()) {
    found_nan(
        text("the weights are no longer finite after epoch %lld, the first of them in '%s'; a "
             "smaller lr may help",
             epoch, name.c_str()));
    return false;
  }
  if (!validation || validation->finite) return true;
  found_nan(
      text("answers on the validation split are not finite after epoch %lld: the weights have "
           "become so large that they overflow; a smaller lr may help",
           epoch));
  return false;
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
  struct Stop {};
  std::vector<Judgement> wrong;
  Evaluation found;
  try {
    const AveragedScope averaged(*averaging_);
    found = evaluate(
        *model_, maker_, *data_.validation, {kValidationBatch, options_.precision},
        [&](const Judgement& j) {
          if (j.predicted != j.label) wrong.push_back(j);
        },
        [this](std::int64_t) {
          if (host_.stop_requested()) throw Stop();
        });
  } catch (const Stop&) {
    save_and_stop();  // Only here are the weights in their places again.
  }
  if (options_.mistakes > 0) tell_mistakes(wrong);
  return found;
}

void Trainer::tell_mistakes(std::vector<Judgement>& wrong) {
  std::stable_sort(wrong.begin(), wrong.end(), surer);
  const auto count = std::min(wrong.size(), static_cast<std::size_t>(options_.mistakes));
  host_.mistakes(state_.epoch + 1, std::span(wrong).first(count));
}

void Trainer::keep_if_best(const Evaluation& validation) {
  if (state_.best_epoch > 0 && validation.accuracy <= state_.best_accuracy) return;
  state_.best_epoch = state_.epoch + 1;
  state_.best_accuracy = validation.accuracy;
  const at::NoGradGuard no_grad;
  const AveragedScope averaged(*averaging_);
  const auto now = all_tensors(*model_);
  for (std::size_t i = 0; i < now.size(); ++i) best_[i].tensor.copy_(now[i].tensor);
}

void Trainer::finish_epoch() {
  const auto images = static_cast<double>(state_.images);
  const double rate = images / state_.seconds;
  const double loss = state_.loss_sum / images;
  const double accuracy = static_cast<double>(state_.correct) / images;
  images_->end(*model_);
  std::optional<Evaluation> validation;
  if (data_.validation) validation = validate();

  const std::int64_t epoch = state_.epoch + 1;
  host_.metric(TrainMetric::loss, epoch, loss);
  host_.metric(TrainMetric::accuracy, epoch, accuracy);
  host_.metric(TrainMetric::lr, epoch, rate_of_step(state_.steps - 1));
  host_.metric(TrainMetric::images_per_second, epoch, rate);
  std::string line = text("epoch %lld/%d  loss %.4f  accuracy %.4f", static_cast<long long>(epoch),
                          options_.epochs, loss, accuracy);
  if (validation) {
    host_.metric(TrainMetric::val_loss, epoch, validation->loss);
    host_.metric(TrainMetric::val_accuracy, epoch, validation->accuracy);
    line += text("  val_loss %.4f  val_accuracy %.4f", validation->loss, validation->accuracy);
  }
  host_.info(line + text("  %.0f images/s", rate));
  if (stayed_finite(validation) && validation) keep_if_best(*validation);

  state_.epoch = epoch;
  state_.batch = state_.correct = state_.images = 0;
  state_.loss_sum = state_.seconds = 0;
  if (finished() && epoch < options_.epochs) {
    host_.info("stopped early: no better validation accuracy for " +
               counted(options_.patience, "epoch"));
  }
  if (epoch % options_.checkpoint_every == 0 || finished()) {
    host_.save_checkpoint([this](const auto& dir) { save(dir); });
  }
}

void Trainer::stop_if_requested() {
  if (host_.stop_requested()) save_and_stop();
}

void Trainer::save_and_stop() {
  host_.save_checkpoint([this](const auto& dir) { save(dir); });
  throw Interrupted();
}

}  // namespace cifarpipe::learn
