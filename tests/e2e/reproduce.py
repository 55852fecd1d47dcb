#!/usr/bin/env python3
"""`cifarpipe reproduce`: what was recorded is laid out, carried out and compared; the first
difference is named; nothing is left behind. Uses the stages of tests/plugins: `weather` depends on
a variable of the environment, which no key knows.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import unittest

from harness import PROGRAM, Store, TEST_PLUGINS, wait_until

PIPELINE = """
[pipeline]
name = "sky"
[stages.sky]
uses = "weather"
params.file = "data.txt"
[stages.slow]
uses = "slow"
params.steps = 4
params.step_ms = 0
[stages.both]
uses = "join"
inputs.first = "sky.out"
inputs.second = "slow.out"
"""


class Case(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)
        self.temporary = self.store.dir / "tmp"
        self.temporary.mkdir()
        self.environment = {"CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS),
                            "TMPDIR": str(self.temporary)}
        self.repo = self.store.dir / "repo"
        self.repo.mkdir()
        self.git("init", "--quiet")
        self.write("p.toml", PIPELINE)
        self.write("data.txt", "sunny\n")
        self.commit()

    def write(self, name, text):
        path = self.repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def git(self, *arguments):
        return subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=self.repo,
            check=True, capture_output=True, text=True).stdout

    def commit(self):
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "state")

    def call(self, *arguments, **options):
        environment = dict(self.environment, **options.pop("env", {}))
        options.setdefault("cwd", self.repo)
        return self.store.run(*arguments, env=environment, **options)

    def reproduce(self, *arguments, **options):
        return self.call("reproduce", *arguments, **options)

    def check_nothing_left(self):
        self.assertEqual(os.listdir(self.temporary), [])
        if (self.repo / ".git").is_dir():
            self.assertEqual(len(self.git("worktree", "list").splitlines()), 1)


class Same(Case):
    def test_a_clean_repository(self):
        self.call("run", "p.toml", expect=0)
        commit = self.git("rev-parse", "HEAD").strip()
        result = self.reproduce("latest", expect=0)
        self.assertIn(f"laid out from commit {commit[:12]}", result.out)
        self.assertIn("  sky   reproduced  (1 file, 5 points)\n", result.out)
        self.assertIn("  slow  reproduced  (1 file, 4 points)\n", result.out)
        self.assertIn("reproduced: 3 files, 10 points, bit for bit", result.out)
        self.assertNotIn("what differs", result.out)
        self.assertEqual(len(self.store.json("runs", "list")), 1)  # A store of its own.
        self.assertEqual(self.git("status", "--porcelain"), "")
        self.check_nothing_left()

    def test_the_state_of_then(self):
        """Not committed: a changed file, a new one, the configuration itself."""
        self.write("data.txt", "changed, not committed\n")
        self.write("new/labels of mine.txt", "untracked")
        self.write("mine.toml", PIPELINE.replace("data.txt", "new/labels of mine.txt").replace(
            "[stages.slow]", '[stages.other]\nuses = "weather"\nparams.file = "data.txt"\n'
            "[stages.slow]"))
        self.call("run", "mine.toml", expect=0)
        facts = self.store.json("runs", "show", "latest")["facts"]
        self.assertEqual(facts["git.dirty"], "true")
        self.assertEqual(facts["git.top"], str(self.repo.resolve()))
        self.assertEqual(facts["git.file"], "mine.toml")
        self.assertNotIn("git.missing", facts)
        shutil.rmtree(self.repo / "new")
        self.write("data.txt", "of another day\n")
        (self.repo / "mine.toml").unlink()
        self.commit()
        self.assertIn(" and what was changed since\n", self.reproduce("latest", expect=0).out)
        self.check_nothing_left()

    def test_a_store_in_the_repository_is_no_change(self):
        for _ in range(2):
            self.call("--runs", "runs", "run", "p.toml", "--new-run", expect=0)
        shown = json.loads(self.call("--runs", "runs", "runs", "show", "latest", "--json").out)
        self.assertEqual(shown["facts"]["git.dirty"], "false")
        self.assertFalse((pathlib.Path(shown["folder"]) / "changes.diff").exists())
        self.call("--runs", "runs", "reproduce", "latest", expect=0)
        self.check_nothing_left()

    def test_the_values_of_the_command_line(self):
        self.call("run", "p.toml", "--set", "slow.steps=7", expect=0)
        self.assertIn("(1 file, 7 points)", self.reproduce("latest", expect=0).out)

    def test_a_cell_of_a_sweep(self):
        self.write("sweep.toml", PIPELINE + "[matrix]\nslow.steps = [3, 5]\n")
        self.call("run", "sweep.toml", "--name", "sweep", expect=0)
        refused = self.reproduce("sweep", expect=2)
        self.assertIn("sweep is a sweep of 2 runs", refused.err)
        result = self.reproduce("sweep/slow.steps=5", expect=0)
        self.assertIn("(1 file, 5 points)", result.out)

    def test_a_linked_run_and_its_parent(self):
        self.write("linked.toml", PIPELINE.replace("[stages.both]",
                                                   '[stages.both]\nexperiment = "linked"'))
        self.call("run", "linked.toml", "--name", "main", expect=0)
        main = self.reproduce("main", expect=0).out
        self.assertNotIn("  both", main)
        self.assertIn("  both  reproduced", self.reproduce("main/both", expect=0).out)

    def test_a_result_of_an_earlier_run(self):
        self.call("run", "p.toml", "--name", "first", expect=0)
        self.write("after.toml", '[stages.after]\nuses = "join"\n'
                                 'inputs.first = "run:latest/sky.out"\n')
        self.call("run", "after.toml", "--name", "after", expect=0)
        self.write("data.txt", "rain\n")
        self.call("run", "p.toml", expect=0)  # From now on `latest` is another one.
        self.reproduce("after", expect=0)
        self.check_nothing_left()

    def test_what_came_from_the_net_is_taken_over(self):
        self.write("net.toml", '[stages.sky]\nuses = "weather"\n'
                               'params.url = "https://example.org/x"\n')
        self.call("run", "net.toml", expect=0)
        rain = {"CIFARPIPE_TEST_WEATHER": "0.5"}
        taken = self.reproduce("latest", env=rain, expect=0)
        self.assertIn("sky  taken over  (1 file, 5 points)", taken.out)
        self.assertIn("--fetch", taken.err)
        self.assertIn("sky  reproduced", self.reproduce("latest", "--fetch", expect=0).out)
        self.reproduce("latest", "--fetch", env=rain, expect=1)
        # What is damaged is not taken over.
        file = pathlib.Path(self.call("runs", "path", "latest", "sky.out").out.strip()) / "text.txt"
        file.chmod(0o644)
        file.write_text("1\n")
        self.assertIn("sky  reproduced", self.reproduce("latest", expect=0).out)

    def test_numerics_that_the_machine_chose(self):
        if len(os.sched_getaffinity(0)) < 2:
            self.skipTest("one core")
        self.call("run", "p.toml", expect=0)
        process = self.store.start("reproduce", "latest", env=self.environment, cwd=self.repo,
                                   preexec_fn=lambda: os.sched_setaffinity(0, {0}))
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, out + err)
        self.assertIn("  cores  ", out)
        self.assertNotIn("numerics.", out)

    def test_another_build_is_told(self):
        self.write("emit.toml", '[stages.x]\nuses = "emit"\n')
        self.call("run", "emit.toml", expect=0)
        other = {"CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS / "again")}
        result = self.reproduce("latest", env=other, expect=0)
        self.assertRegex(result.out, r"plugin\.x  emit 1\.0\.0 [0-9a-f]{12} → emit 2\.0\.0 ")

    def test_kept_on_request(self):
        self.write("tracked.toml", PIPELINE +
                   '[tracking.mlflow]\nuri = "http://127.0.0.1:9/never"\n')
        self.call("run", "tracked.toml", expect=0)
        folder = self.store.dir / "there"
        result = self.reproduce("latest", "--dir", folder, expect=0)
        self.assertIn(f"kept: {folder}", result.out)
        self.assertEqual((folder / "files/data.txt").read_text(), "sunny\n")
        self.assertNotIn("mlflow", (folder / "reproduce.toml").read_text())
        shown = self.call("--runs", folder / "runs", "runs", "show", "latest", expect=0)
        self.assertIn("reproduction", shown.out)
        again = self.reproduce("latest", "--dir", folder, expect=2)
        self.assertIn("is not an empty folder", again.err)


class Elsewhere(Case):
    def test_the_commit_is_gone(self):
        self.call("run", "p.toml", expect=0)
        shutil.rmtree(self.repo / ".git")
        result = self.reproduce("latest", expect=0)
        self.assertIn("nor in the repository of this folder", result.err)
        self.assertIn("on the files as they are now", result.out)
        self.check_nothing_left()

    def test_the_repository_has_moved(self):
        self.call("run", "p.toml", expect=0)
        moved = self.store.dir / "moved"
        self.repo.rename(moved)
        self.repo = moved
        self.write("data.txt", "rain\n")
        result = self.reproduce("latest", expect=0)
        self.assertIn("laid out from commit", result.out)
        self.check_nothing_left()

    def test_no_repository(self):
        folder = self.store.dir / "plain"
        folder.mkdir()
        (folder / "p.toml").write_text(PIPELINE)
        (folder / "data.txt").write_text("sunny\n")
        self.call("run", "p.toml", cwd=folder, expect=0)
        result = self.reproduce("latest", cwd=folder, expect=0)
        self.assertIn("was not run from a git repository", result.err)
        self.check_nothing_left()

    def test_a_repository_that_takes_no_worktree(self):
        self.call("run", "p.toml", expect=0)
        (self.repo / ".git/worktrees").write_text("in the way")
        self.write("data.txt", "rain\n")
        self.assertIn("laid out", self.reproduce("latest", expect=0).out)
        self.assertEqual(os.listdir(self.temporary), [])

    def test_changes_that_cannot_be_applied(self):
        self.write("data.txt", "rain\n")
        self.call("run", "p.toml", expect=0)
        folder = pathlib.Path(self.store.json("runs", "show", "latest")["folder"])
        (folder / "changes.diff").write_text("no patch\n")
        refused = self.reproduce("latest", expect=3)
        self.assertIn("cannot be applied", refused.err)
        self.assertIn("--here", refused.err)
        self.check_nothing_left()
        self.reproduce("latest", "--here", expect=0)


class Different(Case):
    def setUp(self):
        super().setUp()
        self.call("run", "p.toml", expect=0)

    def test_the_first_point_that_differs(self):
        result = self.reproduce("latest", env={"CIFARPIPE_TEST_WEATHER": "0.5"}, expect=1)
        self.assertIn("not reproduced: sky/loss at step 3 was 0.3333333333333333 and is "
                      "0.8333333333333333\n", result.out)
        self.assertRegex(result.out, r"  sky   differs     loss at step 3 .*; its file differs")
        self.assertIn("  slow  reproduced", result.out)
        self.assertIn("  both  differs     after sky: bytes at step 0", result.out)
        self.assertIn("nothing that was recorded differs in the environment", result.out)
        kept = list(self.temporary.iterdir())
        self.assertEqual(len(kept), 1)
        self.assertIn(f"kept: {kept[0]}", result.out)
        self.assertTrue((kept[0] / "files/p.toml").exists())

    def test_as_json(self):
        result = self.reproduce("latest", "--json", env={"CIFARPIPE_TEST_WEATHER": "0.5"}, expect=1)
        told = json.loads(result.out)
        self.assertEqual(result.err, "")
        self.assertEqual(told["verdict"], "differs")
        self.assertTrue(told["first"].startswith("sky/loss at step 3"))
        stages = {s["stage"]: s for s in told["stages"]}
        self.assertEqual(stages["sky"]["differing_metrics"],
                         [{"metric": "loss", "step": 3, "recorded": 1 / 3,
                           "reproduced": 1 / 3 + 0.5}])
        self.assertEqual(stages["sky"]["differing_files"], ["out/text.txt"])
        self.assertEqual((stages["slow"]["verdict"], stages["both"]["after"]),
                         ("reproduced", "sky"))
        self.assertTrue(os.path.isdir(told["kept"]))
        same = json.loads(self.reproduce("latest", "--json", expect=0).out)
        self.assertEqual((same["verdict"], same["first"], same["kept"]), ("reproduced", None, None))

    def test_a_tolerance(self):
        rain = {"CIFARPIPE_TEST_WEATHER": "0.001"}
        # `both` counts bytes, and its file is longer by those of "0.001".
        close = self.reproduce("latest", "--tolerance", "4", env=rain, expect=0)
        self.assertIn("within 4.0; 1 file of other bytes", close.out)
        far = self.reproduce("latest", "--tolerance", "1e-4", env=rain, expect=1)
        self.assertIn("sky/loss at step 3", far.out)

    def test_the_files_as_they_are_now(self):
        self.write("data.txt", "rain\n")
        result = self.reproduce("latest", "--here", expect=1)
        self.assertIn("not reproduced: sky: out/text.txt was ", result.out)
        self.assertRegex(result.out, r"data\.sky\.file +sha256:[0-9a-f]{12} → sha256:[0-9a-f]{12}\n")
        (self.repo / "data.txt").unlink()
        gone = self.reproduce("latest", "--here", expect=3)
        self.assertIn("the recorded state cannot be carried out here", gone.err)
        self.assertIn("data.txt", gone.err)

    def test_a_stage_that_fails(self):
        result = self.reproduce("latest", env={"CIFARPIPE_TEST_WEATHER": "-1"}, expect=1)
        self.assertIn("not reproduced: sky failed: it rains", result.out)
        self.assertIn("  sky   differs     has no result", result.out)

    def test_plugins_that_are_gone(self):
        result = self.reproduce("latest", env={"CIFARPIPE_PLUGIN_PATH": ""}, expect=3)
        self.assertIn("do not take the recorded configuration", result.err)
        self.check_nothing_left()


class Usage(Case):
    def test_what_is_refused(self):
        self.assertIn("no runs yet", self.reproduce("latest", expect=2).err)
        self.call("run", "p.toml", "--name", "first", expect=0)
        self.assertIn("did you mean 'first'", self.reproduce("frist", expect=2).err)
        self.assertIn("'cifarpipe reproduce' needs RUN", self.reproduce(expect=2).err)
        for wrong, sentence in ((("--build",), "no ./cifarpipe"),
                                (("--build", "--here"), "choose one"),
                                (("--secret", "x"), "STAGE.PARAM=NAME"),
                                (("--secret", "sky.foo=NOPE"), "--secret sky.foo=NOPE: stage "
                                 "'sky' has no secret parameter 'foo'"),
                                (("--secret", "ksy.foo=NOPE"), "first has no stage 'ksy'"),
                                *(((f"--tolerance={x}",), f"error: --tolerance {x}: a number of 0 "
                                   "or more is expected\n") for x in ("-1", "x", "nan", "inf")),
                                (("--dir", "."), "is not an empty folder")):
            with self.subTest(wrong=wrong):
                self.assertIn(sentence, self.reproduce("first", *wrong, expect=2).err)
        self.check_nothing_left()

    def test_a_folder_for_temporary_files_that_is_not_there(self):
        self.call("run", "p.toml", expect=0)
        said = self.reproduce("latest", env={"TMPDIR": "/nope"}, expect=3).err
        self.assertIn("there is no folder '/nope' for what is laid out, which TMPDIR names", said)

    def test_a_run_that_is_not_finished(self):
        self.write("fails.toml", '[stages.x]\nuses = "fail"\n')
        self.call("run", "fails.toml", expect=1)
        self.assertIn("is FAILED", self.reproduce("latest", expect=2).err)

    def test_signals_leave_nothing_behind(self):
        self.write("long.toml", PIPELINE.replace("steps = 4", "steps = 300").replace(
            "step_ms = 0", "step_ms = 10"))
        self.call("run", "long.toml", expect=0)
        for way, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with self.subTest(way=way):
                process = self.store.start("reproduce", "latest", env=self.environment,
                                           cwd=self.repo)
                wait_until(lambda: list(self.temporary.glob("*/runs/store/partial/*")),
                           what="a stage with a checkpoint")
                os.killpg(process.pid, way)
                _, err = process.communicate(timeout=60)
                self.assertEqual(process.returncode, code, err)
                self.check_nothing_left()
                self.assertEqual(self.others(), [])

    def others(self):
        """Processes that still know the folder."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if str(self.temporary).encode() in (entry / "cmdline").read_bytes():
                    found.append(entry.name)
            except OSError:
                pass
        return found


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
