#include "stages/recipe/recipe_params.hpp"

#include "stages/recipe/compute_device.hpp"

namespace cifarpipe {
namespace {

using P = RecipeParams;

void add_course(Schema<P>& schema) {
  schema.field("epochs", &P::epochs, "Passes over the training split.")
      .range(1, 10000)
      .unit("epochs")
      .field("batch_size", &P::batch_size, "Images a batch.")
      .range(1, 65536)
      .unit("images")
      .field("accumulate", &P::accumulate,
             "Batches whose gradients make one optimiser step; an epoch's last step takes what "
             "is left, and is the mean over that.")
      .range(1, 4096)
      .unit("batches");
}

void add_optimizer(Schema<P>& schema) {
  schema
      .field("optimizer", &P::optimizer,
             "Update rule: adam (weight decay as L2 in the gradient), adamw (decoupled), sgd, muon "
             "(orthogonalised momentum for the filters of convolutions, sgd for the rest).")
      .one_of({"adam", "adamw", "sgd", "muon"})
      .field("lr", &P::lr, "Learning rate at its peak.")
      .range(1e-8, 100)
      .field("weight_decay", &P::weight_decay, "Weight decay.")
      .range(0, 10)
      .field("momentum", &P::momentum, "Momentum; sgd and muon's sgd.")
      .range(0, 0.9999)
      .field("nesterov", &P::nesterov, "Nesterov's momentum; the same.")
      .field("bias_lr", &P::bias_lr,
             "Biases learn with this times the rate, and with the weight decay divided by it.")
      .range(1e-3, 1e3)
      .field("muon_lr", &P::muon_lr, "muon: the filters' learning rate at its peak.")
      .range(1e-8, 100)
      .field("muon_momentum", &P::muon_momentum, "muon: the filters' momentum.")
      .range(0, 0.9999)
      .field("clip_norm", &P::clip_norm,
             "All gradients together are made no longer than this; 0 = as they are.")
      .range(0, 1e6)
      .rule({Param("nesterov") == true},
            {Param("optimizer") != "adam", Param("optimizer") != "adamw", Param("momentum") > 0.0},
            "nesterov is a kind of momentum, which {optimizer} with momentum = {momentum} has not");
}

void add_schedule(Schema<P>& schema) {
  schema
      .field("schedule", &P::schedule,
             "How the learning rate goes: constant; step (times lr_gamma every lr_step epochs); "
             "multi_step (times lr_gamma after each of milestones); cosine or linear to lr_end; "
             "one_cycle (cosine up for warmup epochs and down to lr_end).")
      .one_of({"constant", "step", "multi_step", "cosine", "linear", "one_cycle"})
      .field("lr_step", &P::lr_step, "step: epochs between two changes; 0 = never.")
      .range(0, 10000)
      .unit("epochs")
      .field("lr_gamma", &P::lr_gamma, "step, multi_step: what the rate is multiplied by.")
      .range(1e-6, 1)
      .field("milestones", &P::milestones, "multi_step: after how many epochs it changes.")
      .range(1, 10000)
      .unit("epochs")
      .field("warmup", &P::warmup, "Epochs in which the rate first rises, step by step.")
      .range(0, 10000)
      .unit("epochs")
      .field("warmup_from", &P::warmup_from, "The rise begins at this share of lr.")
      .range(0, 1)
      .field("lr_end", &P::lr_end, "cosine, linear, one_cycle: the share of lr left at the end.")
      .range(0, 1)
      .rule({}, {Param("warmup") <= Param("epochs")},
            "the rate would still rise when training ends: warmup = {warmup} is more than epochs "
            "= {epochs}")
      .rule({Param("schedule") == "one_cycle"}, {Param("warmup") > 0.0},
            "one_cycle rises before it falls: set warmup, the epochs of its rise")
      .rule({length_of("milestones") > 0}, {Param("schedule") == "multi_step"},
            "milestones are for schedule = \"multi_step\", not {schedule}")
      .rule({Param("schedule") == "multi_step"}, {length_of("milestones") > 0},
            "schedule = \"multi_step\" needs milestones: the epochs after which the rate changes")
      .rule({}, {is_ascending("milestones") == true}, "milestones = {milestones} must ascend")
      .rule({Param("lr_end") > 0.0},
            {Param("schedule") != "constant", Param("schedule") != "step",
             Param("schedule") != "multi_step"},
            "lr_end = {lr_end} has no meaning for schedule = {schedule}; it is for cosine, linear "
            "and one_cycle");
}

void add_loss(Schema<P>& schema) {
  schema
      .field("label_smoothing", &P::label_smoothing,
             "The share of the target that all classes get alike.")
      .range(0, 0.99)
      .field("class_weights", &P::class_weights,
             "Weight of each class in the loss, in the dataset's order; their mean over the "
             "images is made 1.")
      .range(0, 1e9)
      .field("balance_classes", &P::balance_classes,
             "Weights inverse to how often a class occurs, instead of class_weights.")
      .field("mixup", &P::mixup,
             "Blend images in pairs: the parameter of the Beta distribution; 0 = off.")
      .range(0, 100)
      .field("cutmix", &P::cutmix,
             "Paste a box of one image into another: the parameter of the Beta distribution; 0 = "
             "off. With mixup on too, each batch gets one of them.")
      .range(0, 100)
      .rule({Param("balance_classes") == true}, {length_of("class_weights") == 0},
            "give class_weights or balance_classes, not both");
}

void add_augmentation(Schema<P>& schema) {
  schema
      .field("crop_padding", &P::crop_padding,
             "Pixels put around an image before a random crop of its own size.")
      .range(0, 64)
      .unit("pixels")
      .field("crop_border", &P::crop_border, "What the padding is: black, or the image mirrored.")
      .one_of({"black", "reflect"})
      .field("flip", &P::flip, "Probability of a horizontal flip.")
      .range(0, 1)
      .field("alternate_flip", &P::alternate_flip,
             "Instead of by chance, flip every image in each second epoch.")
      .field("cutout", &P::cutout, "Side of a square set to the mean colour; 0 = none.")
      .range(0, 1024)
      .unit("pixels")
      .field("brightness", &P::brightness, "Colour jitter: times 1 - x to 1 + x.")
      .range(0, 1)
      .field("contrast", &P::contrast, "The same about an image's mean grey.")
      .range(0, 1)
      .field("saturation", &P::saturation, "The same about each pixel's grey.")
      .range(0, 1)
      .field(
          "image_sizes", &P::image_sizes,
          "Make the images smaller in the first epochs: their longer side in each of these, such "
          "as [24, 24, 28]; then they are as they are. Not for cifar10net and linear.")
      .range(1, 4096)
      .unit("pixels")
      .rule({}, {length_of("image_sizes") <= Param("epochs")},
            "image_sizes = {image_sizes} has a size for more epochs than there are: {epochs}")
      .rule({Param("alternate_flip") == true}, {Param("flip") == 0.5},
            "alternate_flip flips every image in each second epoch: leave flip = {flip} out");
}

void add_keeping(Schema<P>& schema) {
  schema
      .field("averaging", &P::averaging,
             "Average of the weights that is validated and kept: ema follows them; lookahead "
             "also sets them to it.")
      .one_of({"none", "ema", "lookahead"})
      .field("average_decay", &P::average_decay, "How much of the average a step leaves.")
      .range(0, 0.999999)
      .field("average_every", &P::average_every, "Optimiser steps between two of its moves.")
      .range(1, 10000)
      .unit("steps")
      .field("patience", &P::patience,
             "Stop after so many epochs without a better validation accuracy; 0 = never.")
      .range(0, 10000)
      .unit("epochs");
}

void add_computing(Schema<P>& schema) {
  add_device_and_precision(schema, &P::device, &P::precision);
  schema
      .field("channels_last", &P::channels_last,
             "Memory order of images: channels innermost, which is faster.")
      .field("fusion", &P::fusion,
             "Compute batch norm together with what surrounds it: faster, the same to rounding. "
             "Only with channels_last.")
      .field("on_nan", &P::on_nan,
             "What a loss or weights that are no longer finite do: stop or warn. Such weights are "
             "never kept as the best.")
      .one_of({"stop", "warn"})
      .field("checkpoint_every", &P::checkpoint_every,
             "Save a checkpoint after every so many epochs (and always when stopped).")
      .range(1, 10000)
      .unit("epochs")
      .no_effect()
      .field("step_metrics", &P::step_metrics,
             "Also record the loss of every optimiser step, as step_loss.")
      .field("mistakes", &P::mistakes,
             "Images on each epoch's sheet of wrong answers on the validation split; 0 = none.")
      .range(0, 400)
      .unit("images");
}

}  // namespace

Schema<RecipeParams> RecipeParams::schema() {
  Schema<P> all;
  for (const auto add : {add_course, add_optimizer, add_schedule, add_loss, add_augmentation,
                         add_keeping, add_computing}) {
    add(all);
  }
  return all;
}

learn::TrainOptions RecipeParams::options(const StageContext& context) const {
  learn::TrainOptions o;
  o.epochs = epochs;
  o.batch_size = batch_size;
  o.accumulate = accumulate;
  o.optimizer = {optimizer, weight_decay, momentum,      nesterov,
                 bias_lr,   muon_lr / lr, muon_momentum, clip_norm};
  o.schedule = {schedule, lr, lr_step, lr_gamma, milestones, warmup, warmup_from, lr_end};
  o.augmentation = {crop_padding,   flip,      crop_border == "reflect",
                    alternate_flip, cutout,    brightness,
                    contrast,       saturation};
  o.image_sizes = image_sizes;
  o.loss = {label_smoothing, class_weights, balance_classes, mixup, cutmix};
  o.averaging = {averaging, average_decay, average_every};
  o.patience = patience;
  o.channels_last = channels_last;
  o.stop_on_nan = on_nan == "stop";
  o.checkpoint_every = checkpoint_every;
  o.step_metrics = step_metrics;
  o.mistakes = mistakes;
  o.precision = learn::parse_precision(context.numerics().precision);
  o.device = compute_device(context.numerics(), device);
  o.fusion = fusion;
  o.seed = context.seed();
  return o;
}

}  // namespace cifarpipe
