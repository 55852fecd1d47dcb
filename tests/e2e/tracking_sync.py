#!/usr/bin/env python3
"""`cifarpipe sync`: what no server has seen is sent later, to one or several of them, exactly once:
killed at random moments, repeated, to servers that forgot everything or became others.

    tracking_sync.py [TEST...]
"""

import json
import os
import random
import time

from harness import wait_until
from misbehaving import Proxy
from mlflow_server import Server
from tracking_case import CHAIN, TrackingCase, main

KILLS = int(os.environ.get("CIFARPIPE_SYNC_KILLS", "10"))


class SyncCase(TrackingCase):
    def make_runs(self, points=3000):
        """Runs of all kinds, recorded with no server: a sweep, many points, one that failed."""
        self.without_server("run", self.file(CHAIN + "[matrix]\nslow.steps = [3, 4, 5]\n"))
        head = '[pipeline]\nname = "{name}"\n[stages.x]\nuses = "fail"\n'
        self.without_server("run", self.file(
            f'{head}params.points = {points}\nparams.unless = "/"\n', "many.toml"))
        self.without_server("run", self.file(f"{head}params.points = 7\n", "failing.toml"), expect=1)
        for text in ("one", "two"):
            self.without_server("run", self.file(
                '[pipeline]\nname = "{name}"\n[stages.y]\nuses = "emit"\n'
                f'params.text = "{text}"\n', f"{text}.toml"), "--tag", f"text={text}")

    def mine(self, server):
        """All that a server has of this test, as a comparison wants it."""
        return {uid: copies for uid, copies in server.look.everything()["runs"].items()
                if any(uid == row["id"] for row in self.rows())}

    def sync(self, *arguments, server=None, expect=0):
        return self.go("sync", "--to", (server or self.server).url, *arguments, expect=expect)


class Sync(SyncCase):
    def test_everything_later_then_nothing(self):  # 58
        self.make_runs()
        said = self.sync()
        self.check_mirrored()
        before = self.mine(self.server)
        self.assertEqual({len(copies) for copies in before.values()}, {1})
        again = self.sync()
        self.assertEqual(self.mine(self.server), before)
        self.assertNotEqual(said.out + said.err, again.out + again.err)

    def test_chosen_runs(self):
        self.make_runs()
        newest = self.rows()[0]
        self.go("sync", newest["name"], "--to", self.server.url)
        self.assertEqual([r.name for r in self.remote()], [newest["name"]])
        unknown = self.go("sync", "no-such-run", "--to", self.server.url, expect=2)
        self.assertIn("no-such-run", unknown.err)

    def test_dry_run_sends_nothing(self):
        self.make_runs()
        said = self.sync("--dry-run", expect=None)
        self.assertIn(said.code, (0, 3), said)
        self.assertIn("points", said.out + said.err)
        self.assertEqual(self.remote(), [])
        self.assertNotIn(self.name, self.server.look.experiments())
        self.sync()
        self.check_mirrored()

    def test_json(self):
        self.make_runs()
        said = self.sync("--json")
        answer = json.loads(said.out)
        self.assertTrue(answer)
        self.assertNotIn("\x1b", said.out + said.err)

    def test_the_server_that_the_runs_named(self):
        # Named when it ran, though nobody was there; sync needs no address.
        with Server() as server:
            self.env["MLFLOW_TRACKING_URI"] = None
            server.kill()
            file = self.file(CHAIN + f'[tracking.mlflow]\nuri = "{server.url}"\n')
            self.go("run", file)
            server.start()
            self.go("sync")
            self.check_mirrored(server)

    def test_no_server_at_all_is_a_sentence(self):
        self.without_server("run", self.file())
        result = self.without_server("sync", expect=None)
        self.assertNotEqual(result.code, 0, result)
        self.assertIn("MLFLOW_TRACKING_URI", result.err)

    def test_nobody_there_is_exit_3(self):
        self.without_server("run", self.file())
        result = self.go("sync", "--to", "http://127.0.0.1:9", expect=3,
                         env={"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"})
        self.assertIn("127.0.0.1:9", result.err + result.out)

    def test_two_at_once(self):
        self.make_runs()
        processes = [self.background("sync", "--to", self.server.url) for _ in range(2)]
        for process in processes:
            out, err = process.communicate(timeout=300)
            self.assertIn(process.returncode, (0, 3), out + err)
        self.sync()
        self.check_mirrored()


