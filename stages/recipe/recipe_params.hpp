// The parameters of the stages that train; defaults are learn::TrainOptions', so that each is
// written once. Values only: any thread.
#pragma once

#include <string>
#include <vector>

#include "pipeline/stage.hpp"
#include "stages/learn/trainer.hpp"

namespace cifarpipe {

/// How a network learns, whichever it is: all that `train` and `finetune` have in common.
struct RecipeParams {
  static inline const learn::TrainOptions kDefault{};
  int epochs = kDefault.epochs;
  int batch_size = kDefault.batch_size;
  int accumulate = kDefault.accumulate;

  std::string optimizer = kDefault.optimizer.rule;
  double lr = kDefault.schedule.lr;
  double weight_decay = kDefault.optimizer.weight_decay;
  double momentum = kDefault.optimizer.momentum;
  bool nesterov = kDefault.optimizer.nesterov;
  double bias_lr = kDefault.optimizer.bias_lr;
  double muon_lr = 0.24;
  double muon_momentum = kDefault.optimizer.muon_momentum;
  double clip_norm = kDefault.optimizer.clip_norm;

  std::string schedule = kDefault.schedule.rule;
  int lr_step = kDefault.schedule.step_size;
  double lr_gamma = kDefault.schedule.gamma;
  std::vector<std::int64_t> milestones = {};
  double warmup = kDefault.schedule.warmup;
  double warmup_from = kDefault.schedule.warmup_from;
  double lr_end = kDefault.schedule.end;

  double label_smoothing = kDefault.loss.label_smoothing;
  std::vector<double> class_weights = {};
  bool balance_classes = kDefault.loss.balance_classes;
  double mixup = kDefault.loss.mixup;
  double cutmix = kDefault.loss.cutmix;

  int crop_padding = kDefault.augmentation.padding;
  std::string crop_border = "black";
  double flip = kDefault.augmentation.flip;
  bool alternate_flip = kDefault.augmentation.alternate;
  int cutout = kDefault.augmentation.cutout;
  double brightness = kDefault.augmentation.brightness;
  double contrast = kDefault.augmentation.contrast;
  double saturation = kDefault.augmentation.saturation;

  std::vector<std::int64_t> image_sizes = {};

  std::string averaging = kDefault.averaging.rule;
  double average_decay = kDefault.averaging.decay;
  int average_every = kDefault.averaging.every;
  int patience = kDefault.patience;

  std::string device = "auto";
  std::string precision = "fp32";
  bool channels_last = kDefault.channels_last;
  bool fusion = kDefault.fusion;
  std::string on_nan = "stop";
  int checkpoint_every = kDefault.checkpoint_every;
  bool step_metrics = kDefault.step_metrics;
  int mistakes = kDefault.mistakes;

  static Schema<RecipeParams> schema();
  /// All but the architecture and what is frozen.
  learn::TrainOptions options(const StageContext& context) const;
};

/// What a recipe asks of the network that the stage's own parameter `architecture` names.
template <class P>
void add_network_rules(Schema<P>& schema) {
  schema.rule({length_of("image_sizes") > 0},
              {Param("architecture") != "cifar10net", Param("architecture") != "linear"},
              "image_sizes = {image_sizes} is for networks whose weights fit images of every size, "
              "and those of {architecture} do not");
}

}  // namespace cifarpipe
