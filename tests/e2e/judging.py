#!/usr/bin/env python3
"""Evaluation and fine-tuning as whole programs, on a handful of synthetic images: what a report
holds, classes in groups, files of weights, and every wrong use as one sentence."""

import csv
import json
import sys
import unittest

from harness import PROGRAM, Store, TINY

GROUPS = """
[stages.finetune.params.groups]
Straight = ["square", "triangle", "star", "cross", "arrow", "hourglass"]
Round = ["disc", "ring", "crescent", "heart"]
Other = []
"""
FINETUNE = TINY.read_text() + f"""
[stages.finetune]
uses = "finetune"
inputs.model = "train.model"
[stages.finetune.params]
epochs = 1
{GROUPS}
[stages.finetune_test]
uses = "evaluate"
inputs.model = "finetune.model"
[stages.finetune_test.params]
tta = "flip"
"""
UNWIRED = FINETUNE.replace('uses = "finetune"\ninputs.model = "train.model"\n',
                           'uses = "finetune"\n')


class Judging(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = Store()
        cls.addClassCleanup(cls.store.__exit__)
        cls.file = cls.store.write("p.toml", FINETUNE)
        cls.store.run("run", cls.file, expect=0)
        cls.stages = {s["name"]: s for s in cls.store.json("runs", "show", "latest")["stages"]}

    def folder(self, stage, port):
        key = self.stages[stage]["key"]
        return self.store.runs / "store" / key[:2] / key / port

    def fails(self, text, *arguments, code=1):
        result = self.store.run("run", self.store.write("wrong.toml", text), *arguments)
        self.assertEqual(result.code, code, result)
        return result.err

    def unfit(self, text, *arguments):
        """A parameter is wrong, in a way that only the stage can see."""
        return self.fails(text, *arguments, code=2)

    def test_a_report_holds_figures_tables_and_pictures(self):
        report = self.folder("test", "report")
        summary = json.loads((report / "summary.json").read_text())
        low, high = summary["accuracy_interval_95"]
        self.assertLess(low, summary["accuracy"] + 1e-9)
        self.assertGreater(high, summary["accuracy"] - 1e-9)
        self.assertEqual(len(summary["classes"]), 10)
        with open(report / "calibration.csv", newline="") as file:
            self.assertEqual(sum(int(r["images"]) for r in csv.DictReader(file)), 64)
        for picture in ("confusion", "calibration", "mistakes", "saliency"):
            self.assertTrue((report / f"{picture}.png").read_bytes().startswith(b"\x89PNG"))
        metrics = self.store.json("runs", "show", "latest")["metrics"]
        for name in ("macro_f1", "calibration_error", "accuracy_low", "topk_accuracy"):
            self.assertIn(f"test/{name}", metrics)

    def test_groups_become_the_classes(self):
        model = json.loads((self.folder("finetune", "model") / "model.json").read_text())
        self.assertEqual(model["classes"], ["Straight", "Round", "Other"])
        self.assertEqual(model["groups"][1], ["Round", ["disc", "ring", "crescent", "heart"]])
        summary = json.loads((self.folder("finetune_test", "report") / "summary.json").read_text())
        self.assertEqual([c["class"] for c in summary["classes"]], model["classes"])
        self.assertEqual(sum(c["images"] for c in summary["classes"]), 64)
        self.assertEqual(summary["tta"], "flip")
        metrics = self.store.json("runs", "show", "latest")["metrics"]
        self.assertNotIn("finetune_test/class_accuracy/Other", metrics)  # Without images.

    def test_a_file_of_weights_gives_what_its_model_gives(self):
        weights = self.folder("train", "model") / "model.safetensors"
        text = UNWIRED.replace("epochs = 1", f'epochs = 1\nweights = "{weights}"')
        self.store.run("run", self.store.write("w.toml", text), expect=0)
        again = {s["name"]: s for s in self.store.json("runs", "show", "latest")["stages"]}
        self.assertEqual(again["finetune"]["outputs"]["model"],
                         self.stages["finetune"]["outputs"]["model"])

    def test_an_earlier_model_is_taken_and_taken_again(self):
        rest = ("[stages.train]\nenabled = false\n[stages.test]\nenabled = false\n"
                "[stages.finetune]\n")
        later = self.store.write("later.toml", f'extends = "p.toml"\n[pipeline]\nname = "later"\n'
                                 f'{rest}inputs.model = "run:latest/train.model"\n')
        self.store.run("run", later, expect=0)
        again = self.store.run("run", later, expect=0)  # Not its own result, and nothing new.
        self.assertIn("nothing to do", again.out)
        weights = self.folder("train", "model") / "model.safetensors"
        filed = self.store.write("filed.toml", f'extends = "p.toml"\n[pipeline]\nname = "filed"\n'
                                 f'{rest}inputs.model = ""\nparams.weights = "{weights}"\n')
        self.store.run("run", filed, expect=0)
        stages = [{s["name"]: s for s in self.store.json("runs", "show", name)["stages"]}
                  for name in (self.store.json("runs", "list", "--experiment", "later")[0]["id"],
                               "latest")]
        self.assertEqual(*(s["finetune"]["outputs"]["model"] for s in stages))

    def test_duplicates_are_counted_and_left_out(self):
        listed = self.store.write("twins.csv", "TestID,TrainID\n3,1\n5,2\n5,9\n5000,1\n")
        self.store.run("run", TINY, "--set", f"test.duplicates={listed}", expect=0)
        metrics = self.store.json("runs", "show", "latest")["metrics"]
        self.assertEqual(metrics["test/duplicates"]["last"], 2)
        self.assertIn("test/accuracy_without_duplicates", metrics)
        self.store.write("twins.csv", "a\n1\n")  # Its content is in the key.
        wrong = self.store.run("run", TINY, "--set", f"test.duplicates={listed}")
        self.assertEqual(wrong.code, 1)
        self.assertIn("twins.csv has neither a column 'TestID'", wrong.err)

    def test_a_model_that_is_not_finite_is_neither_judged_nor_taken_further(self):
        arguments = [part for setting in (
            "train.architecture=linear", "train.optimizer=sgd", "train.lr=100",
            "train.weight_decay=10", "train.batch_size=1") for part in ("--set", setting)]
        with Store() as store:  # No other test shall take its model for the latest.
            def fails(*more):
                file = store.write("broken.toml", FINETUNE.replace(GROUPS, ""))
                return store.run("run", file, *arguments, *more, expect=1).err
            self.assertIn("no longer finite", fails())
            arguments += ["--set", "train.on_nan=warn", "--set", "finetune.reset=[]"]
            self.assertIn("the model's weights hold values that are not finite, the first of them "
                          "in 'fc.weight'", fails("--until", "test"))
            self.assertIn("the model holds values that are not finite in 'fc.weight'",
                          fails("--until", "finetune"))

    def test_a_damaged_file_of_weights_is_one_sentence(self):
        weights = self.store.dir / "weights.pth"
        export = self.store.write("export.toml", FINETUNE + """
[stages.export]
uses = "export"
inputs.model = "train.model"
params.formats = ["pth"]
""")
        self.store.run("run", export, "--until", "export", expect=0)
        shown = {s["name"]: s for s in self.store.json("runs", "show", "latest")["stages"]}
        key = shown["export"]["key"]
        content = bytearray((self.store.runs / "store" / key[:2] / key /
                             "export/model.pth").read_bytes())
        content[len(content) // 2] ^= 0x40
        weights.write_bytes(content)
        self.assertRegex(self.fails(UNWIRED, "--set", f"finetune.weights={weights}"),
                         "weights.pth: is damaged: the checksum of 'model/data/[0-9]+' in it is wrong")

    def test_wrong_uses_are_one_sentence(self):
        check = ("check", self.store.write("unwired.toml", UNWIRED))
        self.assertIn("needs a model to begin from", self.store.run(*check, expect=2).err)
        evil = self.store.write("evil.pth", "")
        (self.store.dir / "evil.pth").write_bytes(b"\x80\x02cos\nsystem\n(X\x04\0\0\0truetR.")
        both = ("--set", f"finetune.weights={evil}")
        self.assertIn("not both", self.store.run("check", self.file, *both, expect=2).err)
        self.store.run(*check, *both, expect=0)
        wrong = self.store.write("typo.toml", FINETUNE.replace('"train.model"', '"trian.model"'))
        self.assertNotIn("to begin from", self.store.run("check", wrong, expect=2).err)
        self.assertIn("asks for 'os.system'", self.fails(UNWIRED, *both))
        self.assertIn("in no group: 'star'", self.unfit(FINETUNE.replace('"star", ', "")))
        self.assertIn("did you mean 'star'", self.unfit(FINETUNE.replace('"star"', '"stra"')))
        self.assertIn("in two groups", self.unfit(FINETUNE.replace('"star"', '"star", "ring"')))
        self.assertIn("nothing to freeze", self.unfit(FINETUNE, "--set", 'finetune.freeze=["x"]'))
        self.assertIn("nothing to reset", self.unfit(FINETUNE, "--set", 'finetune.reset=["x"]'))
        self.assertIn("another shape of 'fc2", self.unfit(FINETUNE, "--set", "finetune.reset=[]"))
        self.assertIn("is a cifar10net, not a resnet9",
                      self.unfit(FINETUNE, "--set", "finetune.architecture=resnet9"))


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
