// The parameters of the stage `finetune`; its defaults are the reference's fine-tuning. Values
// only: any thread.
#pragma once

#include <string>
#include <vector>

#include "pipeline/stage.hpp"
#include "stages/learn/trainer.hpp"

namespace cifarpipe {

struct FinetuneParams {
  std::string weights;
  std::string architecture = "auto";
  Groups groups;
  std::vector<std::string> freeze = {"auto"};
  std::vector<std::string> reset = {"auto"};
  int epochs = 5;
  int batch_size = 128;
  std::string optimizer = "adam";
  double lr = 1e-3;
  double weight_decay = 1e-4;
  double label_smoothing = 0;
  int crop_padding = 4;
  double flip = 0.5;
  int patience = 0;
  std::string precision = "fp32";
  std::string on_nan = "stop";
  int checkpoint_every = 1;
  bool step_metrics = false;

  static Schema<FinetuneParams> schema();
  learn::TrainOptions options(const StageContext& context) const;
};

}  // namespace cifarpipe
