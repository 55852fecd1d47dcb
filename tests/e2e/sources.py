#!/usr/bin/env python3
"""Images from everywhere as whole programs: a folder of PNG files, a tar.gz and a zip of it and NumPy
arrays of the same pixels give the same dataset, byte for byte; other sizes and grey images train and
are judged; damaged files are named."""

import csv
import io
import json
import pathlib
import struct
import sys
import tarfile
import unittest
import zipfile
import zlib

from harness import PROGRAM, Store

WIDTH, HEIGHT = 48, 40
CLASSES = ["cat", "cow", "dog"]
DATA = """
[pipeline]
name = "sources"
threads = 1
[stages.download]
uses = "download"
params.source = "SOURCE"
[stages.data]
uses = "preprocess"
"""
TRAIN = """
[stages.train]
uses = "train"
params.architecture = "linear"
params.epochs = 1
params.batch_size = 8
params.crop_padding = 2
[stages.test]
uses = "evaluate"
inputs.model = "train.model"
"""


def pixels(number):
    """Rows of red, green, blue: the class decides the brightest channel."""
    row = []
    for x in range(WIDTH):
        row += [(x * 5 + number * 7 + c * 11) % 90 + (150 if c == number % 3 else 0)
                for c in range(3)]
    return [bytes((v + y) % 256 for v in row) for y in range(HEIGHT)]


def png(rows):
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed)
            + chunk(b"IEND", b""))


def npy(kind, shape, values):
    header = repr({"descr": kind, "fortran_order": False, "shape": shape})
    header += " " * (-(len(header) + 11) % 64) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + values


def write_arrays(path, images):
    """images: split → numbers."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for split, numbers in images.items():
            values = b"".join(b"".join(pixels(n)) for n in numbers)
            archive.writestr(f"x_{split}.npy",
                             npy("|u1", (len(numbers), HEIGHT, WIDTH, 3), values))
            archive.writestr(f"y_{split}.npy",
                             npy("|u1", (len(numbers),), bytes(n % 3 for n in numbers)))
        names = "".join(name.ljust(4, "\0") for name in CLASSES).encode("utf-32-le")
        archive.writestr("class_names.npy", npy("<U4", (3,), names))


class Sources(unittest.TestCase):
    IMAGES = {"train": range(24), "test": range(100, 109)}

    @classmethod
    def setUpClass(cls):
        cls.store = Store()
        cls.addClassCleanup(cls.store.__exit__)
        cls.folder = cls.store.dir / "pets"
        for split, numbers in cls.IMAGES.items():
            for n in numbers:
                file = cls.folder / split / CLASSES[n % 3] / f"{n:05}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(png(pixels(n)))

    def dataset(self, source, *arguments):
        file = self.store.write("p.toml", DATA.replace("SOURCE", str(source)))
        self.store.run("run", file, *arguments, expect=0)
        return dict(self.store.digests()["data"]["dataset"])

    def preview(self, name):
        key = self.store.json("runs", "show", "latest")["stages"][1]["key"]
        return self.store.runs / "store" / key[:2] / key / "preview" / name

    def test_the_same_images_are_the_same_dataset(self):
        expected = self.dataset(self.folder)
        with open(self.preview("files.csv"), newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([r["index"] for r in rows], [str(n) for n in [*range(24),
                                                                      *range(100, 109)]])
        self.assertEqual(rows[1], {"split": "train", "index": "1", "file": "train/cow/00001.png"})
        archive = self.store.dir / "pets.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(self.folder, "pets")
        self.assertEqual(self.dataset(archive), expected)
        archive = self.store.dir / "pets.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            for file in sorted(self.folder.rglob("*.png")):
                packed.write(file, pathlib.Path("pets") / file.relative_to(self.folder))
        self.assertEqual(self.dataset(archive), expected)

        arrays = self.store.dir / "arrays"  # As a .npz in a folder, and unpacked by download.
        arrays.mkdir()
        write_arrays(arrays / "pets.npz", self.IMAGES)
        numbered = ("test.index.bin", "duplicates.csv")  # Arrays have not the numbers of files.
        for source in (arrays, arrays / "pets.npz"):
            found = self.dataset(source)
            self.assertEqual({n: d for n, d in found.items() if n not in numbered},
                             {n: d for n, d in expected.items() if n not in numbered})

    def test_other_sizes_and_grey_train_and_are_judged(self):
        text = DATA.replace("SOURCE", str(self.folder)) + TRAIN
        for options in ([], ["--set", "data.color=grey", "--set", "data.normalization=computed",
                             "--set", "data.size=[28]"]):
            self.store.run("run", self.store.write("t.toml", text), *options, expect=0)
            self.assertIn("test/accuracy", self.store.json("runs", "show", "latest")["metrics"])
        summary = json.loads(self.preview("summary.json").read_text())
        self.assertEqual(summary["image"], {"height": 28, "width": 28, "channels": 1})

    def test_damaged_files_are_named(self):
        damaged = self.store.dir / "damaged.tar"
        with tarfile.open(damaged, "w") as tar:
            tar.add(self.folder, "pets")
            for name, content in (("cut.png", png(pixels(1))[:-20]), ("empty.jpg", b"")):
                entry = tarfile.TarInfo(f"pets/train/cat/{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        file = self.store.write("d.toml", DATA.replace("SOURCE", str(damaged)))
        result = self.store.run("run", file)
        self.assertEqual(result.code, 1, result)
        self.assertIn("2 of 35 images cannot be used: pets/train/cat/cut.png is cut off", result.err)
        self.assertIn("pets/train/cat/empty.jpg is empty", result.err)
        self.store.run("run", file, "--set", "data.on_bad_image=skip", expect=0)
        metrics = self.store.json("runs", "show", "latest")["metrics"]
        self.assertEqual(metrics["data/bad_images"]["last"], 2)
        with open(self.preview("bad_images.csv"), newline="") as table:
            self.assertEqual([row["file"] for row in csv.DictReader(table)],
                             ["pets/train/cat/cut.png", "pets/train/cat/empty.jpg"])

    def test_wrong_parameters_are_usage(self):
        file = self.store.write("w.toml", DATA.replace("SOURCE", str(self.folder)))
        result = self.store.run("run", file, "--set", "data.mean=[0.5,0.5,0.5]", expect=2)
        self.assertIn('with normalization = "given"; it is "reference"\n', result.err)
        for setting, said in (
                ("download.sha256=00", "is not a digest: 64 hex digits are expected"),
                ("download.md5=" + "0" * 32, "is a folder: leave them out"),
                ("download.source=/dev/null", "is neither a file nor a folder"),
                ("data.test=0.2", "but the data has one: leave test out"),
                ("data.validation=0.01", "validation = 0.01 of 24 training images is none"),
                ("data.labels=coarse", "but these files are folders of images"),
                ("data.size=[32,32,3]", "is neither [side] nor [height, width]")):
            result = self.store.run("run", file, "--set", setting, expect=2)
            self.assertIn(said, result.err)
            self.assertNotIn("to go on", result.err)


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
