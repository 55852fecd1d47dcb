#!/usr/bin/env python3
"""What a user does with whole pipelines, and what must hold afterwards: reruns, forcing, sweeps,
failures, two commands at once. What goes wrong is in mishaps.py.

Uses the stages of tests/plugins, which need no time.
"""

import json
import shlex
import sqlite3
import subprocess
import sys
import unittest

from harness import CHAIN, PluginCase, PROGRAM, Store, TEST_PLUGINS

SWEEP = CHAIN + """
[matrix]
slow.steps = [3, 4, 5]
"""


class Rerun(PluginCase):
    def test_the_same_file_again_has_nothing_to_do(self):
        file = self.file(CHAIN)
        first = self.run_("run", file, expect=0)
        again = self.run_("run", file, expect=0)
        self.assertIn("nothing to do", again.out)
        self.assertIn("cached", again.err)
        self.assertEqual(len(self.rows()), 1)
        self.assertIn("next: cifarpipe runs show latest", first.err)
        self.check_clean()

    def test_nobody_reads_what_is_said(self):
        file = self.file(CHAIN)
        for i, said in enumerate(("2>/dev/full", "2>&-", "2> >(head -c 1)", ">&- 2>&-")):
            command = f'"$1" run "$2" --new-run --no-cache --name n{i} {said}'
            done = subprocess.run(["bash", "-c", command, "-", str(PROGRAM), str(file)],
                                  env=self.store.environment(self.environment), cwd=self.store.dir,
                                  stdout=subprocess.PIPE, timeout=60)
            # Without stdout the results get nowhere, and that is told; the run is whole.
            self.assertEqual(done.returncode, 3 if ">&-" in said[:3] else 0, said)
            self.assertEqual(self.store.json("runs", "show", f"n{i}")["status"], "FINISHED", said)
            wrong = subprocess.run(["bash", "-c", f'"$1" runs show nope {said}', "-", str(PROGRAM)],
                                   env=self.store.environment(), stdout=subprocess.PIPE)
            self.assertEqual(wrong.returncode, 2, said)
        self.check_clean()

    def test_new_run_makes_a_row_of_cached_stages(self):
        file = self.file(CHAIN)
        self.run_("run", file, expect=0)
        self.run_("run", file, "--new-run", "--name", "second", "--tag", "a=b", "--note", "n",
                  expect=0)
        shown = self.store.json("runs", "show", "second")
        self.assertEqual({s["action"] for s in shown["stages"]}, {"cached"})
        self.assertEqual((shown["tags"], shown["note"]), ({"a": "b"}, "n"))
        self.assertIn("slow/loss", shown["metrics"])  # Also of stages that were there already.

    def test_tags_of_the_shell(self):
        file = self.file(CHAIN)
        self.run_("run", file, "--tag", "a=mine", expect=0,
                  env={"MLFLOW_RUN_CONTEXT": '{"a": "shell\'s", "team": "vision", "week": 7}'})
        self.assertEqual(self.store.json("runs", "show", "latest")["tags"],
                         {"a": "mine", "team": "vision", "week": "7"})
        for bad in ("team=vision", '["a"]', '{"a": {}}', '{"": "x"}'):
            refused = self.run_("run", file, "--new-run", env={"MLFLOW_RUN_CONTEXT": bad}, expect=2)
            self.assertIn("MLFLOW_RUN_CONTEXT", refused.err)
        self.assertEqual(len(self.rows()), 1)

    def test_only_what_depends_on_a_change_runs(self):
        file = self.file(CHAIN)
        self.run_("run", file, expect=0)
        plan = json.loads(self.run_("plan", file, "--json", "--set", "slow.steps=7").out)
        self.assertEqual([(p["stage"], p["action"], p["reason"]) for p in plan],
                         [("first", "cached", "up to date"), ("slow", "run", "steps 6 → 7"),
                          ("last", "maybe", "waits for slow")])
        self.run_("plan", file, "--exit-code", expect=0)
        self.run_("plan", file, "--exit-code", "--set", "slow.steps=7", expect=10)
        self.run_("run", file, "--set", "slow.steps=7", expect=0)
        self.assertEqual(self.actions(), {"first": "cached", "slow": "run", "last": "run"})

    def test_equal_content_cuts_off_early(self):
        # first runs again with a parameter that changes nothing in its output.
        file = self.file(CHAIN)
        self.run_("run", file, expect=0)
        self.run_("run", file, "--set", "first.value=9.0", expect=0)
        self.assertEqual(self.actions()["first"], "run")
        self.assertEqual(self.actions()["last"], "cached")

    def test_forcing_reproduces(self):
        file = self.file(CHAIN)
        self.run_("run", file, expect=0)
        forced = self.run_("run", file, "--force", "slow", expect=0)
        self.assertIn("reproduced", forced.err)
        self.assertEqual(len(self.rows()), 2)
        self.assertEqual(self.actions(), {"first": "cached", "slow": "reproduced", "last": "cached"})
        self.run_("run", file, "--from", "slow", expect=0)
        self.assertEqual(self.actions(),
                         {"first": "cached", "slow": "reproduced", "last": "reproduced"})
        self.run_("run", file, "--no-cache", expect=0)
        self.assertEqual(set(self.actions().values()), {"reproduced"})
        self.assertIn("did you mean 'slow'", self.run_("run", file, "--force", "slwo", expect=2).err)

    def test_other_code_runs_again_unless_it_is_accepted(self):
        file = self.file('[stages.x]\nuses = "emit"\n[stages.y]\nuses = "emit"\n'
                         'params.value = 7.0\n')
        self.run_("run", file, expect=0)
        self.environment["CIFARPIPE_PLUGIN_PATH"] = str(TEST_PLUGINS / "again")  # Another build.
        self.assertIn("x was rebuilt", self.run_("plan", file).out)
        self.run_("run", file, "--accept-code", "x", expect=0)
        self.assertEqual(self.actions(), {"x": "accepted", "y": "run"})
        self.assertIn("x/value", self.store.json("runs", "show", "latest")["metrics"])
        self.run_("run", file, "--new-run", expect=0)  # From now on it is simply there.
        self.assertEqual(self.actions(), {"x": "cached", "y": "cached"})
        other = ["--set", "x.value=2.5", "--accept-code", "x"]  # More than the code is different.
        self.run_("run", file, *other, expect=0)
        self.assertEqual(self.actions()["x"], "run")
        unknown = self.run_("run", file, "--accept-code", "z", expect=2)
        self.assertIn("'z'", unknown.err)

    def test_a_new_name_is_told_and_used(self):
        file = self.file(SWEEP)
        self.run_("run", file, "--name", "before", expect=0)
        again = self.run_("run", file, "--name", "after", expect=0)
        self.assertIn("before is now after\n", again.err)
        self.assertRegex(again.out, r"^FINISHED  after  nothing to do  ")
        self.assertRegex(again.out, r"(?m)^FINISHED  after/slow.steps=3  nothing to do  ")
        self.assertNotIn("before ", again.out)
        self.assertNotIn("is now", self.run_("run", file, "--name", "after", expect=0).err)
        self.run_("run", self.file(CHAIN, "other.toml"), "--name", "other", expect=0)
        taken = self.run_("run", file, "--name", "other", expect=0)
        self.assertIn("after is now other-2 (other is taken)\n", taken.err)
        self.assertRegex(taken.out, r"^FINISHED  other-2  ")

    def test_what_a_run_cannot_be_called(self):
        for name, said in [("latest", "cannot be called 'latest'"), ("a\nb", "control characters"),
                           ("", "cannot be empty")]:
            for words in (["run", self.file(CHAIN), "--name", name], ["runs", "rename", "x", name]):
                self.assertIn(said, self.run_(*words, expect=2).err)
        self.assertFalse(self.store.runs.exists())

    def test_next_is_about_the_run_that_was_asked_for(self):
        file = self.file(CHAIN)
        self.assertIn("next: cifarpipe runs show latest |",
                      self.run_("run", file, "--name", "the first", expect=0).err)
        second = self.run_("run", file, "--set", "slow.steps=7", "--name", "second", expect=0).err
        self.assertIn(f"cifarpipe plan {file} --set slow.steps=7\n", second)
        self.assertIn("next: cifarpipe runs show 'the first' |",
                      self.run_("run", file, expect=0).err)

    def test_next_works_where_the_command_found_its_store_and_plugins(self):
        file = self.file(CHAIN)
        there = ["--runs", "other/store", "--plugin-path", TEST_PLUGINS]
        said = self.store.run("run", file, *there, expect=0).err
        hint = said[said.index("next: ") + 6:].strip()
        for command in hint.split(" | "):
            words = shlex.split(command)
            self.assertEqual(words[0], "cifarpipe")
            self.store.run(*words[1:], expect=0)
        self.assertIn("--runs other/store", hint)
        self.store.run("report", "latest", *there[:2], expect=0)
        self.assertIn("cifarpipe --runs other/store reproduce chain-",
                      (self.store.dir / "report.html").read_text())

    def test_until_is_another_run(self):
        file = self.file(CHAIN)
        self.run_("run", file, "--until", "slow", expect=0)
        self.assertEqual(list(self.actions()), ["slow"])
        self.run_("run", file, expect=0)
        self.assertEqual(len(self.rows()), 2)
        self.assertEqual(self.actions()["slow"], "cached")

    def test_a_result_of_an_earlier_run_is_an_input(self):
        self.run_("run", self.file(CHAIN), expect=0)
        other = self.file(
            '[stages.last]\nuses = "join"\n'
            'inputs.first = "run:latest/slow.out"\ninputs.second = "run:latest/first.out"\n',
            "other.toml")
        self.run_("run", other, expect=0)
        bad = self.run_("run", other, "--set", 'stages.last.inputs.first="run:latest/nope.out"')
        self.assertEqual(bad.code, 2)
        self.assertRegex(bad.err, r"--set 1:\d+: error: no run has a result of a stage 'nope' yet")
        # The newest run is now the one that took the result; called again, it is the same one.
        again = self.run_("run", other, expect=0)
        self.assertIn("nothing to do", again.out)
        self.assertEqual(len(self.rows()), 2)


