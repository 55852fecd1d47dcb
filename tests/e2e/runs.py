#!/usr/bin/env python3
"""`cifarpipe runs`: finding, comparing, plotting and exporting what was run, and what each command
says when it is called wrongly. Uses the stages of tests/plugins, which need no time."""

import csv
import fcntl
import io
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import unittest
import xml.etree.ElementTree

from harness import CHAIN, PROGRAM, Store, TEST_PLUGINS, wait_until

CHAIN = CHAIN[:CHAIN.index("[stages.last]")]


class Runs(unittest.TestCase):
    """Three runs in one store, made once: one, two (more steps), and a sweep of two cells."""

    @classmethod
    def setUpClass(cls):
        cls.store = Store()
        cls.addClassCleanup(cls.store.__exit__)
        cls.environment = {"CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS)}
        file = cls.store.write("p.toml", CHAIN)
        cls.run_("run", file, "--name", "one", "--tag", "kept=yes", expect=0)
        cls.run_("run", file, "--name", "two", "--set", "slow.steps=9", expect=0)
        cls.run_("run", file, "--name", "again", "--no-cache", expect=0)
        sweep = cls.store.write("s.toml", CHAIN + "[matrix]\nfirst.value = [0.25, 0.5]\n")
        cls.run_("run", sweep, "--name", "sweep", expect=0)

    @classmethod
    def run_(cls, *arguments, **options):
        return cls.store.run(*arguments, env=cls.environment, **options)

    def out(self, *arguments):
        return self.run_("runs", *arguments, expect=0).out

    def names(self, *arguments):
        return [r["name"] for r in json.loads(self.out("list", "--json", *arguments))]

    def wrong(self, *arguments):
        """What a wrong call says, on stderr alone."""
        result = self.run_("runs", *arguments, expect=2)
        self.assertEqual(result.out, "")
        return result.err


class List(Runs):
    def test_where(self):
        self.assertEqual(self.names("--where", "params.slow.steps = 9"), ["two"])
        self.assertEqual(self.names("--where", "metrics.slow/loss.points > 6"), ["two"])
        self.assertEqual(self.names("--where", "metrics.first/value < 1"),
                         ["sweep/first.value=0.5", "sweep/first.value=0.25"])
        self.assertEqual(self.names("--where", "tags.kept = yes or parent = sweep and "
                                    "first/value = 0.5"), ["sweep/first.value=0.5", "one"])
        self.assertEqual(self.names("--where", "first/value is nan"), [])
        self.assertIn("no such runs", self.out("list", "--where", "status = failed"))

    def test_a_mistake_is_pointed_at(self):
        self.assertEqual(
            self.wrong("list", "--where", "status = finished and slow/los > 1"),
            "--where:1:23: error: no run has a metric 'slow/los'; did you mean 'slow/loss'?\n"
            "    1 | status = finished and slow/los > 1\n"
            "      |                       ^~~~~~~~\n")
        self.assertIn("--sort:1:1: error: 'statsu' is nothing that a run has; did you mean "
                      "'status'?", self.wrong("list", "--sort", "statsu:desc"))
        self.assertIn("--columns:1:8: error: no run has a parameter 'slow.stepps'; did you mean "
                      "'slow.steps'?", self.wrong("list", "--columns", "status,slow.stepps"))

    def test_sort_and_limit(self):
        self.assertEqual(self.names("--sort", "slow.steps:desc", "--limit", "1"), ["two"])
        lines = self.out("list", "--sort", "first/value", "--limit", "2").splitlines()
        self.assertRegex(lines[1], r"^sweep/first.value=0.25 ")
        self.assertRegex(lines[2], r"^sweep/first.value=0.5 ")
        self.assertEqual(lines[3], "… 4 more (--limit 6 shows all)")

    def test_tree_and_flat(self):
        lines = self.out("list").splitlines()
        self.assertRegex(lines[0], r"^RUN +STATUS +STARTED +TOOK")
        self.assertRegex(lines[1], r"^sweep  ")
        self.assertRegex(lines[2], r"^  first.value=0.25 ")
        self.assertRegex(lines[3], r"^  first.value=0.5 ")
        flat = self.out("list", "--flat")
        self.assertIn("\nsweep/first.value=0.25 ", flat)

    def test_columns(self):
        table = self.out("list", "--columns", "status,slow.steps,first/value,tags.kept", "--flat")
        lines = table.splitlines()
        self.assertEqual(lines[0].split(), ["RUN", "status", "slow.steps", "first/value",
                                            "tags.kept"])
        self.assertEqual(lines[-1].split(), ["one", "FINISHED", "6", "1", "yes"])

    def test_csv(self):
        rows = list(csv.DictReader(io.StringIO(self.out("list", "--csv"))))
        self.assertEqual(len(rows), 6)
        two = next(r for r in rows if r["name"] == "two")
        self.assertEqual((two["status"], two["params.slow.steps"]), ("FINISHED", "9"))
        shown = self.store.json("runs", "show", "two")
        self.assertEqual(float(two["metrics.slow/loss"]), shown["metrics"]["slow/loss"]["last"])
        self.assertRegex(two["start"], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$")
        self.assertEqual(self.out("list", "--csv", "--columns", "name,slow.steps", "--limit", "1",
                                  "--sort", "slow.steps:desc"), "name,params.slow.steps\ntwo,9\n")

    def test_wrong_usage(self):
        for arguments, said in [
            (["list", "--json", "--csv"], "--json and --csv exclude each other"),
            (["list", "--json", "--columns", "name"], "--columns is for tables and --csv"),
            (["list", "--limit", "0"], "'0' is not a whole number from 1"),
            (["list", "--status", "done"], "'done' is not running, finished, failed or killed"),
            (["list", "--wher", "x"], "no option '--wher'; did you mean '--where'?"),
            (["list", "x"], "does not know what to do with 'x'"),
        ]:
            self.assertIn(said, self.wrong(*arguments))


class Compare(Runs):
    def test_only_what_differs(self):
        text = self.out("compare", "one", "two")
        self.assertRegex(text, r"(?m)^A  one +FINISHED")
        self.assertRegex(text, r"(?m)^  slow.steps +6 +9$")
        self.assertRegex(text, r"(?m)^  slow/loss +[▁▂▃▄▅▆▇█]{6} +\S+ +[▁▂▃▄▅▆▇█]{9} +\S+ "
                               r"+-\S+ +step 7$")
        self.assertRegex(text, r"(?m)^  slow.out +[0-9a-f]{12} +[0-9a-f]{12}$")
        self.assertNotIn("first.text", text)
        self.assertNotIn("host", text)
        everything = self.out("compare", "one", "two", "--all")
        self.assertIn("first.text", everything)
        self.assertIn("host", everything)

    def test_equal_runs_are_said_to_be_equal(self):
        text = self.out("compare", "one", "again")
        self.assertRegex(text, r"nothing differs: \d+ parameters, 7 points of 2 metrics, the source")
        self.assertEqual(self.out("compare", "one", "again", "--json").count('"equal": true'), 1)

    def test_many_runs_fit_on_a_terminal(self):
        names = ["one", "two", *(row["name"] for row in
                                 json.loads(self.out("list", "--json")) if "/" in row["name"])]
        # First the little curves go, then the differences; the values stay.
        for columns, words in ((200, 4 + 4 + 3 + 2), (80, 4 + 3), (50, 4)):
            lines = on_terminal(self.store, self.environment, "runs", "compare", *names,
                                columns=columns)
            self.assertLessEqual(max(map(len, lines)), columns)
            shown = next(line for line in lines if line.startswith("  slow/loss"))
            self.assertEqual(len(shown.split()), 1 + words, shown)

    def test_json(self):
        c = json.loads(self.out("compare", "one", "two", "again", "--json"))
        self.assertEqual([r["name"] for r in c["runs"]], ["one", "two", "again"])
        self.assertEqual(c["params"], {"slow.steps": ["6", "9", "6"]})
        self.assertEqual(c["metrics"]["slow/loss"]["points"], [6, 9, 6])
        self.assertFalse(c["equal"])

    def test_wrong_usage(self):
        for arguments, said in [
            (["compare"], "'cifarpipe runs compare' needs RUN"),
            (["compare", "one"], "needs two runs or more"),
            (["compare", "one", "one"], "'one' is named twice"),
            (["compare", "one", "tow"], "there is no run 'tow'; did you mean 'two'?"),
        ]:
            self.assertIn(said, self.wrong(*arguments))


class Plot(Runs):
    def test_in_the_terminal(self):
        text = self.out("plot", "one", "slow/loss")
        lines = text.splitlines()
        self.assertEqual(lines[0], "slow/loss")
        self.assertRegex(text, r"[⠁-⣿]")
        self.assertRegex(text, r"(?m)^ +step$")
        self.assertRegex(text, r"  ⠒⠒ one  last 0\.\d+, least 0\.\d+ at 6, most 1\.?\d* at 1\n$")
        self.assertNotIn("\x1b", text)
        self.assertTrue(all(len(line) <= 80 for line in lines[:-1]), text)

    def test_several_runs_and_keys(self):
        text = self.out("plot", "one", "two", "slow/loss", "first/value")
        for name in ("● one slow/loss", "○ one first/value", "▲ two slow/loss"):
            self.assertIn(name, text)
        self.assertIn("⠒⠒ sweep/first.value=0.5  last 0.5",
                      self.out("plot", "sweep/first.value=0.5", "first/value"))

    def test_the_latest_run_by_default_and_options(self):
        lines = self.out("plot", "one", "slow/loss", "--log", "--width", "50", "--height", "12",
                         "--x", "time").splitlines()
        self.assertEqual(lines[0], "slow/loss (log)")
        self.assertEqual(len(lines), 12 + 1)
        self.assertIn("time since the first point (s)", lines[-2])

    def test_svg(self):
        said = self.out("plot", "one", "two", "slow/loss", "--svg", "loss.svg")
        self.assertEqual(said, "loss.svg\n")
        root = xml.etree.ElementTree.parse(self.store.dir / "loss.svg").getroot()
        spaces = {"svg": "http://www.w3.org/2000/svg"}
        self.assertEqual(len(root.findall("svg:polyline", spaces)), 2)
        texts = ["".join(t.itertext()) for t in root.findall("svg:text", spaces)]
        self.assertIn("step", texts)
        self.assertTrue(any(t.startswith("one  last ") for t in texts), texts)
        self.assertEqual(self.out("plot", "one", "slow/loss", "--svg", "loss.svg"), said)  # Again.
        printed = self.out("plot", "one", "slow/loss", "--svg", "-")
        self.assertEqual(printed, (self.store.dir / "loss.svg").read_text())

    def test_wrong_usage(self):
        for arguments, said in [
            (["plot"], "'cifarpipe runs plot' needs RUN|KEY"),
            (["plot", "one"], "which metric? one has: first/value, slow/loss"),
            (["plot", "one", "slow/los"], "no run has a metric 'slow/los', and none is called so; "
                                          "did you mean 'slow/loss'?"),
            (["plot", "sweep", "first/value"], "sweep has no metrics of its own; the runs below it "
                                               "have, such as sweep/first.value=0.25\n"),
            (["plot", "oen", "slow/loss"], "there is no run 'oen'; did you mean 'one'?"),
            (["plot", "one", "slow/loss", "--width", "3"], "'3' is not a whole number from 40"),
            (["plot", "one", "slow/loss", "--x", "epoch"], "'epoch' is not step or time"),
            (["plot", "one", "slow/loss", "--svg", "no/where.svg"], "there is no folder 'no'"),
        ]:
            self.assertIn(said, self.wrong(*arguments))


class Change(Runs):
    def test_a_run_that_becomes_a_cell_keeps_its_name(self):
        sweep = self.store.write("t.toml", CHAIN + "[matrix]\nslow.steps = [6, 9]\n")
        self.run_("run", sweep, "--name", "both", expect=0)
        self.assertEqual(set(self.names("--where", "name contains both or slow.steps = 9")),
                         {"both", "two"})

    def test_tag_note_rename(self):
        self.run_("run", self.store.dir / "p.toml", "--name", "mine", "--new-run", expect=0)
        self.assertEqual(self.out("tag", "mine", "b=2", "a=1"), "mine has the tags a=1 b=2\n")
        self.assertEqual(self.out("tag", "mine", "b="), "mine has the tags a=1\n")
        self.assertEqual(self.out("tag", "mine", "a="), "mine has no tags\n")
        self.assertEqual(self.out("note", "mine", "good"), "mine has a note\n")
        self.assertEqual(self.out("note", "mine", ""), "mine has no note\n")
        self.assertEqual(self.out("rename", "mine", "one"), "mine is now one-2 (one is taken)\n")
        self.assertEqual(self.out("rename", "one-2", "mine"), "one-2 is now mine\n")

    def test_delete_and_restore(self):
        said = self.out("delete", "sweep")
        self.assertTrue(said.startswith("sweep and 2 below it deleted\n"), said)
        self.assertNotIn("sweep", self.names())
        self.assertIn("sweep/first.value=0.5", self.names("--all"))
        self.assertIn("sweep is deleted already", self.out("delete", "sweep"))
        self.assertEqual(self.out("restore", "sweep"), "sweep and 2 below it restored\n")
        self.assertEqual(self.out("restore", "sweep"), "sweep is not deleted\n")
        self.assertIn("sweep/first.value=0.5", self.names())

    def test_wrong_usage(self):
        for arguments, said in [
            (["tag", "one"], "'cifarpipe runs tag' needs TAG"),
            (["tag", "one", "x"], "'x' is not a tag: write key=value, or key= to take it away"),
            (["tag", "one", "=x"], "'=x' is not a tag"),
            (["note", "one"], "'cifarpipe runs note' needs TEXT"),
            (["rename", "one", "latest"], "a run cannot be called 'latest'"),
            (["rename", "nobody", "x"], "there is no run 'nobody'"),
            (["delete"], "'cifarpipe runs delete' needs RUN"),
            (["restore", "nobody"], "there is no run 'nobody'"),
            (["show"], "'cifarpipe runs show' needs RUN"),
            (["logs"], "'cifarpipe runs logs' needs RUN"),
            (["metrics", "one", "slow/los"], "one has no metric 'slow/los'; did you mean"),
            (["path", "one", "slwo"], "one has no stage 'slwo'; did you mean 'slow'?"),
            (["lsit"], "unknown command 'lsit'; did you mean 'list'?"),
        ]:
            self.assertIn(said, self.wrong(*arguments))


class Machine(Runs):
    def test_a_log_that_is_gone_is_no_failed_stage(self):
        self.run_("run", self.store.dir / "p.toml", "--name", "gone", "--new-run", expect=0)
        os.unlink(os.path.join(self.out("path", "gone").strip(), "run.log"))
        self.assertRegex(self.run_("runs", "logs", "gone", expect=3).err,
                         r"^cifarpipe: error: cannot read .*/run.log: No such file or directory\n$")


class Words(Runs):
    def test_a_command_s_name_is_an_argument_after_another_command(self):
        self.assertIn("one has no stage 'export'", self.wrong("path", "one", "export"))
        self.assertIn("there is no run 'list'", self.wrong("compare", "one", "list"))
        self.assertIn("'run' is not a tag", self.wrong("tag", "one", "run"))
        self.assertEqual(self.out("note", "one", "sync"), "one has a note\n")
        self.assertIn("does not know what to do with 'show'", self.wrong("list", "show"))

    def test_options_of_every_command_may_come_last(self):
        self.assertEqual(self.out("path", "one"),
                         self.out("path", "one", "--runs", self.store.runs))


class Empty(unittest.TestCase):
    def test_a_store_without_runs(self):
        with Store() as store:
            self.assertEqual(store.run("runs", "list", expect=0).out,
                             f"no runs yet in {store.runs}\n")
            self.assertEqual(store.json("runs", "list"), [])
            self.assertEqual(store.run("runs", "list", "--csv", expect=0).out, "")
            self.assertIn("--where:1:7: error: expected a value after '='",
                          store.run("runs", "list", "--where", "name =", expect=2).err)
            for words in (["compare", "a", "b"], ["plot", "a", "b/c"], ["export", "a"],
                          ["show", "a"], ["delete", "a"]):
                self.assertIn("no runs yet in ", store.run("runs", *words, expect=2).err)
            self.assertFalse(store.runs.exists())  # Asking makes nothing.


class Attempts(unittest.TestCase):
    def test_a_killed_attempt_is_kept_and_shown(self):
        with Store() as store:
            environment = {"CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS)}
            text = CHAIN.replace("step_ms = 1", "step_ms = 20").replace(
                "checkpoint_every = 2", "checkpoint_every = 0").replace("steps = 6", "steps = 500")
            file = store.write("p.toml", text)
            process = store.start("run", file, env=environment)
            wait_until(lambda: (store.runs / "cifarpipe.db").exists() and has_points(store),
                       what="a point in the database")
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.assertEqual(store.json("runs", "list")[0]["status"], "KILLED")
            store.run("run", file, "--set", "slow.step_ms=0", env=environment, expect=0)
            shown = store.run("runs", "show", "latest", expect=0).out
            self.assertRegex(shown, r"(?m)^  slow +1  killed +.* UTC +the beginning +\d+ +\d+$")
            self.assertRegex(shown, r"(?m)^  slow +2  finished .* the beginning +500$")
            slow = store.json("runs", "show", "latest")["stages"][1]
            first, second = slow["history"]
            self.assertEqual((first["status"], second["status"]), ("killed", "finished"))
            self.assertGreater(first["superseded"], 0)
            self.assertEqual(first["superseded"], first["points"])
            self.assertEqual((second["points"], second["superseded"]), (500, 0))
            self.assertEqual(len(store.json("runs", "metrics", "latest", "slow/loss")), 500)
            everything = json.loads(store.run("runs", "export", "latest", expect=0).out)
            self.assertEqual(len(everything["runs"][0]["points"]["slow/loss"]),
                             500 + first["points"])


def on_terminal(store, environment, *arguments, columns):
    """The lines that the program prints on a terminal of this width, without their colours."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    env = dict(store.environment(environment), TERM="xterm", NO_COLOR="")
    process = subprocess.Popen([PROGRAM, *arguments], stdout=its, cwd=store.dir, env=env)
    os.close(its)
    text = b""
    try:
        while piece := os.read(ours, 65536):
            text += piece
    except OSError:
        pass  # The other end is closed.
    os.close(ours)
    process.wait(30)
    assert b"\x1b[" in text
    return re.sub(r"\x1b\[\d+m|\r", "", text.decode()).splitlines()


def has_points(store):
    try:
        return store.query("SELECT count(*) FROM point JOIN metric ON metric.id = metric_id "
                           "WHERE name = 'loss'")[0][0] > 0
    except Exception:  # Not made yet.
        return False


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
