"""What the whole-program tests share: the built program, a store in a temporary folder, and a look
at what a run left behind. Standard library only.

The program is found in CIFARPIPE_BIN (a folder), else in build/release/bin of the checkout.
"""

import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("CIFARPIPE_BIN", ROOT / "build/release/bin"))
PROGRAM = BIN / "cifarpipe"
TEST_PLUGINS = BIN.parent / "tests-plugins"
TINY = ROOT / "tests/configs/tiny.toml"

# Three stages of tests/plugins that need no time.
CHAIN = """
[pipeline]
name = "chain"
[stages.first]
uses = "emit"
params.text = "hello"
[stages.slow]
uses = "slow"
params.steps = 6
params.step_ms = 1
params.checkpoint_every = 2
[stages.last]
uses = "join"
inputs.first = "slow.out"
inputs.second = "first.out"
"""


class Result:
    """What a finished command gave."""

    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def __repr__(self):
        return f"exit {self.code}\n--- stdout\n{self.out}--- stderr\n{self.err}"


class Store:
    """A store of its own, with the program run on it. Removed on leaving the `with` block."""

    def __init__(self, keep=False):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="cifarpipe-test-"))
        self.runs = self.dir / "runs"
        self.keep = keep or bool(os.environ.get("CIFARPIPE_TEST_KEEP"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def environment(self, extra=None):
        env = dict(os.environ, NO_COLOR="1", CIFARPIPE_RUNS=str(self.runs))
        env.update(extra or {})
        return env

    def start(self, *arguments, env=None, cwd=None, **options):
        """The program in the background, in a process group of its own."""
        return subprocess.Popen(
            [str(PROGRAM), *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=self.environment(env), cwd=cwd or self.dir, start_new_session=True, **options)

    def run(self, *arguments, env=None, cwd=None, timeout=300, expect=None):
        process = self.start(*arguments, env=env, cwd=cwd)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            raise AssertionError(f"{arguments} did not end in {timeout} s\n{out}\n{err}") from None
        result = Result(process.returncode, out, err)
        if expect is not None and result.code != expect:
            raise AssertionError(f"{arguments}: expected exit {expect}, got {result!r}")
        return result

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json", expect=0).out)

    def write(self, name, text):
        path = self.dir / name
        path.write_text(text)
        return path

    def query(self, sql, *values):
        with sqlite3.connect(self.runs / "cifarpipe.db") as db:
            return db.execute(sql, values).fetchall()

    def digests(self, run="latest"):
        """stage → port → [(path, sha256)], as recorded."""
        shown = self.json("runs", "show", run)
        return {
            stage["name"]: {
                port: [(f["path"], f["sha256"]) for f in files]
                for port, files in stage["outputs"].items()
            }
            for stage in shown["stages"]
        }

    def metrics(self, run="latest"):
        """key → [(step, value)], without what may differ between equal runs."""
        shown = self.json("runs", "show", run)
        keys = [k for k in shown["metrics"]
                if not k.endswith("_per_second") and not k.startswith("system/")]
        return {k: [(step, value) for step, _, value in self.json("runs", "metrics", run, k)]
                for k in keys}


def workers_of(pid):
    """The worker processes of a supervisor, by /proc."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)
        except OSError:
            continue
        if int(fields[1].split()[1]) == pid:
            found.append(int(entry.name))
    return found


def wait_until(condition, timeout=60, what="the awaited state"):
    """Polls for a state that has no event to wait for; fails loudly when it does not come."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.002)
    raise AssertionError(f"{what} did not come within {timeout} s")


class PluginCase(unittest.TestCase):
    """A store of its own for each test, and the stages of tests/plugins."""

    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)
        self.environment = {"CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS)}

    def run_(self, *arguments, **options):
        environment = dict(self.environment, **options.pop("env", {}))
        return self.store.run(*arguments, env=environment, **options)

    def file(self, text, name="p.toml"):
        return self.store.write(name, text)

    def actions(self, run="latest"):
        return {s["name"]: s["action"] for s in self.store.json("runs", "show", run)["stages"]}

    def rows(self):
        return self.store.json("runs", "list")

    def check_clean(self):
        """Nothing half-done is left, and no run says that it runs."""
        for folder in ("tmp", "rings"):
            left = os.listdir(self.store.runs / "store" / folder)
            self.assertEqual(left, [], folder)
        self.assertEqual([r for r in self.rows() if r["status"] == "RUNNING"], [])
