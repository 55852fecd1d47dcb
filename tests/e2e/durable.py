#!/usr/bin/env python3
"""What is promised about the store whatever happens around it: dead runs are marked and live ones
never, from another container either; readers, also those who may not write, and a second program; a
full disk; metrics reach the database within a second; what is not finite is kept and found.

Uses the stages of tests/plugins. Containers are namespaces (`unshare`), which need a right that not
every machine gives: those tests are skipped there. As root, whoever may not write is `nobody`.
"""

import contextlib
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

from harness import PluginCase, PROGRAM, wait_until, workers_of

SLOW = """
[pipeline]
name = "NAME"
[stages.slow]
uses = "slow"
params.steps = STEPS
params.step_ms = 5
params.checkpoint_every = 20
[stages.last]
uses = "join"
inputs.first = "slow.out"
"""


def slow(name, steps):
    return SLOW.replace("NAME", name).replace("STEPS", str(steps))


UNPRIVILEGED = ([] if os.geteuid() != 0 else
                ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])


def can_look_unprivileged():
    """Not where nobody may even reach the program."""
    try:
        return subprocess.run([*UNPRIVILEGED, PROGRAM, "--version"],
                              capture_output=True).returncode == 0
    except OSError:
        return False


def can_unshare(*options):
    try:
        return subprocess.run(["unshare", *options, "true"], capture_output=True).returncode == 0
    except OSError:
        return False


