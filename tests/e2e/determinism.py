#!/usr/bin/env python3
"""Same configuration, same seed, same bits: with one slot and two, from the cache, resumed, forced,
as the first and as the tenth job of a worker. The real stages, on a handful of images."""

import os
import signal
import sqlite3
import time
import unittest

from harness import Store, TINY, wait_until


def sweep(store, repeats):
    return store.write("sweep.toml", f"""
extends = "{os.path.relpath(TINY, store.dir)}"
[matrix]
pipeline.repeat = {list(range(repeats))}
""")


def trained(store, cell):
    """The digests and the metrics of one cell's run."""
    run = next(r["id"] for r in store.json("runs", "list") if r["cell"] == cell)
    return store.digests(run), store.metrics(run)


class Determinism(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)

    def test_first_and_tenth_job_of_a_worker_and_more_slots(self):
        cells = [f"pipeline.repeat={i}" for i in range(10)]
        self.store.run("run", sweep(self.store, 10), expect=0)
        alone = {cell: trained(self.store, cell) for cell in cells}
        models = {str(digests["train"]["model"]) for digests, _ in alone.values()}
        self.assertEqual(len(models), 10)  # Another repeat is another network.
        with Store() as two:
            two.run("run", sweep(two, 10), "--slots", "2", expect=0)
            for cell in cells:
                self.assertEqual(trained(two, cell), alone[cell], cell)
        with Store() as fresh:  # The tenth, as the first thing that a worker does.
            fresh.run("run", TINY, "--set", "pipeline.repeat=9", expect=0)
            self.assertEqual((fresh.digests(), fresh.metrics()), alone[cells[9]])

    def test_cached_and_forced(self):
        self.store.run("run", TINY, expect=0)
        facts = self.store.json("runs", "show", "latest")["facts"]  # What the bits depend on.
        self.assertEqual(facts["numerics.train"], "cpu fp32 1 thread")
        self.assertLessEqual({"seed.train", "plugin.train", "libtorch", "cpu", "host", "git.commit"},
                             facts.keys())
        first = self.store.digests(), self.store.metrics()
        self.store.run("run", TINY, "--new-run", expect=0)
        self.assertEqual((self.store.digests(), self.store.metrics()), first)
        self.store.run("run", TINY, "--no-cache", "--new-run", expect=0)
        self.assertEqual((self.store.digests(), self.store.metrics()), first)

    def test_resumed_in_mid_epoch(self):
        # Eight batches of 12 make an epoch, five make a step: stopped anywhere but at its end.
        options = ["--set", "train.batch_size=12", "--set", "train.accumulate=5",
                   "--set", "train.epochs=40", "--set", "train.step_metrics=true"]
        with Store() as undisturbed:
            undisturbed.run("run", TINY, *options, expect=0)
            expected = undisturbed.digests(), undisturbed.metrics()
        stops = 0
        while True:
            process = self.store.start("run", TINY, *options)
            wait_until(lambda: process.poll() is not None or self.is_training(stops))
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.communicate()
            if process.returncode == 0:
                break
            self.assertEqual(process.returncode, 130)
            stops += 1
        self.assertGreaterEqual(stops, 1)
        self.assertEqual((self.store.digests(), self.store.metrics()), expected)

    def is_training(self, stops):
        """Whether this attempt has made points; a moment later it is somewhere in an epoch."""
        if stops >= 3 or not (self.store.runs / "cifarpipe.db").exists():
            return False
        try:
            [[made]] = self.store.query("SELECT count(*) FROM point WHERE attempt = ?", stops + 1)
        except sqlite3.OperationalError:  # The file is there, its tables not yet.
            return False
        if made > 0:
            time.sleep(0.001 * (7 * stops + 3))  # Not the same place in each attempt.
        return made > 0


if __name__ == "__main__":
    unittest.main()
