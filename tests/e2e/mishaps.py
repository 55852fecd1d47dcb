#!/usr/bin/env python3
"""What goes wrong with whole pipelines, and what must hold afterwards: plugins that misbehave, a
lost database, a damaged result, results that nobody needs any more.

Uses the stages of tests/plugins, which need no time.
"""

import os
import signal
import sys
import unittest

from harness import CHAIN, PluginCase, PROGRAM, Store, TEST_PLUGINS, wait_until, workers_of


class Misbehave(PluginCase):
    SENTENCES = {
        "throws": "thrown by the stage itself",
        "throws_strange": "threw something that is not a std::exception",
        "throws_in_thread": "its code crashed with SIGABRT; the end of its log may tell why",
        "segfaults": "its code crashed with SIGSEGV",
        "aborts": "SIGABRT",
        "exits": "ended the worker with exit(0)",
        "exits_at_once": "ended the worker with exit(0)",
        "overflows": "SIGSEGV",
        "allocates": "out of memory",
        "undeclared": "wrote 'undeclared.txt' beside its outputs",
        "links": "is a symbolic link",
        "fifos": "is a pipe",
        "wrong_port": "asks for output 'no_such_port', which it does not declare",
        "strange_metrics": "reports metric 'not_declared', which it does not declare",
    }

    def test_each_is_one_sentence_and_the_host_lives(self):
        for stage, sentence in self.SENTENCES.items():
            with self.subTest(stage=stage):
                file = self.file(f'[stages.x]\nuses = "{stage}"\n[stages.y]\nuses = "emit"\n')
                result = self.run_("run", file, "--keep-going",
                                   env={"CIFARPIPE_WORKER_MEMORY": "1000000000"})
                self.assertEqual(result.code, 1, result)
                self.assertIn(sentence, result.err)
                self.assertEqual(self.store.json("runs", "show", "latest")["status"], "FAILED")
        self.check_clean()

    def test_what_a_stage_prints_is_in_the_log(self):
        self.run_("run", self.file('[stages.x]\nuses = "prints"\n'), expect=0)
        log = self.store.run("runs", "logs", "latest", expect=0).out
        self.assertIn("| from stderr", log)
        self.assertNotIn("\x1b", log)

    def test_a_refused_plugin_is_told_before_anything_runs(self):
        self.environment["CIFARPIPE_PLUGIN_PATH"] = f"{TEST_PLUGINS}:{TEST_PLUGINS / 'refused'}"
        for name, sentence in (("wrong_stamp", "built with libtorch 1.4.0"),
                               ("no_stamp", "has no stamp")):
            with self.subTest(plugin=name):
                file = self.file(f'[stages.x]\nuses = "emit"\n[stages.y]\nuses = "{name}"\n')
                self.assertIn(sentence, self.run_("run", file, expect=3).err)
        self.assertFalse(self.store.runs.exists())

    def test_a_refused_plugin_that_nobody_uses_is_a_warning(self):
        self.environment["CIFARPIPE_PLUGIN_PATH"] = f"{TEST_PLUGINS / 'refused'}:{TEST_PLUGINS}"
        result = self.run_("run", self.file(CHAIN), expect=0)
        self.assertIn("warning: ", result.err)
        self.assertIn("wrong_api.stage.so does not fit this cifarpipe", result.err)

    def test_a_stage_that_is_deaf_is_killed(self):
        file = self.file('[stages.x]\nuses = "sleeps"\n')
        process = self.store.start("run", file, env=self.environment)
        wait_until(lambda: workers_of(process.pid), what="the worker")
        log = wait_until(lambda: list(self.store.runs.glob("*/run.log")), what="the log")[0]
        wait_until(lambda: "about to misbehave" in log.read_text(), what="the stage")
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)  # The second one kills.
        process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130)
        self.assertEqual(self.rows()[0]["status"], "KILLED")
        self.check_clean()