class Case(PluginCase):
    def start(self, *arguments):
        process = self.store.start(*arguments, env=self.environment)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        for pid in workers_of(process.pid) + [process.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def points(self):
        try:
            db = sqlite3.connect(f"file:{self.store.runs}/cifarpipe.db?mode=ro", uri=True)
            with contextlib.closing(db):
                return db.execute("SELECT count(*), max(time_ms) FROM point").fetchone()
        except sqlite3.OperationalError:  # Not there yet.
            return 0, None

    def status(self):
        return self.store.json("runs", "show", "latest")["status"]


class Dead(Case):
    def kill_in_mid_run(self):
        process = self.start("run", self.store.write("p.toml", slow("p", 2000)))
        wait_until(lambda: self.points()[0] > 30, what="some points")
        workers = workers_of(process.pid)
        process.kill()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        process.wait()

    def test_the_next_command_marks_it_with_its_last_sign_of_life(self):
        self.kill_in_mid_run()
        killed = time.time() * 1000
        alive = next(self.store.runs.glob("*_p_*/alive"))
        # It is touched once a second while the run is alive.
        self.assertLess(abs(killed - alive.stat().st_mtime * 1000), 3000)
        self.assertEqual(self.store.query("SELECT status FROM run"), [("RUNNING",)])
        # Some other time than that of the file, but not before the run began.
        sign_of_life = self.store.query("SELECT start_ms FROM run")[0][0] + 123
        os.utime(alive, ns=(sign_of_life * 1_000_000,) * 2)
        listed = self.store.json("runs", "list")  # Any command.
        self.assertEqual([(r["status"], r["end"]) for r in listed], [("KILLED", sign_of_life)])
        shown = self.store.json("runs", "show", "latest")
        self.assertEqual([s["status"] for s in shown["stages"] if s["name"] == "slow"], ["killed"])

    def test_it_goes_on_as_the_same_run_with_each_point_once(self):
        self.kill_in_mid_run()
        file = self.store.dir / "p.toml"
        self.run_("run", file, expect=0)
        rows = self.store.json("runs", "list")
        self.assertEqual([r["status"] for r in rows], ["FINISHED"])
        shown = self.store.json("runs", "show", "latest")
        attempts = {s["name"]: s["attempts"] for s in shown["stages"]}
        self.assertEqual(attempts, {"slow": 2, "last": 1})
        self.assertEqual(shown["attempt"], 2)
        points = self.store.json("runs", "metrics", "latest", "slow/loss")
        self.assertEqual([p[0] for p in points], list(range(1, 2001)))
        kept = self.store.query("SELECT count(*) FROM point JOIN metric ON metric.id = metric_id "
                                "WHERE name = 'loss'")[0][0]
        hidden = self.store.query("SELECT count(*) FROM point WHERE superseded")[0][0]
        self.assertEqual(kept, 2000 + hidden)


class Alive(Case):
    def setUp(self):
        super().setUp()
        self.process = self.start("run", self.store.write("p.toml", slow("p", 100_000)))
        wait_until(lambda: self.points()[0] > 0, what="the first points")

    def elsewhere(self, options, script):
        return subprocess.run(
            ["unshare", *options, "sh", "-ec", script], capture_output=True, text=True, timeout=60,
            env=self.store.environment(self.environment), cwd=self.store.dir)

    def check_alive(self, listed):
        self.assertEqual(listed.returncode, 0, listed.stderr)
        self.assertEqual([r["status"] for r in json.loads(listed.stdout)], ["RUNNING"])
        self.assertEqual(self.status(), "RUNNING")
        self.process.terminate()
        _, err = self.process.communicate(timeout=60)
        self.assertEqual(self.process.returncode, 143, err)
        self.assertEqual(self.status(), "KILLED")

    @unittest.skipUnless(can_unshare("-r", "-p", "-f", "--mount-proc"), "no namespaces")
    def test_a_container_that_cannot_see_its_process(self):
        program = shlex.quote(str(PROGRAM))
        self.check_alive(self.elsewhere(
            ["-r", "-p", "-f", "--mount-proc", "-u", "-i"],
            f"{program} runs list --json"))

    @unittest.skipUnless(can_unshare("-r", "-m", "-p", "-f"), "no namespaces")
    def test_a_container_that_has_the_store_at_another_place(self):
        other = self.store.dir / "mounted"
        other.mkdir()
        here, there = shlex.quote(str(self.store.runs)), shlex.quote(str(other))
        program = shlex.quote(str(PROGRAM))
        # The first place is empty there, as in a container that has never heard of it.
        self.check_alive(self.elsewhere(
            ["-r", "-m", "-p", "-f"],
            f"mount --bind {here} {there}; mount -t tmpfs none {here}; "
            f"{program} --runs {there} runs list --json"))

    def test_another_command_on_the_same_file_waits(self):
        second = self.start("run", self.store.dir / "p.toml")
        self.assertIn("is being carried out by another cifarpipe", second.stderr.readline())
        second.terminate()
        self.assertEqual(second.wait(60), 143)
        self.assertEqual(self.status(), "RUNNING")


class Together(Case):
    def test_many_readers_and_a_second_program(self):
        files = [self.store.write(f"{name}.toml", slow(name, 300)) for name in ("a", "b")]
        processes = [self.start("run", f) for f in files]
        wait_until(lambda: self.points()[0] > 0, what="the first points")
        heard, stop = [], threading.Event()

        def read():
            while not stop.is_set():
                result = self.store.run("runs", "list", "--json")
                heard.append((result.code, result.err))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        # What changes rows comes in between as well.
        for n in range(10):
            self.run_("runs", "tag", "latest", f"n={n}", expect=0)
        for process in processes:
            _, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
            self.assertNotIn("locked", err)
        stop.set()
        for reader in readers:
            reader.join()
        self.assertGreater(len(heard), 3)
        self.assertEqual(set(heard), {(0, "")})
        counts = {r["name"]: r["status"] for r in self.store.json("runs", "list")}
        self.assertEqual(set(counts.values()), {"FINISHED"})
        self.assertEqual(self.store.query("PRAGMA integrity_check"), [("ok",)])


@unittest.skipUnless(can_look_unprivileged(), "no setpriv, or the program is out of nobody's reach")
class ReadOnly(Case):
    """A store that others may read but not write."""

    LOOKS = [["list", "--json"], ["show", "p", "--json"], ["metrics", "p", "slow/loss", "--json"],
             ["export", "p"], ["plot", "p", "slow/loss"], ["compare", "p", "q"], ["logs", "p"],
             ["path", "p", "slow.out"]]

    def setUp(self):
        super().setUp()
        for name in ("p", "q"):
            file = self.store.write(f"{name}.toml", slow(name, 5 if name == "p" else 6))
            self.run_("run", file, "--name", name, expect=0)
        self.store.dir.chmod(0o755)
        self.addCleanup(self.set_writable, True)
        self.privileged = [self.store.run("runs", *words, expect=0).out for words in self.LOOKS]
        self.set_writable(False)

    def set_writable(self, yes):
        """For root, nobody's rights are what matters, which are none from the start."""
        if os.geteuid() != 0:
            for path in [self.store.runs, *self.store.runs.rglob("*")]:
                if not path.is_symlink():
                    path.chmod(path.stat().st_mode | 0o200 if yes else path.stat().st_mode & ~0o222)

    def look(self, *words, expect=0):
        done = subprocess.run([*UNPRIVILEGED, PROGRAM, *words], text=True, capture_output=True,
                              env=self.store.environment(), cwd="/", timeout=60)
        self.assertEqual(done.returncode, expect, done)
        return done.stdout if expect == 0 else done.stderr

    def files(self):
        return sorted(str(path) for path in self.store.runs.rglob("*"))

    def test_everything_can_be_looked_at(self):
        before = self.files()
        for words, out in zip(self.LOOKS, self.privileged):
            with self.subTest(words=words):
                self.assertEqual(self.look("runs", *words), out)
        self.assertRegex(self.look("runs", "list"), r"(?m)^q +")
        self.assertIn("</html>", self.look("report", "p", "q", "-o", "-"))
        self.assertEqual(self.files(), before)

    def test_what_changes_something_says_that_it_cannot(self):
        for words in (["tag", "p", "a=1"], ["rename", "p", "x"], ["delete", "p"]):
            self.assertRegex(self.look("runs", *words, expect=3),
                             r"^cifarpipe: error: cannot write the database [^\n]+\n$")

    def test_beside_a_writer_its_newest_state_is_seen(self):
        self.set_writable(True)
        with contextlib.closing(sqlite3.connect(self.store.runs / "cifarpipe.db")) as db:
            db.execute("UPDATE run SET note = 'just now' WHERE name = 'p'")
            db.commit()
            self.assertGreater((self.store.runs / "cifarpipe.db-wal").stat().st_size, 0)
            self.set_writable(False)
            self.assertIn("just now", self.look("runs", "show", "p"))
            self.set_writable(True)

    def test_an_older_database_is_told(self):
        self.set_writable(True)
        with contextlib.closing(sqlite3.connect(self.store.runs / "cifarpipe.db")) as db:
            db.execute("PRAGMA user_version = 3")
        self.set_writable(False)
        self.assertIn("was written by an older cifarpipe (database version 3",
                      self.look("runs", "list", expect=3))


class Metrics(Case):
    def test_within_a_second_they_are_in_the_database(self):
        """It is synced at each commit (tests/unit/power_loss.cpp): what a power cut takes is what
        has not got there, and that is never older than a second."""
        self.start("run", self.store.write("p.toml", slow("p", 100_000)))
        wait_until(lambda: self.points()[0] > 0, what="the first points")
        ages, end = [], time.monotonic() + 4
        while time.monotonic() < end:
            newest = self.points()[1]
            ages.append(time.time() * 1000 - newest)
            time.sleep(0.01)
        self.assertGreater(len(ages), 50)
        self.assertLess(max(ages), 1000)

    def test_what_is_not_a_number_is_kept_and_found(self):
        self.run_("run", self.store.write("p.toml", '[stages.x]\nuses = "weather"\n'
                                                    "params.steps = 4\nparams.nan_at = 2\n"),
                  expect=0)
        ask = self.store.query
        self.assertEqual(ask("SELECT step FROM run_metrics WHERE is_nan"), [(2,)])
        self.assertEqual(ask("SELECT step FROM run_metrics WHERE key = 'x/loss' AND value < 2"),
                         [(1,), (3,), (4,)])
        self.assertEqual(ask("SELECT min, max, is_nan FROM run_metric_summary "
                             "WHERE key = 'x/loss'"), [(0.25, 1.0, 0)])
        points = self.store.json("runs", "metrics", "latest", "x/loss")
        self.assertEqual([p[2] for p in points], [1.0, "nan", 1 / 3, 0.25])


@unittest.skipUnless(can_unshare("-r", "-m"), "no namespaces")
class FullDisk(Case):
    """A disk that is really full: a small file system in memory."""

    SIZES = ["100k", "300k", "600k", "1200k", "1500k", "1800k", "2m", "3m", "4m"]
    SCRIPT = """
mount -t tmpfs -o size={size} none {disk}
code=0
{program} --runs {disk}/runs run {file} >out 2>err || code=$?
mount -o remount,size=64m {disk}
echo "$code"
if test "$code" != 0; then {program} --runs {disk}/runs run {file} >out2 2>err2; fi
{program} --runs {disk}/runs verify >/dev/null
sqlite3 {disk}/runs/cifarpipe.db 'PRAGMA integrity_check' 2>/dev/null || echo ok
{program} --runs {disk}/runs runs show latest --json
"""

    def test_the_run_says_so_and_goes_on_later(self):
        file = self.store.write("p.toml", slow("p", 60))
        self.run_("run", file, expect=0)
        reference = self.store.digests()
        (self.store.dir / "disk").mkdir()
        codes = {}
        for size in self.SIZES:
            with self.subTest(size=size):
                script = self.SCRIPT.format(size=size, disk=self.store.dir / "disk",
                                            program=shlex.quote(str(PROGRAM)), file=file)
                done = subprocess.run(["unshare", "-r", "-m", "sh", "-ec", script], text=True,
                                      capture_output=True, timeout=120, cwd=self.store.dir,
                                      env=self.store.environment(self.environment))
                said = (self.store.dir / "err").read_text()
                self.assertEqual(done.returncode, 0, f"{done} {said}")
                code, whole, shown = done.stdout.split("\n", 2)
                codes[size] = int(code)
                if codes[size] != 0:
                    self.assertEqual(codes[size], 3, said)
                    self.assertIn("full", said)
                self.assertEqual(whole, "ok")
                shown = json.loads(shown)
                self.assertEqual(shown["status"], "FINISHED")
                digests = {s["name"]: {port: [(f["path"], f["sha256"]) for f in files]
                                       for port, files in s["outputs"].items()}
                           for s in shown["stages"]}
                self.assertEqual(digests, reference)
        self.assertIn(3, codes.values())  # Else nothing was shown.
        self.assertEqual(codes["4m"], 0, codes)

    FILLED = """
mount -t tmpfs -o size=8m none {disk}
{program} --runs {disk}/runs run {file} --name gone 2>/dev/null
{program} --runs {disk}/runs run {file} --name kept --set pipeline.seed=9 2>/dev/null
{program} --runs {disk}/runs runs delete gone
dd if=/dev/zero of={disk}/filler bs=1k 2>/dev/null || true
for words in "runs list" "runs show kept" "runs metrics kept" "verify" "plan {file}" "gc"; do
  {program} --runs {disk}/runs $words >out 2>&1 || (echo "$words"; cat out; exit 1)
done
{program} --runs {disk}/runs gc --apply
rm {disk}/filler
{program} --runs {disk}/runs verify
"""

    def test_a_full_disk_can_be_read_and_cleared(self):
        file = self.store.write("p.toml", slow("p", 60))
        (self.store.dir / "disk").mkdir()
        script = self.FILLED.format(disk=self.store.dir / "disk", file=file,
                                    program=shlex.quote(str(PROGRAM)))
        done = subprocess.run(["unshare", "-r", "-m", "sh", "-ec", script], text=True,
                              capture_output=True, timeout=120, cwd=self.store.dir,
                              env=self.store.environment(self.environment))
        self.assertEqual(done.returncode, 0, f"{done.stdout} {done.stderr}")
        self.assertIn("removed", done.stdout)
        self.assertIn("all as recorded", done.stdout)


if __name__ == "__main__":
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    unittest.main(verbosity=1)