class Killed(SyncCase):
    def test_killed_anywhere_and_repeated(self):
        """Each round a fresh experiment of the same content, so that each kill hits another place
        of a whole replay, and the next sync goes on from there."""
        rng = random.Random(1)
        self.make_runs(20_000)
        with Server() as server:
            begin = time.monotonic()
            self.sync(server=server)
            length = time.monotonic() - begin
            reference = self.mine(server)
            self.assertEqual({len(copies) for copies in reference.values()}, {1})
        caught = 0
        with Server() as server:
            for i in range(KILLS):
                process = self.background("sync", "--to", server.url)
                # Stratified; what is done already makes later ones shorter.
                moment = length * (i % 5 + rng.random()) / 5 / (1 + i / 5)
                try:
                    process.wait(moment)
                except Exception:  # Still sending, as hoped for.
                    process.kill()
                    caught += 1
                process.communicate()
            self.sync(server=server)
            self.assertEqual(self.mine(server), reference)
            self.check_mirrored(server)
        print(f"sync was killed {caught} times of {KILLS}; it takes {length:.1f} s undisturbed")
        self.assertGreater(caught, 0)


class Servers(SyncCase):
    def test_two_servers(self):
        self.make_runs(50)
        with Server() as other:
            self.sync()
            self.sync(server=other)
            self.check_mirrored()
            self.check_mirrored(other)
            self.without_server("runs", "tag", "latest", "late=yes")
            self.sync(server=other)
            self.check_mirrored(other)
            self.sync()
            self.check_mirrored()

    def test_a_server_that_forgot_everything(self):
        self.make_runs(50)
        with Server() as server:
            self.sync(server=server)
            reference = self.mine(server)
            server.restart()
            self.sync(server=server)
            self.assertEqual(self.mine(server), reference)
            server.forget()
            self.sync(server=server)
            self.assertEqual(self.mine(server), reference)
            self.check_mirrored(server)

    def test_another_server_under_the_same_address(self):
        self.make_runs(50)
        with Server() as server:
            self.sync(server=server)
            reference = self.mine(server)
            server.forget()
            # It has experiments and runs of others, with ids that ours might have had.
            for name in ("strangers", self.name):
                experiment = server.look.post("experiments/create", name=name)["experiment_id"]
                server.look.post("runs/create", experiment_id=experiment, run_name="a stranger",
                                 start_time=1_700_000_000_000)
            self.sync(server=server)
            self.assertEqual(self.mine(server), reference)
            strangers = [r for r in server.look.runs() if r.name == "a stranger"]
            self.assertEqual([(r.status, r.params, r.last) for r in strangers],
                             [("RUNNING", {}, {})] * 2)

    def test_a_run_that_was_removed_there(self):
        self.make_runs(5)
        self.sync()
        victim = self.remote()[0]
        self.server.look.post("runs/delete", run_id=victim.id)
        result = self.sync(expect=None)
        self.assertIn(result.code, (0, 3), result)
        uids = [r.tags["cifarpipe.run_uid"] for r in self.remote(view="ALL")]
        self.assertEqual(sorted(uids), sorted(set(uids)))  # Not sent as a second one.

    def test_lost_answers_make_no_doubles(self):
        # Each second request is carried out, but nobody hears of it: creates of runs, too.
        self.make_runs(5)
        with Proxy(self.server.url, "lost") as proxy:
            self.go("sync", "--to", proxy.url, expect=None)
            proxy.fault = "good"
            self.go("sync", "--to", proxy.url)
            self.check_mirrored()
            lost = [path for _, path, _, _ in proxy.requests[::2]]
            self.assertTrue([path for path in lost if path.endswith("/runs/create")], lost)


class Live(SyncCase):
    def test_sync_beside_a_run(self):
        file = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "slow"\n'
                         'params.steps = 200\nparams.step_ms = 20\n')
        process = self.background("run", file)
        wait_until(lambda: self.remote(), what="the run on the server")
        while process.poll() is None:
            self.go("sync", expect=None)
        self.assertEqual(process.wait(), 0, process.communicate())
        self.sync()
        self.check_mirrored()


if __name__ == "__main__":
    main()
