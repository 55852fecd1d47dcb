#include "stages/finetune/finetune_params.hpp"

namespace cifarpipe {
namespace {

std::vector<std::string> with_auto(std::vector<std::string> names) {
  names.insert(names.begin(), "auto");
  return names;
}

}  // namespace

Schema<FinetuneParams> FinetuneParams::schema() {
  using P = FinetuneParams;
  return Schema<P>{}
      .field("weights", &P::weights,
             "A file with weights to begin from (.pth of torch.save, or safetensors), instead of "
             "the input 'model'.")
      .input_path()
      .field("architecture", &P::architecture,
             "The network that 'weights' belong to; auto = the input model's, or cifar10net.")
      .one_of(with_auto(learn::architectures()))
      .field("groups", &P::groups,
             "New classes in order, each with the dataset's classes that it holds (none, too); "
             "empty = the dataset's classes.")
      .field("freeze", &P::freeze,
             "Layers, by the beginning of their names, that stay as they are; [\"auto\"] = all but "
             "the last linear ones.")
      .field("reset", &P::reset, "Layers that begin anew; [\"auto\"] = the last linear ones.")
      .field("epochs", &P::epochs, "Passes over the training split.")
      .range(1, 10000)
      .unit("epochs")
      .field("batch_size", &P::batch_size, "Images a batch.")
      .range(1, 65536)
      .unit("images")
      .field("optimizer", &P::optimizer,
             "Update rule: adam (weight decay as L2 in the gradient), adamw (decoupled), sgd.")
      .one_of({"adam", "adamw", "sgd"})
      .field("lr", &P::lr, "Learning rate.")
      .range(1e-8, 100)
      .field("weight_decay", &P::weight_decay, "Weight decay.")
      .range(0, 10)
      .field("label_smoothing", &P::label_smoothing,
             "Share of each label that is spread over all classes.")
      .range(0, 0.9)
      .field("crop_padding", &P::crop_padding,
             "Black pixels put around an image before a random crop of its own size.")
      .range(0, 64)
      .unit("pixels")
      .field("flip", &P::flip, "Probability of a horizontal flip.")
      .range(0, 1)
      .field("patience", &P::patience,
             "Epochs without a better validation accuracy that end the training; 0 = never.")
      .range(0, 10000)
      .unit("epochs")
      .field("precision", &P::precision,
             "fp32; bf16 = convolutions and matrix products in bfloat16; auto = bf16 where the "
             "processor is fast at it, else fp32.")
      .one_of({"fp32", "bf16", "auto"})
      .field("on_nan", &P::on_nan, "What a loss that is no longer finite does: stop or warn.")
      .one_of({"stop", "warn"})
      .field("checkpoint_every", &P::checkpoint_every,
             "Save a checkpoint after every so many epochs (and always when stopped).")
      .range(1, 10000)
      .unit("epochs")
      .no_effect()
      .field("step_metrics", &P::step_metrics,
             "Also record the loss of every optimiser step, as step_loss.");
}

learn::TrainOptions FinetuneParams::options(const StageContext& context) const {
  learn::TrainOptions o;
  o.architecture = architecture;
  o.epochs = epochs;
  o.batch_size = batch_size;
  o.optimizer.rule = optimizer;
  o.optimizer.weight_decay = weight_decay;
  o.schedule.lr = lr;
  o.loss.label_smoothing = label_smoothing;
  o.augmentation.padding = crop_padding;
  o.augmentation.flip = flip;
  o.patience = patience;
  o.bf16 = context.numerics().precision == "bf16";
  o.stop_on_nan = on_nan == "stop";
  o.checkpoint_every = checkpoint_every;
  o.step_metrics = step_metrics;
  o.seed = context.seed();
  return o;
}

}  // namespace cifarpipe
