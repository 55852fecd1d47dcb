#!/usr/bin/env python3
"""Runs as a real MLflow server shows them, mirrored while they run: everything that the store
knows, once, under the right names, whatever becomes of the run. `tracking_sync.py` is about what
is sent later, `tracking_models.py` about files and models, `outage.py` about servers that
misbehave. The numbers are those of docs/conformance.md.
"""

import json
import os
import signal
import subprocess
import unittest

from harness import wait_until, workers_of
from mlflow_server import Server, version
from tracking_case import CHAIN, TrackingCase, main


class Runs(TrackingCase):
    def test_a_run_is_there_once_with_all_of_it(self):  # 11, 14, 25
        file = self.file()
        self.go("run", file, "--name", "first", "--tag", "colour=blue", "--note", "a note")
        run = self.only()
        self.check_mirrored()
        self.assertEqual(run.status, "FINISHED")
        self.assertEqual(run.tags["mlflow.runName"], "first")
        self.assertEqual(run.tags["colour"], "blue")
        self.assertIn("a note", run.tags["mlflow.note.content"])
        self.assertEqual(run.tags["mlflow.source.type"], "LOCAL")
        for tag in ("mlflow.user", "mlflow.source.name"):
            self.assertTrue(run.tags.get(tag), tag)
        before = self.server.look.everything()["runs"]
        self.go("run", file)  # Nothing to do, and nothing to send.
        self.go("sync")
        self.assertEqual(self.server.look.everything()["runs"], before)

    def test_commit_of_the_file(self):  # 14
        self.file()
        for command in (["init", "-q"], ["add", "."],
                        ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "one"]):
            subprocess.run(["git", *command], cwd=self.store.dir, check=True)
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=self.store.dir, check=True,
                                stdout=subprocess.PIPE, text=True).stdout.strip()
        self.go("run", self.store.dir / "p.toml")
        self.assertEqual(self.only().tags.get("mlflow.source.git.commit"), commit)

    def test_statuses(self):  # 17
        failing = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "fail"\n'
                            'params.points = 3\n', "failing.toml")
        self.go("run", failing, "--name", "failed", expect=1)
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            # A job each: the second run would go on with the first one's, whose points both show.
            slow = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "slow"\n'
                             f'params.steps = {100000 + code}\n', f"slow{code}.toml")
            process = self.background("run", slow, "--name", f"killed-{code}", "--new-run")
            wait_until(lambda: workers_of(process.pid), what="the worker")
            wait_until(lambda: self.points_of("x/loss"), what="a point")
            process.send_signal(number)
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, code)
        runs = {r.name: r for r in self.remote()}
        self.assertEqual({name: r.status for name, r in runs.items()},
                         {"failed": "FAILED", "killed-130": "KILLED", "killed-143": "KILLED"})
        for run in runs.values():
            self.assertGreaterEqual(run.end_ms, run.start_ms)
        self.assertEqual(len(runs["failed"].history("x/loss")), 3)
        self.check_mirrored()

    def points_of(self, key):
        rows = self.rows()
        return rows and rows[0]["status"] == "RUNNING" and key in rows[0]["metrics"]

    def test_killed_by_force_then_told(self):  # 18
        file = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "slow"\n'
                         'params.steps = 100000\n')
        process = self.background("run", file)
        wait_until(lambda: self.points_of("x/loss"), what="a point")
        wait_until(lambda: self.remote(), what="the run on the server")
        process.kill()
        process.communicate()
        self.go("sync")  # Finds it dead, like any command, and says so.
        run = self.only()
        self.assertEqual(run.status, "KILLED")
        self.assertGreaterEqual(run.end_ms, run.start_ms)
        self.check_mirrored()

    def test_going_on_doubles_nothing(self):  # 19, resumed
        file = self.file(CHAIN.replace("step_ms = 1", "step_ms = 20").replace(
            "steps = 6", "steps = 60").replace("checkpoint_every = 2", "checkpoint_every = 7"))
        for steps in (10, 25, 40):  # A little after another checkpoint each time.
            process = self.background("run", file)
            wait_until(lambda: self.steps_so_far() >= steps, what=f"step {steps}")
            process.kill()
            process.communicate()
        self.go("run", file)
        run = self.only()
        self.assertEqual([step for step, _, _ in run.history("slow/loss")], list(range(1, 61)))
        self.assertEqual(run.status, "FINISHED")
        self.check_mirrored()

    def steps_so_far(self):
        rows = self.rows()
        return rows[0]["metrics"].get("slow/loss", {}).get("step", 0) if rows else 0

    def test_parent_and_children(self):  # 16
        self.go("run", self.file(CHAIN + "[matrix]\nslow.steps = [3, 4, 5]\n"))
        runs = self.remote()
        parents = [r for r in runs if "mlflow.parentRunId" not in r.tags]
        self.assertEqual(len(parents), 1)
        children = self.server.look.runs(
            self.name, filter=f"tags.mlflow.parentRunId = '{parents[0].id}'")
        self.assertEqual(sorted(r.params["slow.steps"] for r in children), ["3", "4", "5"])
        self.assertEqual({r.status for r in runs}, {"FINISHED"})
        self.check_mirrored()

    def test_a_linked_experiment(self):
        self.go("run", self.file(CHAIN.replace("[stages.last]\n",
                                               '[stages.last]\nexperiment = "{name}-2"\n')))
        other = self.server.look.runs(f"{self.name}-2")
        self.assertEqual(len(other), 1)
        self.assertNotIn("mlflow.parentRunId", other[0].tags)  # Only within one experiment.
        self.assertIn(other[0].tags.get("cifarpipe.parent"),
                      (self.only().id, self.only().name, self.only().tags["cifarpipe.run_uid"]))

    def test_two_commands_make_one_experiment(self):  # 11
        one = self.file(CHAIN, "one.toml")
        two = self.file(CHAIN.replace("steps = 6", "steps = 7"), "two.toml")
        processes = [self.background("run", file) for file in (one, two)]
        for process in processes:
            _, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
        self.assertEqual(len(self.remote()), 2)
        self.check_mirrored()

    def test_a_deleted_experiment_is_a_sentence(self):  # 12
        file = self.file()
        self.go("run", file)
        experiment = self.only().experiment_id
        self.server.look.post("experiments/delete", experiment_id=experiment)
        self.go("run", file, "--set", "slow.steps=7")
        refused = self.go("sync", expect=3)
        self.assertIn("deleted", refused.err + refused.out)
        self.assertIn("restore", refused.err + refused.out)
        self.server.look.post("experiments/restore", experiment_id=experiment)
        self.go("sync")
        self.check_mirrored()

    def test_descriptions_of_the_experiment(self):  # 13
        self.go("run", self.file(CHAIN.replace(
            'name = "{name}"', 'name = "{name}"\ndescription = "What it is for."')))
        tags = {t["key"]: t["value"]
                for t in self.server.look.experiments()[self.name].get("tags", [])}
        self.assertEqual(tags.get("mlflow.experimentKind"), "custom_model_development")
        self.assertIn("What it is for.", tags.get("mlflow.note.content", ""))

    def test_deleted_on_the_server(self):  # 21
        file = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "slow"\n'
                         'params.steps = 40\nparams.step_ms = 50\n')
        process = self.background("run", file)
        run = wait_until(lambda: self.remote(), what="the run on the server")[0]
        self.server.look.post("runs/delete", run_id=run.id)
        process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0)
        self.go("sync", expect=None)  # Whatever it does about it, the store has all.
        self.assertEqual(len(self.store.json("runs", "metrics", "latest", "x/loss")), 40)

    def test_annotations_are_carried_over(self):  # 20, 21
        self.go("run", self.file(), "--name", "before", "--tag", "a=1", "--tag", "b=2")
        self.without_server("runs", "rename", "latest", "after")
        self.without_server("runs", "tag", "latest", "a=3", "b=", "c=4")
        self.without_server("runs", "note", "latest", "looked at")
        self.go("sync")
        run = self.only()
        self.assertEqual((run.name, run.tags["mlflow.runName"]), ("after", "after"))
        self.assertEqual((run.tags["a"], run.tags["c"]), ("3", "4"))
        self.assertNotEqual(run.tags.get("b"), "2")
        self.assertIn("looked at", run.tags["mlflow.note.content"])
        self.without_server("runs", "delete", "latest")
        self.go("sync")
        self.assertEqual(self.remote(), [])
        self.assertEqual(len(self.remote(view="DELETED_ONLY")), 1)
        self.without_server("runs", "restore", "after")
        self.go("sync")
        self.assertEqual(self.only().name, "after")
        self.check_mirrored()


