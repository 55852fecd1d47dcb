#!/usr/bin/env python3
"""System metrics of whole runs: there, soon, counted on by a resumed run, and absent where they are
switched off. With the driver's library of a machine that has GPUs, those too."""

import json
import os
import pathlib
import signal
import sqlite3
import unittest

from harness import BIN, Store, TEST_PLUGINS, wait_until

NAMES = {"system/" + name for name in (
    "cpu_utilization_percentage", "system_memory_usage_megabytes",
    "system_memory_usage_percentage", "disk_usage_percentage", "disk_usage_megabytes",
    "disk_available_megabytes", "network_receive_megabytes", "network_transmit_megabytes")}
MEMORY = "system/system_memory_usage_megabytes"
SLOW = """
[stages.slow]
uses = "slow"
params = { steps = %d, step_ms = 20, checkpoint_every = 1 }
"""
OFTEN = ("--set", "tracking.system_metrics_interval=0.1")


def system_keys(shown):
    return {key for key in shown["metrics"] if key.startswith("system/")}


class SystemMetrics(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)

    def run_(self, text, *options, env=None, expect=0):
        file = self.store.write("p.toml", text)
        return self.store.run("run", file, "--plugin-path", TEST_PLUGINS, *options, env=env,
                              expect=expect)

    def shown(self, run="latest"):
        return self.store.json("runs", "show", run)

    def steps(self, run="latest", key=MEMORY):
        points = self.store.json("runs", "metrics", run, key)
        times = [time for _, time, _ in points]
        self.assertEqual(times, sorted(times))
        return [step for step, _, _ in points]

    def test_a_run_of_seconds_has_a_few(self):
        self.run_(SLOW % 130)  # 2.6 s: looked at after 1 and 2.
        self.assertLessEqual(NAMES, system_keys(self.shown()))
        self.assertGreaterEqual(len(self.steps()), 2)
        self.assertEqual(self.steps(), list(range(len(self.steps()))))
        used = dict((step, value)
                    for step, _, value in self.store.json("runs", "metrics", "latest", MEMORY))
        self.assertGreater(min(used.values()), 1)  # Megabytes.
        share = self.shown()["metrics"]["system/cpu_utilization_percentage"]
        self.assertTrue(0 <= share["min"] <= share["max"] <= 100, share)
        page = self.store.run("runs", "show", "latest", expect=0).out
        self.assertIn("\nsystem\n", page)
        self.assertIn("system_memory_usage_megabytes", page)
        listed = self.store.run("runs", "metrics", "latest", expect=0).out
        self.assertIn("slow/loss", listed)
        self.assertIn(MEMORY, listed)
        [[points]] = self.store.query(
            "SELECT count(*) FROM run_metrics WHERE key = ? AND value > 0", MEMORY)
        self.assertEqual(points, len(self.steps()))
        [[last]] = self.store.query("SELECT step FROM run_metric_summary WHERE key = ?", MEMORY)
        self.assertEqual(last, self.steps()[-1])

    def test_a_resumed_run_goes_on_counting(self):
        file = self.store.write("p.toml", SLOW % 60)
        process = self.store.start("run", file, "--plugin-path", TEST_PLUGINS, *OFTEN)
        wait_until(lambda: process.poll() is not None or self.stored() >= 3)
        process.send_signal(signal.SIGINT)
        process.communicate()
        self.assertEqual(process.returncode, 130)
        before = self.steps()
        self.assertGreaterEqual(len(before), 3)
        self.run_(SLOW % 60, *OFTEN)
        after = self.steps()
        self.assertGreater(len(after), len(before))
        self.assertEqual(after, list(range(len(after))))
        self.assertEqual(len(self.store.json("runs", "list")), 1)

    def stored(self):
        if not (self.store.runs / "cifarpipe.db").exists():
            return 0
        try:
            [[points]] = self.store.query(
                "SELECT count(DISTINCT step) FROM run_point")
            return points
        except sqlite3.OperationalError:  # The tables are not there yet.
            return 0

    def test_switched_off(self):
        off = SLOW % 20 + "[tracking]\nsystem_metrics = false\n"
        self.run_(off, *OFTEN)
        self.assertEqual(system_keys(self.shown()), set())
        self.assertNotIn("\nsystem\n", self.store.run("runs", "show", "latest").out)
        variables = {"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"}
        self.run_(SLOW % 20, *OFTEN, "--new-run", "--no-cache", env=variables)
        self.assertEqual(system_keys(self.shown()), set())
        # The file has the last word.
        self.run_(SLOW % 20, *OFTEN, "--set", "tracking.system_metrics=true", "--new-run",
                  "--no-cache", env=variables)
        self.assertLessEqual(NAMES, system_keys(self.shown()))

    def test_the_interval_of_the_environment(self):
        self.run_(SLOW % 25, env={"MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.1"})
        self.assertGreaterEqual(len(self.steps()), 3)
        wrong = self.run_(SLOW % 25, "--new-run", expect=2,
                          env={"MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "often"})
        self.assertIn("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL is 'often'", wrong.err)

    def test_they_are_metrics_like_others(self):
        self.run_(SLOW % 25, *OFTEN)
        listed = self.store.run("runs", "list", "--where", f"{MEMORY} > 1 and {MEMORY}.points > 2",
                                "--columns", f"{MEMORY}.max", "--csv", expect=0).out.splitlines()
        self.assertGreater(float(listed[1].split(",")[-1]), 1)
        self.assertEqual(self.store.json("runs", "list", "--where", f"{MEMORY}.any < 0"), [])
        self.assertIn("│", self.store.run("runs", "plot", "latest", MEMORY, expect=0).out)
        wrong = self.store.run("runs", "plot", "latest", MEMORY + "s", expect=2)
        self.assertIn(f"did you mean '{MEMORY}'?", wrong.err)
        run = json.loads(self.store.run("runs", "export", "latest", expect=0).out)["runs"][0]
        self.assertEqual([point[0] for point in run["points"][MEMORY]], self.steps())

    def test_each_cell_and_the_sweep(self):
        self.run_(SLOW % 25 + "[matrix]\npipeline.seed = [1, 2]\n", *OFTEN, "--slots", "2")
        rows = self.store.json("runs", "list")
        self.assertEqual(len(rows), 3)
        for row in rows:
            self.assertLessEqual(NAMES, system_keys(row), row["name"])
            self.assertGreaterEqual(len(self.steps(row["id"])), 2)

    def test_gpus(self):
        self.run_(SLOW % 25, *OFTEN, env={
            "LD_LIBRARY_PATH": os.pathsep.join(filter(None, [
                str(BIN.parent / "tests-nvml"), os.environ.get("LD_LIBRARY_PATH")]))})
        metrics = self.shown()["metrics"]
        self.assertEqual(metrics["system/gpu_0_utilization_percentage"]["last"], 42)
        self.assertEqual(metrics["system/gpu_1_utilization_percentage"]["last"], 43)
        self.assertEqual(metrics["system/gpu_0_memory_usage_megabytes"]["last"], 2000)
        facts = self.shown()["facts"]
        self.assertEqual(facts["gpu.names"], "Fake GPU 0, Fake GPU 1")
        self.assertEqual(facts["gpu.driver"], "999.1")

    def test_no_stage_is_called_so(self):
        wrong = self.run_("[stages.system]\nuses = \"slow\"\n", expect=2)
        self.assertIn("'system' cannot name a stage", wrong.err)


class Environment(unittest.TestCase):
    def test_what_is_recorded_of_it(self):
        with Store() as store:
            file = store.write("p.toml", SLOW % 1)
            store.run("run", file, "--plugin-path", TEST_PLUGINS, expect=0,
                      env={"CUDA_VISIBLE_DEVICES": "3"})
            facts = store.json("runs", "show", "latest")["facts"]
            self.assertLessEqual(
                {"host", "system", "cpu", "cores", "memory_bytes", "user", "os", "folder",
                 "cifarpipe", "plugin.slow", "seed.slow"}, facts.keys())
            self.assertEqual(pathlib.Path(facts["folder"]).resolve(), store.dir.resolve())
            self.assertEqual(facts["env.CUDA_VISIBLE_DEVICES"], "3")
            [stage] = store.json("runs", "show", "latest")["stages"]
            self.assertGreater(stage["peak_rss_bytes"], 0)
            self.assertGreater(stage["wall_ms"], 0)
            self.assertIsNotNone(stage["cpu_ms"])


if __name__ == "__main__":
    unittest.main()
