"""What the tests of tracking share: pipelines of the test plugins, a store and an experiment of
their own for each test, and the comparison of the store with what a server says."""

import sys
import unittest

import mlflow_server
from harness import CHAIN, PROGRAM, Store, TEST_PLUGINS

CHAIN = CHAIN.replace('"chain"', '"{name}"')  # An experiment of its own for each test.


def value_text(value):
    """A parameter as MLflow shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else None


def number_of(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def is_finite(value):
    """In MLflow an infinity is the largest double."""
    return isinstance(value, (int, float)) and abs(value) < 1.7e308


class TrackingCase(unittest.TestCase):
    server = None  # Of the test program; see main.

    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)
        self.name = self.id().split(".")[-1].removeprefix("test_")[:60]  # = the experiment
        self.env = {"CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS), "HOME": str(self.store.dir)}
        if self.server:
            self.env["MLFLOW_TRACKING_URI"] = self.server.url

    # Commands.

    def file(self, text=CHAIN, name="p.toml"):
        return self.store.write(name, text.replace("{name}", self.name))

    def go(self, *arguments, expect=0, env=None, **options):
        """The program with its environment; `env` adds to it, None takes away."""
        merged = {**self.env, **(env or {})}
        merged = {k: v for k, v in merged.items() if v is not None}
        return self.store.run(*arguments, env=merged, expect=expect, **options)

    def background(self, *arguments, env=None):
        merged = {k: v for k, v in {**self.env, **(env or {})}.items() if v is not None}
        return self.store.start(*arguments, env=merged)

    def without_server(self, *arguments, **options):
        return self.go(*arguments, env={"MLFLOW_TRACKING_URI": None}, **options)

    # What there is.

    def rows(self):
        return self.store.json("runs", "list")

    def remote(self, server=None, **options):
        return (server or self.server).look.runs(self.name, **options)

    def only(self, server=None):
        """The one run of the test's experiment."""
        runs = self.remote(server)
        self.assertEqual(len(runs), 1, [(r.name, r.status) for r in runs])
        return runs[0]

    def check_mirrored(self, server=None):
        """Every run of the store is on the server once, with all that the store knows of it."""
        look = (server or self.server).look
        for row in self.rows():
            found = [r for r in look.runs(row["experiment"])
                     if r.tags.get("cifarpipe.run_uid") == row["id"]]
            self.assertEqual(len(found), 1, f"{row['name']} is there {len(found)} times")
            self.check_run(row["id"], found[0])

    def check_run(self, run_id, remote):
        shown = self.store.json("runs", "show", run_id)
        self.assertEqual(remote.name, shown["name"])
        self.assertEqual(remote.status, shown["status"], shown["name"])
        self.assertEqual((remote.start_ms, remote.end_ms), (shown["start"], shown["end"]))
        self.check_params(shown["params"], remote.params)
        for key, value in shown["tags"].items():
            self.assertEqual(remote.tags.get(key), value, key)
        self.assertEqual(sorted(k for k in remote.last if not k.startswith("system/")),
                         sorted(k for k in shown["metrics"] if not k.startswith("system/")))
        for key in shown["metrics"]:
            self.check_points(run_id, key, remote)

    def check_params(self, ours, theirs):
        self.assertGreaterEqual(set(theirs), set(ours))
        for key, value in ours.items():
            text = value_text(value)
            if text is not None:
                self.assertEqual(theirs[key], text[:6000], key)
            elif isinstance(value, (int, float)):
                self.assertEqual(number_of(theirs[key]), value, key)

    def check_points(self, run_id, key, remote):
        """Every visible finite point once, none later than it was recorded (what a resumed run
        logs again keeps its first time)."""
        ours = sorted((step, value, time) for step, time, value
                      in self.store.json("runs", "metrics", run_id, key) if is_finite(value))
        theirs = sorted(p for p in remote.history(key) if is_finite(p[1]))
        self.assertEqual([p[:2] for p in theirs], [p[:2] for p in ours], key)
        for (step, _, sent), (_, _, recorded) in zip(theirs, ours):
            self.assertLessEqual(sent, recorded, (key, step))
            self.assertGreater(sent, 10**12, (key, step))


def main(case=TrackingCase):
    """Runs the tests of the calling program against one server."""
    if not PROGRAM.exists():
        sys.exit(f"{PROGRAM} is not there; build first")
    mlflow_server.need_mlflow()
    with mlflow_server.Server() as server:
        case.server = server
        done = unittest.main(verbosity=1, exit=False)
    sys.exit(not done.result.wasSuccessful())