class Sweep(PluginCase):
    def test_shared_jobs_run_once_and_slots_change_nothing(self):
        file = self.file(SWEEP)
        self.run_("run", file, expect=0)
        rows = self.rows()
        self.assertEqual(len(rows), 4)  # A parent and three cells.
        self.assertEqual(sorted(r["cell"] for r in rows if r["cell"]),
                         ["slow.steps=3", "slow.steps=4", "slow.steps=5"])
        attempts = self.store.query("SELECT count(*) FROM attempt")[0][0]
        self.assertEqual(attempts, 1 + 3 + 3)  # first once, slow and last in each cell.
        digests = self.store.query("SELECT DISTINCT sha256 FROM result_file ORDER BY 1")
        with Store() as other:
            other.run("run", file, "--slots", "2", env=self.environment, expect=0)
            self.assertEqual(
                other.query("SELECT DISTINCT sha256 FROM result_file ORDER BY 1"), digests)

    def test_a_cell_takes_no_time_while_it_waits(self):
        self.run_("run", self.file(SWEEP.replace("step_ms = 1", "step_ms = 40")), expect=0)
        rows = self.store.query("SELECT cell, end_ms - start_ms, worked_ms FROM run "
                                "WHERE cell IS NOT NULL ORDER BY end_ms DESC")
        self.assertEqual(len(rows), 3)
        cell, lasted, worked = rows[0]
        self.assertGreaterEqual(lasted - worked, 2 * 3 * 40)  # Two others of three steps or more.
        listed = self.store.run("runs", "list", "--where", f"duration <= {worked / 1000}", "--csv",
                                "--columns", "cell,duration", expect=0).out
        self.assertIn(f"{cell},{worked / 1000:g}\n", listed)

    def test_the_time_between_attempts_does_not_count(self):
        file = self.file('[stages.x]\nuses = "fail"\n')
        self.run_("run", file, expect=1)
        hour = 3_600_000
        with sqlite3.connect(self.store.runs / "cifarpipe.db") as db:
            db.execute("UPDATE run SET start_ms = start_ms - ?1, end_ms = end_ms - ?1", (hour,))
        self.run_("run", file, expect=1)
        [(lasted, worked)] = self.store.query("SELECT end_ms - start_ms, worked_ms FROM run")
        self.assertGreaterEqual(lasted, hour)
        self.assertLessEqual(worked, lasted - hour)
        shown = self.store.run("runs", "show", "latest", expect=0).out
        self.assertRegex(shown, r"(?m)^  took +\d+(\.\d+)? m?s, 2 attempts$")

    def test_runs_that_are_not_listed_are_counted(self):
        file = self.file(SWEEP)
        many = ["--set", "matrix.slow.steps=[3,4,5,6,7]"]
        opened = self.run_("run", file, *many, expect=0).err.splitlines()
        listed = [i for i, line in enumerate(opened) if "/slow.steps=" in line]
        self.assertEqual(listed, [1, 2, 3])  # Below the sweep's own.
        self.assertEqual(opened[4], "… and 2 more")
        self.assertNotIn("more", self.run_("run", file, *many, expect=0).err)

    def test_a_failing_cell_and_keep_going(self):
        file = self.file('[stages.x]\nuses = "fail"\n[stages.y]\nuses = "emit"\n'
                         '[matrix]\ny.value = [1.0, 2.0]\n')
        failed = self.run_("run", file)
        self.assertEqual(failed.code, 1, failed)
        self.assertIn("failed: ", failed.err)
        self.assertIn("log:  ", failed.err)
        self.assertIn(f"to go on: cifarpipe run {file}", failed.err)
        self.run_("run", file, "--keep-going", expect=1)
        states = self.store.query(
            "SELECT DISTINCT name, status FROM run_stage ORDER BY name, status")
        self.assertIn(("y", "finished"), states)
        self.assertEqual({r["status"] for r in self.rows()}, {"FAILED"})
        self.check_clean()

    def test_a_linked_experiment_has_a_row_of_its_own(self):
        file = self.file(CHAIN.replace('[stages.last]\n', '[stages.last]\nexperiment = "other"\n'))
        self.run_("run", file, expect=0)
        rows = {r["experiment"]: r for r in self.rows()}
        self.assertEqual(rows["other"]["parent"], rows["chain"]["id"])


class Together(PluginCase):
    def test_two_equal_commands_make_one_run(self):
        file = self.file(CHAIN.replace("step_ms = 1", "step_ms = 60"))
        one = self.store.start("run", file, env=self.environment)
        two = self.store.start("run", file, env=self.environment)
        for process in (one, two):
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, err)
        self.assertEqual(len(self.rows()), 1)
        self.assertEqual(self.store.query("SELECT count(*) FROM attempt")[0][0], 3)

    def test_two_files_share_a_job(self):
        slow = CHAIN.replace("step_ms = 1", "step_ms = 60")
        a = self.file(slow, "a.toml")
        b = self.file(slow.replace('name = "chain"', 'name = "other"'), "b.toml")
        processes = [self.store.start("run", f, env=self.environment) for f in (a, b)]
        for process in processes:
            _, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, err)
        self.assertEqual(len(self.rows()), 2)
        self.assertEqual(self.store.query("SELECT count(*) FROM attempt")[0][0], 3)


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
