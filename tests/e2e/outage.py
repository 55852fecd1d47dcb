#!/usr/bin/env python3
"""A run beside servers that misbehave (misbehaving.py): it ends as it would without one, loses no
point, keeps its deadline, says what is left; and once the server is well, `sync` brings everything
there, once. Prints the table of docs/faults.md.

    outage.py [TEST...]
"""

import contextlib
import math
import re
import signal
import time
import unittest

from harness import wait_until, workers_of
from misbehaving import Proxy, refuse
from tracking_case import TrackingCase, main

STEPS, STEP_MS = 60, 15
DEADLINE_S = 2
# What the end of a run may take beyond the deadline: the start and end of processes on a busy
# machine. It is no measure of speed.
GRACE_S = 6
SLOW = f"""
[pipeline]
name = "{{name}}"
[stages.x]
uses = "slow"
params.steps = {STEPS}
params.step_ms = {STEP_MS}
params.checkpoint_every = 0
[tracking]
system_metrics = false
[tracking.mlflow]
deadline = {DEADLINE_S}
"""
TABLE = []  # (fault, ms a step, points lost, duplicates, exit code)


class Outage(TrackingCase):
    @classmethod
    def setUpClass(cls):
        cls.undisturbed = None

    def reference(self):
        """Points and seconds of the same run with no server named."""
        if Outage.undisturbed is None:
            self.without_server("run", self.file(SLOW), "--name", "warm")
            begin = time.monotonic()
            self.without_server("run", self.file(SLOW), "--no-cache", "--name", "undisturbed")
            seconds = time.monotonic() - begin
            Outage.undisturbed = self.points(), seconds, self.ms_a_step()
            TABLE.append(("no server", self.ms_a_step(), 0, 0, 0))
        return Outage.undisturbed

    def points(self):
        return [(step, value) for step, _, value
                in self.store.json("runs", "metrics", "latest", "x/loss")]

    def ms_a_step(self):
        times = [t for _, t, _ in self.store.json("runs", "metrics", "latest", "x/loss")]
        return (times[-1] - times[0]) / (len(times) - 1)

    def check(self, fault, url, target, heal, says_left=True):
        points, seconds, _ = self.reference()
        begin = time.monotonic()
        result = self.go("run", self.file(SLOW), "--no-cache", "--name", fault,
                         env={"MLFLOW_TRACKING_URI": url}, expect=None)
        took = time.monotonic() - begin
        lost = len(set(points) - set(self.points()))
        step = self.ms_a_step()
        with self.subTest("the run"):
            self.assertEqual(result.code, 0, result)
            self.assertEqual(self.points(), points)
            self.assertLess(took, seconds + DEADLINE_S + GRACE_S, result)
        if says_left:
            with self.subTest("what is left"):
                lines = [line for line in result.err.splitlines() if "not sent yet" in line]
                self.assertEqual(len(lines), 1, result)  # One line.
                self.assertRegex(lines[0], rf"{re.escape(url)}.* {STEPS} points.* sync$")
        heal()
        self.go("sync", "latest", "--to", target)
        duplicates, missing = self.compare_with_server(fault)
        TABLE.append((fault, step, lost + missing, duplicates, result.code))
        self.assertEqual((missing, duplicates), (0, 0))

    def compare_with_server(self, fault):
        """(doubled, missing) runs and points on the real server."""
        uid = self.store.json("runs", "show", "latest")["id"]
        runs = [r for r in self.remote() if r.tags.get("cifarpipe.run_uid") == uid]
        self.assertEqual([r.name for r in runs], [fault])
        steps = [step for step, _, _ in runs[0].history("x/loss")]
        self.assertEqual(runs[0].status, "FINISHED")
        return len(steps) - len(set(steps)), STEPS - len(set(steps))

    def check_proxy(self, fault, **options):
        with Proxy(self.server.url, fault) as proxy:
            def heal():
                proxy.fault = "good"
            self.check(fault, proxy.url, proxy.url, heal, **options)
            self.assertTrue(proxy.requests)

    def test_refuses(self):
        held, url = refuse()
        with contextlib.closing(held):
            self.check("refuse", url, self.server.url, lambda: None)

    def test_hangs(self):
        self.check_proxy("hang")

    def test_answers_500(self):  # 7, 60
        self.check_proxy("error")

    def test_answers_html(self):
        self.check_proxy("html", says_left=False)  # Not an MLflow at all, which it may say.

    def test_closes_early(self):
        self.check_proxy("early")

    def test_drops_half(self):
        self.check_proxy("half", says_left=False)

    def test_loses_answers(self):  # 8
        self.check_proxy("lost", says_left=False)

    def test_cuts_answers(self):
        self.check_proxy("truncated", says_left=False)

    def test_is_slow(self):
        self.check_proxy("slow", says_left=False)

    def test_throttles(self):  # 7
        with Proxy(self.server.url, "throttle") as proxy:
            healed = []

            def heal():
                healed.append(len(proxy.requests))
                proxy.fault = "good"
            self.check("throttle", proxy.url, proxy.url, heal, says_left=False)
            self.check_waits(proxy, proxy.requests[:healed[0]])

    def check_waits(self, proxy, requests):
        """A call that was answered with Retry-After: 1 is not repeated sooner by this process."""
        self.assertTrue(proxy.throttled)
        for path, at in proxy.throttled:
            again = [time for _, other, _, time in requests if other == path and time > at]
            if again:
                self.assertGreater(again[0] - at, 0.9, f"{path} came too soon")

    def test_limits_bodies(self):  # 413
        file = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "fail"\n'
                         'params.points = 5000\nparams.unless = "/"\n')
        with Proxy(self.server.url, "limit", limit=20_000) as proxy:
            result = self.go("run", file, env={"MLFLOW_TRACKING_URI": proxy.url})
            self.assertEqual(result.code, 0)
            self.go("sync", "--to", proxy.url)  # Smaller requests pass.
            self.assertEqual(len(self.only().history("x/loss")), 5000)
            self.check_mirrored()
        TABLE.append(("limit", math.nan, 0, 0, result.code))

    def test_dies_in_the_middle(self):
        """Well until the run is there, then it hangs."""
        with Proxy(self.server.url) as proxy:
            process = self.background("run", self.file(SLOW), env={"MLFLOW_TRACKING_URI": proxy.url})
            wait_until(lambda: any(p.endswith("/runs/create") for _, p, _, _ in proxy.requests),
                       what="the run's creation")
            proxy.fault = "hang"
            _, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
            self.assertEqual(len(self.points()), STEPS)
            proxy.fault = "good"
            self.go("sync", "--to", proxy.url)
            self.check_mirrored()
        TABLE.append(("hang in the middle", self.ms_a_step(), 0, 0, 0))

    def test_a_failing_run_stays_one(self):
        file = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "fail"\n'
                         f"[tracking.mlflow]\ndeadline = {DEADLINE_S}\n")
        for fault in ("hang", "error"):
            with Proxy(self.server.url, fault) as proxy:
                self.go("run", file, "--new-run", expect=1,
                        env={"MLFLOW_TRACKING_URI": proxy.url})

    def test_an_interrupted_run_ends_in_time(self):
        with Proxy(self.server.url, "hang") as proxy:
            file = self.file(SLOW.replace(f"steps = {STEPS}", "steps = 100000"))
            process = self.background("run", file, env={"MLFLOW_TRACKING_URI": proxy.url})
            wait_until(lambda: workers_of(process.pid), what="the worker")
            wait_until(lambda: proxy.requests, what="a request")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=DEADLINE_S + GRACE_S + 10)
            self.assertEqual(process.returncode, 130)

    def test_no_wait_when_nothing_is_unsent(self):
        _, undisturbed, _ = self.reference()
        begin = time.monotonic()
        result = self.go("run", self.file(SLOW), "--no-cache", "--set",
                         "tracking.mlflow.deadline=60")
        self.assertLess(time.monotonic() - begin, undisturbed + 30)
        self.assertNotIn("not sent yet", result.err)
        self.assertEqual(len(self.only().history("x/loss")), STEPS)


def print_table():
    print("| the server | ms a step | points lost | duplicates | exit code |")
    print("|---|---|---|---|---|")
    for fault, step, lost, duplicates, code in TABLE:
        shown = "" if math.isnan(step) else f"{step:.2f}"
        print(f"| {fault} | {shown} | {lost} | {duplicates} | {code} |")


if __name__ == "__main__":
    unittest.addModuleCleanup(print_table)
    main()
