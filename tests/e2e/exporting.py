#!/usr/bin/env python3
"""Exports as whole programs: what is written, what other programs make of it, the card, and the
way out of the store. Files are read by onnxruntime, onnx, torch and safetensors where the Python in
CIFARPIPE_PYTHON has them."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

from harness import PROGRAM, Store, TINY
from sources import CLASSES, DATA, HEIGHT, TRAIN, WIDTH, png

EXPORT = TINY.read_text().replace("train_images = 128", "train_images = 480").replace(
    "epochs = 2", "epochs = 3") + """
[stages.export]
uses = "export"
inputs.model = "train.model"
[stages.export.params]
images = 40
"""
FILES = ["README.md", "model.onnx", "model.pt", "model.pth", "model.safetensors",
         "model_int8.onnx"]


class Exporting(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = Store()
        cls.addClassCleanup(cls.store.__exit__)
        cls.file = cls.store.write("p.toml", EXPORT)
        cls.store.run("run", cls.file, expect=0)
        shown = cls.store.json("runs", "show", "latest")
        cls.run_id = shown["id"]
        cls.stages = {s["name"]: s for s in shown["stages"]}
        cls.metrics = {name: m["last"] for name, m in shown["metrics"].items()}
        cls.export = cls.folder("export", "export")
        cls.found = cls.read_by_others()
        missing = [m for m in ("onnxruntime", "onnx", "torch", "safetensors") if m not in cls.found]
        if missing:
            print(f"not checked by {', '.join(missing)}: not installed (or no numpy) in the Python "
                  "of CIFARPIPE_PYTHON", file=sys.stderr)

    @classmethod
    def folder(cls, stage, port):
        key = cls.stages[stage]["key"]
        return cls.store.runs / "store" / key[:2] / key / port

    @classmethod
    def read_by_others(cls):
        python = os.environ.get("CIFARPIPE_PYTHON", sys.executable)
        reader = pathlib.Path(__file__).with_name("export_reader.py")
        modules = os.environ.get("CIFARPIPE_TEST_MODULES", "")
        environment = {**os.environ, "PYTHONPATH": modules} if modules else None
        done = subprocess.run([python, reader, cls.export, cls.folder("data", "dataset"), "test"],
                              stdout=subprocess.PIPE, text=True, check=True, env=environment)
        return json.loads(done.stdout)

    def by(self, module):
        if module not in self.found:
            self.skipTest(f"{module} is not there")
        return self.found[module]

    def fails(self, text, *arguments):
        result = self.store.run("run", self.store.write("wrong.toml", text), *arguments)
        self.assertEqual(result.code, 1, result)
        return result.err

    def test_files_are_written_and_agree(self):
        self.assertEqual(sorted(p.name for p in self.export.iterdir()), FILES)
        for name in ("onnx", "torchscript", "safetensors", "pth"):
            self.assertLess(self.metrics[f"export/difference/{name}"], 1e-5)
        self.assertEqual(self.metrics["export/difference/pth"], 0)
        self.assertEqual(self.metrics["export/accuracy"], self.metrics["test/accuracy"])
        self.assertAlmostEqual(self.metrics["export/loss"], self.metrics["test/loss"], places=4)
        int8 = (self.export / "model_int8.onnx").stat().st_size
        self.assertLess(int8, 0.3 * (self.export / "model.onnx").stat().st_size)

    def test_onnxruntime_gives_what_was_measured(self):
        found = self.by("onnxruntime")
        self.assertAlmostEqual(found["model"]["loss"], self.metrics["export/loss"], places=5)
        # A value in the middle of two steps may be rounded either way.
        self.assertAlmostEqual(found["model_int8"]["loss"], self.metrics["export/int8_loss"],
                               places=2)
        self.assertAlmostEqual(found["model_int8"]["accuracy"],
                               self.metrics["export/int8_accuracy"], delta=2 / 64)
        for name in ("model", "model_int8"):
            self.assertLess(found[name]["one"], 0.05)
            self.assertEqual(len(json.loads(found[name]["metadata"]["classes"])), 10)
            self.assertEqual(len(json.loads(found[name]["metadata"]["mean"])), 3)

    def test_onnx_finds_the_files_valid(self):
        self.assertIn("QuantizeLinear", self.by("onnx"))
        self.assertNotIn("BatchNormalization", self.by("onnx"))  # Folded before rounding.

    def test_torch_loads_script_and_weights(self):
        found = self.by("torch")
        self.assertTrue(found["same"])
        self.assertEqual(found["type"], "OrderedDict")
        self.assertEqual(found["names"][:2], ["conv1.weight", "conv1.bias"])
        self.assertAlmostEqual(found["loss"], self.metrics["export/loss"], places=5)
        if "apart" in self.found:
            self.assertLess(self.found["apart"], 1e-4)

    def test_safetensors_reads_the_weights(self):
        found = self.by("safetensors")
        self.assertEqual(found["conv1.weight"], [32, 3, 3, 3])
        self.assertEqual(found["bn1.num_batches_tracked"], [])

    def test_the_card_tells_what_is_there(self):
        card = (self.export / "README.md").read_text()
        for name in FILES[1:]:
            digest = hashlib.sha256((self.export / name).read_bytes()).hexdigest()
            self.assertIn(f"| `{name}` |", card)
            self.assertIn(f"`{digest}`", card)
        self.assertIn("9. hourglass", card)
        self.assertIn(f"| 32-bit | test | 64 | {self.metrics['export/accuracy']:.4f} |", card)
        self.assertIn(f"| 8-bit | test | 64 | {self.metrics['export/int8_accuracy']:.4f} |", card)
        self.assertNotIn(self.run_id, card)

    def test_the_same_key_gives_the_same_bytes(self):
        self.store.run("run", self.file, "--force", "export", expect=0)
        key = self.stages["export"]["key"]
        generations = list(self.export.parent.parent.glob(f"{key}*"))
        self.assertEqual(len(generations), 1, generations)  # What differs would be a second one.

    def test_other_networks_and_wishes(self):
        formats = 'export.formats=["onnx", "onnx_int8", "torchscript"]'
        for network in ("fastnet", "wide_resnet16_4"):
            self.store.run("run", self.file, "--set", f"train.architecture={network}", "--set",
                           "train.epochs=1", "--set", "download.train_images=64", "--set", formats,
                           "--set", "export.normalization=outside", expect=0)

    def test_a_model_of_groups(self):
        grouped = EXPORT.replace('inputs.model = "train.model"\n[stages.export.params]',
                                 'inputs.model = "finetune.model"\n[stages.export.params]') + """