class Names(TrackingCase):
    def test_many_params_and_metrics(self):  # 22, 23, 34, 62
        stages = "".join(f'[stages.s{i}]\nuses = "emit"\nparams.value = {i}.0\n' for i in range(90))
        points = '[stages.many]\nuses = "fail"\nparams.points = 2500\nparams.unless = "/"\n'
        self.go("run", self.file('[pipeline]\nname = "{name}"\n' + stages + points))
        run = self.only()
        self.assertGreater(len(run.params), 250)
        self.assertEqual(len(run.history("many/loss")), 2500)
        self.assertEqual(run.history("many/loss", page=600), run.history("many/loss"))
        self.check_mirrored()

    def test_long_values_are_cut_and_kept_as_files(self):  # 24, 28
        text = "aé😀" * 2100  # 6300 code points.
        result = self.go("run", self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "emit"\n'
                                          f'params.text = "{text}"\n'))
        run = self.only()
        value = run.params["x.text"]
        self.assertLessEqual(len(value), 6000)
        self.assertEqual(text[:5000], value[:5000])
        whole = [path for path in run.files() if text in run.read(path).decode(errors="replace")]
        self.assertTrue(whole, f"{list(run.files())}: no file has the full text")
        self.assertEqual((result.err + result.out).count("x.text"), 1, result)  # Said once.

    def test_strange_names_collide_with_none(self):  # 29
        tags = {"a#b": "1", "a_b": "2", "a%b": "3", "größe": "ü", "with space": "x", "x//y": "4",
                "x/y": "5", "/lead": "6", "up/../down": "7"}
        arguments = [part for key, value in tags.items() for part in ("--tag", f"{key}={value}")]
        self.go("run", self.file(), *arguments)
        run = self.only()
        self.assertEqual(run.tags["größe"], "ü")
        self.assertEqual(run.tags["with space"], "x")
        self.assertEqual((run.tags["a_b"], run.tags["x/y"]), ("2", "5"))
        values = sorted(v for k, v in run.tags.items()
                        if v in set("1234567") and not k.startswith("cifarpipe."))
        self.assertEqual(values, list("1234567"))

    def test_what_is_not_finite_harms_nothing(self):  # 26
        self.go("run", self.file('[pipeline]\nname = "{name}"\n[stages.x]\n'
                                 'uses = "strange_metrics"\n'), expect=1)
        run = self.only()
        points = run.history("x/loss")
        self.assertEqual(points[0][:2], (0, 0.5))
        for step, value, time in points:
            self.assertGreater(time, 10**12, points)  # MLflow stores a bad one as 0.0 at 1970.
            self.assertIn((step, value), [(0, 0.5), (1, "NaN"), (2, 1.7976931348623157e308)])
        self.assertEqual(run.status, "FAILED")
        self.assertIn("x/loss: nan", run.tags["cifarpipe.nonfinite"])
        self.go("sync")
        self.assertEqual(self.only().history("x/loss"), points)

    def test_numbers_do_not_depend_on_the_locale(self):  # 30, 31
        self.go("run", self.file(), env={"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"})
        self.check_mirrored()