class Damage(PluginCase):
    def test_a_lost_database_is_indexed_again(self):
        file = self.file(CHAIN)
        self.run_("run", file, expect=0)
        metrics = self.store.metrics()
        for path in self.store.runs.glob("cifarpipe.db*"):
            path.unlink()
        again = self.run_("run", file, expect=0)
        self.assertEqual(again.err.count("cached"), 3, again)
        self.assertEqual(self.store.metrics(), metrics)

    def test_a_damaged_result_is_found_and_made_again(self):
        file = self.file(CHAIN)
        self.run_("run", file, expect=0)
        digests = self.store.digests()
        self.store.run("verify", expect=0)
        path = self.store.run("runs", "path", "latest", "slow.out", expect=0).out.strip()
        victim = next(p for p in sorted(os.scandir(path), key=lambda e: e.name) if p.is_file()).path
        os.chmod(victim, 0o644)
        with open(victim, "r+b") as f:
            byte = f.read(1)
            f.seek(0)
            f.write(bytes([byte[0] ^ 1]))
        damaged = self.store.run("verify")
        self.assertEqual(damaged.code, 1, damaged)
        self.assertIn("damaged: slow", damaged.out)
        self.run_("run", file, expect=0)
        self.assertEqual(self.store.digests(), digests)
        self.store.run("verify", expect=0)

    def test_every_damaged_result_is_told(self):
        self.run_("run", self.file(CHAIN), expect=0)
        for stage, spoil in [("first", lambda file: os.truncate(file, 0)), ("slow", os.unlink)]:
            path = self.store.run("runs", "path", "latest", stage + ".out", expect=0).out.strip()
            os.chmod(path, 0o755)
            os.chmod(os.path.join(path, "text.txt"), 0o644)
            spoil(os.path.join(path, "text.txt"))
        told = self.store.run("verify", expect=1)
        self.assertEqual(told.err, "")
        self.assertRegex(told.out, r"(?m)^damaged: emit [0-9a-f]{12}: out/text.txt has 0 bytes instead of \d$")
        self.assertRegex(told.out, r"(?m)^damaged: slow [0-9a-f]{12}: out/text.txt is missing$")
        self.assertEqual(told.out.count("moved to "), 2)
        self.assertIn("3 results, 1 file, 0.0 MB read: 2 damaged", told.out)
        self.assertIn("1 result, 1 file, 0.0 MB read: all as recorded",
                      self.store.run("verify", expect=0).out)

    def test_a_full_disk_is_a_sentence_and_going_on_works(self):
        file = self.file(CHAIN)
        with Store() as reference:
            reference.run("run", file, env=self.environment, expect=0)
            digests = reference.digests()
        for n in range(1, 60, 6):
            with self.subTest(operation=n), Store() as store:
                full = store.run("run", file, env=dict(self.environment,
                                                       CIFARPIPE_FAULT=f"enospc:{n}@cifarpipe"))
                if full.code != 0:
                    self.assertEqual(full.code, 3, full)
                    self.assertIn("full", full.err)
                store.run("run", file, env=self.environment, expect=0)
                self.assertEqual(store.digests(), digests)

    def test_a_fault_in_any_file_operation_loses_nothing(self):
        file = self.file(CHAIN)
        with Store() as reference:
            reference.run("run", file, env=self.environment, expect=0)
            digests, metrics = reference.digests(), reference.metrics()
        for program in ("cifarpipe", "cifarpipe-worker"):
            for kind in ("fail", "kill"):
                for n in range(1, 40, 3):
                    with self.subTest(program=program, kind=kind, n=n), Store() as store:
                        fault = {"CIFARPIPE_FAULT": f"{kind}:{n}@{program}"}
                        store.run("run", file, env=dict(self.environment, **fault))
                        store.run("run", file, env=self.environment, expect=0)
                        self.assertEqual(store.digests(), digests)
                        self.assertEqual(store.metrics(), metrics)
                        rows = store.json("runs", "list")
                        self.assertEqual([r["status"] for r in rows], ["FINISHED"])


class Collect(PluginCase):
    def test_gc_is_dry_and_keeps_what_runs_need(self):
        file = self.file(CHAIN)
        self.run_("run", file, expect=0)
        self.run_("run", file, "--set", "slow.steps=7", expect=0)
        self.assertIn("nothing to do", self.store.run("gc", expect=0).out)
        self.store.run("runs", "delete", "latest", expect=0)
        self.assertIn("would be removed", self.store.run("gc", expect=0).out)
        self.assertIn(" removed", self.store.run("gc", "--apply", expect=0).out)
        self.assertIn("nothing to do", self.run_("run", file, expect=0).out)
        self.store.run("gc", "--keep-last", "0", "--apply", expect=0)
        self.assertEqual(len(self.rows()), 1)  # Rows and metrics stay.
        self.assertIn("slow/loss", self.rows()[0]["metrics"])
        # Not what is different from the newest run: this one was made, and is gone.
        self.assertRegex(self.run_("plan", file, expect=0).out,
                         r"(?m)^ *first .*its result is no longer in the store")
        for age in ("x", "nand", "infd", "-1d"):
            self.assertIn("--older-than", self.store.run("gc", f"--older-than={age}", expect=2).err)
        (self.store.runs / "store/tmp/02f765").mkdir()
        self.assertRegex(self.store.run("gc", expect=0).out, r"(?m)^left over 02f765 +0\.0 MB$")

    def test_the_latest_of_deleted_runs_is_none(self):
        self.run_("run", self.file(CHAIN), "--name", "only", expect=0)
        self.store.run("runs", "delete", "latest", expect=0)
        told = self.store.run("runs", "restore", "latest", expect=2).err
        self.assertIn("every run is deleted; `cifarpipe runs list --all` shows their names", told)
        self.assertIn("only", self.store.run("runs", "list", "--all", expect=0).out)
        self.store.run("runs", "restore", "only", expect=0)
        self.store.run("runs", "show", "latest", expect=0)

    def test_gc_removes_nothing_beside_a_run(self):
        file = self.file(CHAIN)
        self.run_("run", file, expect=0)
        self.store.run("runs", "delete", "latest", expect=0)
        process = self.store.start("run", file, "--set", "slow.steps=100000", "--name", "long",
                                   env=self.environment)
        try:
            wait_until(lambda: workers_of(process.pid))
            self.assertIn("would be removed", self.store.run("gc", expect=0).out)
            refused = self.store.run("gc", "--apply", expect=3)
            self.assertIn("nothing is removed while a pipeline is carried out: long", refused.err)
        finally:
            process.terminate()
            process.communicate()
        self.assertIn(" removed", self.store.run("gc", "--apply", expect=0).out)


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
