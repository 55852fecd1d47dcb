#!/usr/bin/env python3
"""A run of the reference recipe has every parameter and metric that the reference program logs,
under the names that docs/mlflow-pages.md gives them. The data are a few images in CIFAR-10's layout."""

import random
import re
import sys
import unittest

from harness import PROGRAM, ROOT, Store

PAGE = ROOT / "docs/mlflow-pages.md"
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
SHORT = ["plane", "car", *CLASSES[2:]]
# What seed.md lists: the reference logs these and no others.
SEED = """batch_size learning_rate weight_decay num_epochs optimizer model_architecture device
    mixed_precision gradient_accumulation_steps total_parameters train_loss train_accuracy
    test_accuracy test_accuracy_<class>
    base_model_path fine_tuning_approach regrouped_batch_size regrouped_learning_rate
    regrouped_num_epochs regrouped_optimizer regrouped_num_classes
    regrouped_trainable_parameters regrouped_frozen_parameters frozen_conv_layers
    regrouped_train_loss regrouped_train_accuracy regrouped_test_accuracy
    regrouped_test_accuracy_<class>""".split()
ROW = re.compile(r"^\| `([^`]+)`[^|]*\| (parameter|metric) `([^`]+)`", re.MULTILINE)


def write_batch(path, images, seed):
    draw = random.Random(seed)
    path.write_bytes(b"".join(bytes([i % 10]) + draw.randbytes(3072) for i in range(images)))


class SeedNames(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.store = Store()
        cls.addClassCleanup(cls.store.__exit__)
        data = cls.store.dir / "cifar"
        data.mkdir()
        write_batch(data / "data_batch_1.bin", 40, 1)
        write_batch(data / "test_batch.bin", 20, 2)
        (data / "batches.meta.txt").write_text("".join(f"{name}\n" for name in CLASSES))
        cls.store.run(
            "run", ROOT / "configs/train.toml", "--set", f"download.source={data}",
            "--set", "pipeline.threads=1", "--set", "train.epochs=1", "--set", "finetune.epochs=1",
            "--set", "train.batch_size=20", "--set", "export.formats=[\"pth\"]",
            "--set", "export.images=4", expect=0)
        cls.shown = cls.store.json("runs", "show", "latest")
        # As MLflow gets them (tracking/content_tags.cpp).
        cls.params = set(cls.shown["params"])
        for stage in cls.shown["stages"]:
            cls.params |= {f"{stage['name']}/{fact}" for fact in stage["facts"]}
        for fact in cls.shown["facts"]:
            if fact.startswith("numerics."):
                cls.params |= {f"{fact[9:]}/{name}" for name in ("device", "precision", "threads")}
        cls.table = ROW.findall(PAGE.read_text())

    def test_the_page_has_all_names(self):
        self.assertEqual(set(SEED) - {name for name, _, _ in self.table}, set())

    def test_the_run_has_what_the_page_promises(self):
        self.assertGreaterEqual(len(self.table), len(SEED))
        for name, kind, ours in self.table:
            classes = ["Vehicles", "Animals"] if name.startswith("regrouped") else SHORT
            for one in classes if "<class>" in ours else [""]:
                with self.subTest(seed=name, ours=ours, of=one):
                    there = self.params if kind == "parameter" else self.shown["metrics"]
                    self.assertIn(ours.replace("<class>", one), there)

    def test_counts_are_the_reference_programs(self):
        facts = {s["name"]: s["facts"] for s in self.shown["stages"]}
        self.assertEqual(facts["train"]["parameters"], "1342122")
        self.assertEqual(facts["finetune"]["classes"], "3")
        trained = int(facts["finetune"]["trainable_parameters"])
        frozen = int(facts["finetune"]["frozen_parameters"])
        self.assertEqual(trained, 2048 * 512 + 512 + 512 * 3 + 3)
        self.assertEqual(trained + frozen, int(facts["finetune"]["parameters"]))
        for layer in ("conv1", "conv6", "bn6"):
            self.assertIn(layer, facts["finetune"]["frozen_layers"].split(", "))


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there: build first, or set CIFARPIPE_BIN")
    unittest.main()