formats = ["onnx"]
[stages.finetune]
uses = "finetune"
inputs.model = "train.model"
[stages.finetune.params]
epochs = 1
[stages.finetune.params.groups]
Straight = ["square", "triangle", "star", "cross", "arrow", "hourglass"]
Round = ["disc", "ring", "crescent", "heart"]
"""
        self.store.run("run", self.store.write("grouped.toml", grouped), expect=0)
        shown = self.store.json("runs", "show", "latest")
        self.store.run("export-run", shown["id"], "--to", "grouped", expect=0)
        card = (self.store.dir / "grouped/README.md").read_text()
        self.assertIn("1. Round: disc, ring, crescent, heart\n", card)
        self.assertIn("10 classes in the data", card)
        accuracy = shown["metrics"]["export/accuracy"]["last"]
        self.assertIn(f"| 32-bit | test | 64 | {accuracy:.4f} |", card)

    def test_disagreement_is_one_sentence(self):
        error = self.fails(EXPORT, "--set", "export.tolerance=0")
        self.assertRegex(error, r"model\.(onnx|pt) does not agree with the checkpoint: its logits "
                                r"differ by .* for image \d+ of the split test")

    def test_wrong_formats_are_told_before_anything_runs(self):
        for formats, sentence in (("[]", "there is nothing to export: 'formats' is empty"),
                                  ('["onnx", "onnx"]', "has one of them twice")):
            told = self.store.run("check", self.file, "--set", f"export.formats={formats}", expect=2)
            self.assertIn(sentence, told.err)

    def test_what_8_bits_lose_is_told_and_limited(self):
        # Classes of different brightness: calibrated on black images alone, two of them look alike.
        def grey(level, n):
            rows = range(HEIGHT)
            return png([bytes(level + (x * 5 + y * 3 + n * 7) % 20 for x in range(3 * WIDTH))
                        for y in rows])
        folder = self.store.dir / "pets"
        for split, count in (("train", 48), ("validation", 3), ("test", 60)):
            for n in range(count):
                file = folder / split / CLASSES[n % 3] / f"{n:05}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(grey(0 if split == "validation" else (40, 140, 225)[n % 3], n))
        text = (DATA.replace("SOURCE", str(folder)) + TRAIN.replace("epochs = 1", "epochs = 20") +
                EXPORT[EXPORT.index("[stages.export]"):] + 'formats = ["onnx_int8"]\n')
        error = self.fails(text)
        self.assertRegex(error, r"model_int8.onnx loses more than int8_tolerance = 0.02: accuracy "
                                r"0\.\d+ in 8 bits, \d\.\d+ in 32, on the same 60 images of the "
                                r"split test; give it more calibration_images \(it had 3\)")
        file = self.store.write("lossy.toml", text)
        told = self.store.run("run", file, "--set", "export.int8_tolerance=1", expect=0)
        self.assertRegex(told.err, r"accuracy 0\.\d+ in 8 bits, \d\.\d+ in 32, on the same 60 images")
        card = self.card_of_latest("lossy")
        self.assertNotIn("Each file in 32 bits", card)

        shutil.rmtree(folder / "test")
        self.store.run("run", self.store.write("untested.toml", text), "--until", "export", expect=0)
        self.assertIn("| 8-bit | validation | 3 |", self.card_of_latest("untested"))
        facts = {s["name"]: s for s in self.store.json("runs", "show", "latest")["stages"]}
        self.assertEqual(facts["export"]["facts"]["int8_split"], "validation")

    def card_of_latest(self, name):
        self.store.run("export-run", "latest", "--to", name, expect=0)
        return (self.store.dir / name / "README.md").read_text()

    def test_export_run_takes_it_out_of_the_store(self):
        to = self.store.dir / "out"
        to.mkdir()
        self.store.run("export-run", self.run_id, "--to", to, expect=0)
        self.assertEqual(sorted(p.name for p in to.iterdir()), FILES)
        card = (to / "README.md").read_text()
        self.assertTrue(card.startswith((self.export / "README.md").read_text()))
        self.assertIn(self.run_id, card)
        self.assertIn(self.stages["export"]["key"], card)
        self.assertTrue(os.access(to / "README.md", os.W_OK))
        again = self.store.run("export-run", self.run_id, "--to", to, expect=2)
        self.assertIn("is not empty: --to wants a new or an empty folder", again.err)
        for place, code, said in [("/proc/x", 3, "cannot make the folder '/proc/x': "),
                                  ("", 2, "--to wants a folder")]:
            wrong = self.store.run("export-run", self.run_id, "--to", place, expect=code)
            self.assertIn(said, wrong.err)
        self.assertIn("there is no run 'nix'",
                      self.store.run("export-run", "nix", "--to", "x", expect=2).err)
        self.assertIn("is not a folder",
                      self.store.run("export-run", self.run_id, "--to", self.file, expect=2).err)

    def test_export_run_without_an_export(self):
        self.store.run("run", TINY, expect=0)
        shown = self.store.json("runs", "show", "latest")
        result = self.store.run("export-run", shown["id"], "--to", "y", expect=2)
        self.assertIn("has no finished stage that uses 'export'", result.err)
        self.assertFalse((self.store.dir / "y").exists())


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