class Settings(TrackingCase):
    def test_variables_of_mlflow(self):
        name = f"{self.name}-by-variable"
        self.go("run", self.file(), env={"MLFLOW_EXPERIMENT_NAME": name,
                                         "MLFLOW_RUN_NAME": "named by variable"})
        run = self.server.look.runs(name)
        self.assertEqual([r.name for r in run], ["named by variable"])

    def test_a_run_that_is_there_already(self):  # 19
        look = self.server.look
        experiment = look.post("experiments/create", name=self.name)["experiment_id"]
        made = look.post("runs/create", experiment_id=experiment, start_time=1_700_000_000_000,
                         run_name="made by hand")["run"]["info"]["run_id"]
        self.go("run", self.file(), env={"MLFLOW_RUN_ID": made})
        run = self.only()
        self.assertEqual((run.id, run.status), (made, "FINISHED"))
        self.assertEqual(len(run.history("slow/loss")), 6)

    def test_the_address_in_the_file_and_its_end(self):  # 1
        file = self.file(CHAIN + f'[tracking.mlflow]\nuri = "{self.server.url}/"\n')
        self.without_server("run", file)
        self.check_mirrored()

    @unittest.skipIf(version() < (3, 3), "servers before 3.3 keep their API out of the prefix")
    def test_a_path_in_front(self):  # 1
        with Server(prefix="/some/path") as server:
            self.env["MLFLOW_TRACKING_URI"] = server.url
            self.go("run", self.file())
            self.check_mirrored(server)
            self.assertTrue(self.only(server).files())

    def test_no_server_named_none_spoken_to(self):
        result = self.without_server("run", self.file())
        self.assertNotIn("MLflow", result.err)
        self.assertEqual(self.remote(), [])

    def test_secrets_stay_secret(self):
        secret = "v3ry-s3cret"
        url = self.server.url.replace("http://", f"http://someone:{secret}@")
        results = [self.go("run", self.file(), env={"MLFLOW_TRACKING_URI": url}),
                   self.go("run", self.file(), "--new-run", "--set",
                           f"tracking.mlflow.uri={url}", env={
                               "MLFLOW_TRACKING_URI": None, "MLFLOW_TRACKING_PASSWORD": secret})]
        for result in results:
            self.assertNotIn(secret, result.out + result.err)
        self.assertEqual(len(self.remote()), 2)
        for folder, _, files in os.walk(self.store.runs):
            for name in files:
                with open(os.path.join(folder, name), "rb") as f:
                    self.assertNotIn(secret.encode(), f.read(), name)
        self.assertNotIn(secret, json.dumps(self.server.look.everything()))


