#!/usr/bin/env python3
"""Training as a user sees it: the shipped recipes check, bad combinations get their sentences, each
part of the toolbox runs through a pipeline, and what ends early says so.
"""

import pathlib
import unittest

from harness import ROOT, Store, TINY

# docs/training.md has the same table.
BAD = [
    (["train.image_sizes=[24]"],
     "image_sizes = [24] is for networks whose weights fit images of every size, and those of "
     "\"cifar10net\" do not"),
    (["train.architecture=fastnet", "train.image_sizes=[24, 24, 24]"],
     "image_sizes = [24, 24, 24] has a size for more epochs than there are: 2"),
    (["train.nesterov=true"],
     "nesterov is a kind of momentum, which \"adam\" with momentum = 0.9 has not"),
    (["train.optimizer=sgd", "train.momentum=0", "train.nesterov=true"],
     "nesterov is a kind of momentum, which \"sgd\" with momentum = 0.0 has not"),
    (["train.warmup=3"],
     "the rate would still rise when training ends: warmup = 3.0 is more than epochs = 2"),
    (["train.schedule=one_cycle"],
     "one_cycle rises before it falls: set warmup, the epochs of its rise"),
    (["train.lr_end=0.1"],
     "lr_end = 0.1 has no meaning for schedule = \"step\"; it is for cosine, linear and one_cycle"),
    (["train.alternate_flip=true", "train.flip=0.2"],
     "alternate_flip flips every image in each second epoch: leave flip = 0.2 out"),
    (["train.precision=fp16", "train.device=cpu"],
     'precision = "fp16" is for GPUs; a processor is quicker and safer in bf16'),
    (["train.schedule=multi_step"],
     'schedule = "multi_step" needs milestones: the epochs after which the rate changes'),
    (["train.milestones=[1]"], 'milestones are for schedule = "multi_step", not "step"'),
    (["train.milestones=[3, 1]", "train.schedule=multi_step"], "milestones = [3, 1] must ascend"),
    (["train.milestones=[0]", "train.schedule=multi_step"],
     "value 1 of 'milestones' = 0 is outside [1, 10000]"),
    (["train.balance_classes=true", "train.class_weights=[1]"],
     "give class_weights or balance_classes, not both"),
    (["train.balance_classes=true", "train.class_weights=[-1]"],
     "value 1 of 'class_weights' = -1 is outside [0, "),
    (["data.size=[1, 2, 3]"], "size = [1, 2, 3] is neither [side] nor [height, width]"),
    (["train.device=gpu"],
     '\'device\' = "gpu" is not one of "auto", "cpu", "cuda", "cuda:N"'),
]
# What only the stage can see, because it depends on the data.
FAILING = [
    (["train.architecture=fastnet", "train.image_sizes=[40]"],
     "image_sizes has 40, and the images are 32x32: they can only be made smaller"),
    (["train.class_weights=[1, 2]"], "class_weights has 2 numbers, but there are 10 classes"),
    (["train.cutout=40"], "cutout = 40 is larger than the images"),
    (["data.validation=0", "train.patience=1"],
     "patience needs a validation split to see what is better"),
    (['train.freeze=["conv9"]'], "no layer's name begins with 'conv9'"),
    (["data.size=[20, 44]"], "multiples of 8, not 20x44 (height x width)"),
    (["test.split=validation", "data.validation=0"],
     "no images in the split 'validation'; split may be \"test\" or \"train\""),
]


class Learning(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)

    def run_tiny(self, *settings, command="run"):
        arguments = [part for setting in settings for part in ("--set", setting)]
        return self.store.run(command, TINY, *arguments)

    def metrics(self):
        return self.store.json("runs", "list")[0]["metrics"]

    def test_shipped_recipes_check(self):
        for file in sorted(pathlib.Path(ROOT / "configs").glob("*.toml")):
            result = self.store.run("check", file)
            self.assertEqual(result.code, 0, f"{file.name}: {result}")

    def test_bad_combinations_are_told_before_anything_runs(self):
        for settings, sentence in BAD:
            result = self.run_tiny(*settings, command="check")
            self.assertEqual(result.code, 2, f"{settings}: {result}")
            self.assertIn(sentence, result.err)

    def test_what_only_the_stage_sees_is_told_when_it_runs(self):
        for settings, sentence in FAILING:
            result = self.run_tiny(*settings)
            self.assertEqual(result.code, 2, f"{settings}: {result}")
            self.assertIn(sentence, result.err)
            self.assertNotIn("to go on", result.err)  # The same command would end alike.

    def test_height_comes_before_width(self):
        told = self.run_tiny("data.size=[20, 44]", "train.architecture=linear")
        self.assertIn("20 x 44 pixels (height x width)", told.err)

    def test_each_epoch_shows_its_mistakes(self):
        self.assertEqual(self.run_tiny("data.validation=0.25").code, 0)
        stages = {s["name"]: s for s in self.store.json("runs", "show", "latest")["stages"]}
        key = stages["train"]["key"]
        sheets = self.store.runs / "store" / key[:2] / key / "mistakes"
        self.assertEqual(sorted(f.name for f in sheets.iterdir()),
                         ["epoch_001.png", "epoch_002.png", "mistakes.csv"])
        rows = (sheets / "mistakes.csv").read_text().splitlines()
        self.assertEqual(rows[0], "epoch,index,label,predicted,confidence")
        self.assertEqual({row.split(",")[0] for row in rows[1:]}, {"1", "2"})
        self.assertTrue(all(row.split(",")[2] != row.split(",")[3] for row in rows[1:]))

    def test_the_toolbox_runs_through_a_pipeline(self):
        result = self.run_tiny(
            "train.architecture=fastnet", "train.optimizer=muon", "train.nesterov=true",
            "train.bias_lr=8", "train.clip_norm=10", "train.schedule=cosine", "train.warmup=0.5",
            "train.label_smoothing=0.1", "train.mixup=0.2", "train.cutmix=1",
            "train.crop_border=reflect", "train.alternate_flip=true", "train.cutout=8",
            "train.brightness=0.2", "train.contrast=0.2", "train.saturation=0.2",
            "train.image_sizes=[24]", "train.averaging=lookahead", "train.average_every=2",
            "train.average_decay=0.9", "train.balance_classes=true", "test.tta=flip")
        self.assertEqual(result.code, 0, result)
        self.assertIn("test/accuracy", self.metrics())

    def test_early_stopping_keeps_the_best(self):
        result = self.run_tiny("train.epochs=9", "train.lr=1e-8", "train.patience=2")
        self.assertEqual(result.code, 0, result)
        self.assertIn("stopped early: no better validation accuracy for 2 epochs", result.err)
        self.assertLess(self.metrics()["train/val_accuracy"]["step"], 9)


if __name__ == "__main__":
    unittest.main()
