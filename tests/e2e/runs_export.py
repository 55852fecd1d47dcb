#!/usr/bin/env python3
"""`cifarpipe runs export`: JSON, JSON lines and CSV, and what is said when it cannot be done."""

import csv
import json
import os
import resource
import signal
import subprocess
import sys
import unittest

from harness import PROGRAM
from runs import CHAIN, Runs


class Export(Runs):
    def test_json(self):
        document = json.loads(self.out("export", "one", "two"))
        self.assertEqual((document["format"], document["version"]), ("cifarpipe-runs", 1))
        one = document["runs"][0]
        shown = self.store.json("runs", "show", "one")
        self.assertEqual({k: v for k, v in one.items() if k != "points"}, shown)
        points = [p[:3] for p in one["points"]["slow/loss"]]
        self.assertEqual(points, self.store.json("runs", "metrics", "one", "slow/loss"))

    def test_json_lines(self):
        self.out("export", "one", "-o", "one.jsonl")
        lines = [json.loads(l) for l in (self.store.dir / "one.jsonl").read_text().splitlines()]
        self.assertEqual([l["type"] for l in lines], ["run"] + 7 * ["point"])
        self.assertEqual({l["run"] for l in lines[1:]}, {lines[0]["id"]})

    def test_csv(self):
        self.out("export", "one", "two", "--format", "csv", "-o", "tables")
        folder = self.store.dir / "tables"
        self.assertEqual(sorted(p.name for p in folder.iterdir()),
                         ["attempts.csv", "facts.csv", "metrics.csv", "outputs.csv", "params.csv",
                          "points.csv", "runs.csv", "stages.csv", "tags.csv"])
        with open(folder / "points.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), 7 + 10)
        self.assertEqual(self.out("export", "one", "--format", "csv", "-o", "tables").count("\n"), 9)

    def test_only_files_of_its_own_are_replaced(self):
        precious = self.store.write("precious.toml", CHAIN)
        said = "'precious.toml' is there already and was not written by `cifarpipe runs "
        self.assertIn(said + "export`", self.wrong("export", "one", "-o", "precious.toml"))
        self.assertIn(said + "plot`", self.wrong("plot", "one", "slow/loss", "--svg",
                                                 "precious.toml"))
        self.assertEqual(precious.read_text(), CHAIN)
        for format_ in ("json", "jsonl", "json"):  # Its own ones are, whatever their format.
            self.assertEqual(self.out("export", "one", "-o", "own", "--format", format_), "own\n")
        (self.store.dir / "mixed").mkdir()
        self.store.write("mixed/points.csv", "epoch,loss\n1,0.5\n")
        self.assertIn("'mixed/points.csv' is there already",
                      self.wrong("export", "one", "--format", "csv", "-o", "mixed"))
        self.assertEqual(os.listdir(self.store.dir / "mixed"), ["points.csv"])

    def test_stdout_and_empty_files_and_links(self):
        printed = self.out("export", "one")
        for name in ("-", "/dev/stdout"):
            self.assertEqual(self.out("export", "one", "-o", name), printed)
        self.assertFalse((self.store.dir / "-").exists())
        self.store.write("empty.json", "")
        (self.store.dir / "link.json").symlink_to("empty.json")
        self.out("export", "one", "-o", "link.json")
        self.assertTrue((self.store.dir / "link.json").is_symlink())
        self.assertEqual((self.store.dir / "empty.json").read_text(), printed)

    def test_a_full_disk_is_told(self):
        for words in (["export", "one"], ["export", "one", "--format", "jsonl"], ["logs", "one"],
                      ["list"], ["plot", "one", "slow/loss", "--svg", "-"]):
            with self.subTest(words=words), open("/dev/full", "w") as full:
                said = subprocess.run([PROGRAM, "runs", *words], stdout=full, text=True,
                                      stderr=subprocess.PIPE, env=self.store.environment())
                self.assertEqual(said.returncode, 3, said)
                self.assertRegex(said.stderr, r"^cifarpipe: error: cannot write the output: .*\n$")
        said = self.run_("runs", "export", "one", "-o", "/dev/full", expect=3).err
        self.assertIn("cannot write '/dev/full': ", said)

    def test_tables_that_do_not_fit_leave_nothing(self):
        self.run_("run", self.store.dir / "p.toml", "--set", "slow.steps=5000", "--set",
                  "slow.step_ms=0", "--name", "many", "--new-run", expect=0)

        def small_files():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

        process = self.store.start("runs", "export", "many", "--format", "csv", "-o", "full",
                                   preexec_fn=small_files)
        out, err = process.communicate()
        self.assertEqual((process.returncode, out), (3, ""), err)
        self.assertIn("cannot write 'full/points.csv': ", err)
        self.assertFalse((self.store.dir / "full").exists())

    def test_a_folder_gets_a_file_a_run(self):
        said = self.out("export", "one", "sweep/first.value=0.5", "-o", "each/")
        self.assertEqual(said, "each/one.json\neach/sweep-first.value-0.5.json\n")
        json.loads((self.store.dir / "each/one.json").read_text())

    def test_wrong_usage(self):
        for arguments, said in [
            (["export"], "'cifarpipe runs export' needs RUN"),
            (["export", "one", "--format", "csv"], "CSV is several tables: name a folder"),
            (["export", "one", "-o", "x.csv"], "CSV is several tables: name a folder"),
            (["export", "one", "--format", "xml"], "'xml' is not json, jsonl or csv"),
            (["export", "one", "-o", "no/x.json"], "there is no folder 'no'"),
            (["export", "one", "-o", "no/a/b", "--format", "csv"], "cannot make the folder "),
            (["export", "one", "-o", ""], "the name of the file to write is empty"),
            (["export", "none"], "there is no run 'none'"),
        ]:
            self.assertIn(said, self.wrong(*arguments))


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