class System(TrackingCase):
    NAMES = ["cpu_utilization_percentage", "disk_available_megabytes", "disk_usage_megabytes",
             "disk_usage_percentage", "network_receive_megabytes", "network_transmit_megabytes",
             "system_memory_usage_megabytes", "system_memory_usage_percentage"]

    def test_system_metrics(self):  # 36
        file = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "slow"\n'
                         'params.steps = 60\nparams.step_ms = 50\n')
        self.go("run", file, env={"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
                                  "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "0.5"})
        run = self.only()
        for name in self.NAMES:
            steps = [step for step, _, _ in run.history(f"system/{name}")]
            self.assertEqual(steps, list(range(len(steps))), name)
            self.assertGreater(len(steps), 1, name)
            self.assertLess(len(steps), 20, name)


class Alive(TrackingCase):
    def test_a_server_that_dies_and_comes_back(self):  # 57
        # A server of its own: the others' must live.
        file = self.file('[pipeline]\nname = "{name}"\n[stages.x]\nuses = "slow"\n'
                         'params.steps = 400\nparams.step_ms = 50\n')
        with Server() as server:
            self.env["MLFLOW_TRACKING_URI"] = server.url
            process = self.background("run", file)
            wait_until(lambda: self.remote(server), what="the run on the server")
            server.kill()
            server.start()
            self.assertIsNone(process.poll(), "the run ended before the server was back")
            _, err = process.communicate(timeout=120)
            self.assertEqual(process.returncode, 0, err)
            self.go("sync")
            self.check_mirrored(server)
            self.assertEqual(len(self.only(server).history("x/loss")), 400)


if __name__ == "__main__":
    unittest.TestLoader.sortTestMethodsUsing = None  # In the order of this file.
    main()
