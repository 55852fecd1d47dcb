#!/usr/bin/env python3
"""Secrets planted everywhere a person may put one, and a stage that tells all it knows: afterwards
none of them is in the store (the database with its log, every file of every run) or in anything
that the program has said."""

import os
import signal
import subprocess
import unittest

from harness import Store, TEST_PLUGINS, wait_until

PIN = "needle-pin-of-the-declared-kind"
KEY = "needle-key-known-by-its-name"
USER = "https://needleuser:needleword@host.example/data.tar"
ENVIRONMENT = "needle-of-the-environment"
PIPELINE = f"""
[pipeline]
description = "password: needle-in-the-description"
[stages.leaky]
uses = "leaky"
[stages.leaky.params]
pin = "{PIN}"
api_key = "{KEY}"  # {KEY}
source = "{USER}"
variable = "TEST_SERVICE_TOKEN"
"""


class Confidential(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)
        self.said = []

    def command(self, *arguments, expect=None, env=None):
        variables = {"TEST_SERVICE_TOKEN": ENVIRONMENT, "CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS)}
        variables.update(env or {})
        result = self.store.run(*arguments, env=variables, expect=expect)
        self.said.append((arguments, result.out + result.err))
        return result

    def check_nothing_leaked(self):
        for arguments, text in self.said:
            self.assertNotIn("needle", text, arguments)
        files = 0
        for folder, _, names in os.walk(self.store.runs):
            for name in names:
                path = os.path.join(folder, name)
                with open(path, "rb") as f:
                    content = f.read()
                at = content.find(b"needle")
                self.assertEqual(at, -1, f"{path}: {content[max(0, at - 60):at + 60]}")
                self.assertNotIn("needle", path)
                files += 1
        self.assertGreater(files, 5)

    def test_a_stage_that_tells_everything(self):
        file = self.store.write("p.toml", PIPELINE)
        done = self.command("run", file, "--verbose", "--tag", "token=needle-tag", "--note",
                            "secret=needle-note", "--name", f"with {ENVIRONMENT}", expect=0)
        self.assertIn("logged pin ***, key ***, source https://***@host.example/data.tar, "
                      "variable ***", done.err)
        log = self.command("runs", "logs", "latest", expect=0).out
        for word in ("logged", "printed", "complained"):
            self.assertIn(f"{word} pin ***", log)
        shown = self.store.json("runs", "show", "latest")
        self.assertEqual(shown["params"]["leaky.pin"], "***")
        self.assertEqual(shown["params"]["leaky.api_key"], "***")
        self.assertEqual(shown["params"]["leaky.source"], "https://***@host.example/data.tar")
        self.assertEqual(shown["tags"], {"token": "***"})
        self.assertIn("pin ***", shown["stages"][0]["facts"]["seen"])
        self.command("runs", "tag", "latest", f"why={ENVIRONMENT}", expect=0)
        self.command("runs", "note", "latest", "password: needle-later", expect=0)
        self.command("runs", "rename", "latest", f"again {ENVIRONMENT}", expect=0)
        for look in (["runs", "show", "latest"], ["runs", "show", "latest", "--json"],
                     ["runs", "list", "--json"], ["config", file], ["config", file, "--origin"],
                     ["plan", file], ["plan", file, "--json"], ["check", file]):
            self.command(*look, expect=0)
        self.check_nothing_leaked()

    def test_a_value_of_no_secret_parameter(self):
        file = self.store.write("p.toml", PIPELINE)
        for value in (ENVIRONMENT, "https://host.example/data.tar?token=needle-in-the-address",
                      "Authorization: Bearer needle-of-a-header-7"):
            own = ["--set", f"leaky.source={value}"]
            for look in (["run"], ["plan"], ["plan", "--json"], ["config"], ["config", "--origin"],
                         ["run", "--json", "--force", "leaky"]):
                self.command(*look[:1], file, *own, *look[1:], expect=0)
        plan = self.command("plan", file, expect=0).out  # From one that is covered.
        self.assertIn("source ", plan)
        self.command("runs", "show", "latest", expect=0)
        self.check_nothing_leaked()

    def test_names(self):
        file = self.store.write("p.toml", PIPELINE)
        self.command("run", file, "--name", f"with {ENVIRONMENT}", "--set",
                     f"pipeline.name={ENVIRONMENT}", "--tag", f"{ENVIRONMENT}=1", expect=0)
        self.command("runs", "tag", "latest", f"{ENVIRONMENT}-too=x", expect=0)
        self.command("runs", "list", expect=0)
        self.command("runs", "show", "latest", expect=0)
        self.assertNotIn("needle", os.readlink(self.store.runs / "latest"))
        self.command("check", file, "--set", "tracking.mlflow.uri=joe:needle@127.0.0.1:5000",
                     expect=2)
        self.check_nothing_leaked()

    def test_failing_and_the_way_on(self):
        file = self.store.write("p.toml", PIPELINE)
        failed = self.command("run", file, "--set", "leaky.fail=true", "--set",
                              "leaky.api_key=needle-on-the-line", "--set",
                              "leaky.pin=needle pin's", expect=1)
        self.assertIn("failed with pin ***, key ***", failed.err)
        self.assertIn("'leaky.pin=***'", failed.err)  # In the line that tells how to go on.
        self.command("run", file, "--set", "leaky.fail=true", "--json", expect=1)
        self.check_nothing_leaked()

    def test_what_changes_a_secret_changes_nothing_else(self):
        file = self.store.write("p.toml", PIPELINE)
        self.command("run", file, expect=0)
        self.command("run", file, "--set", "leaky.api_key=needle-other", "--set",
                     "leaky.source=https://needle:other@host.example/data.tar", expect=0)
        self.assertEqual(len(self.store.json("runs", "list")), 1)
        self.check_nothing_leaked()

    def test_errors_that_quote(self):
        for text in (PIPELINE + "tokn = 1\n", PIPELINE + 'api_keys = "needle"\n',
                     PIPELINE.replace("[stages.leaky.params]", ""),
                     PIPELINE + "[matrix]\nleaky.api_key = ['needle-a', 'needle-b']\n",
                     PIPELINE + f'fail = "{ENVIRONMENT}"\n',
                     PIPELINE + f'fail = "{USER}"\n'):
            file = self.store.write("bad.toml", text)
            self.command("check", file, expect=2)
        file = self.store.write("p.toml", PIPELINE)
        for wrong in ("leeky.api_key=needle", "leaky.api_key", f"leaky.fail={ENVIRONMENT}",
                      f"leaky.fail={USER}", "leaky.api_key.x=needle"):
            self.command("run", file, "--set", wrong, expect=2)
        self.command("run", file, "--token=needle", expect=2)
        self.command("runs", "show", f"no-{ENVIRONMENT}", expect=2)
        self.command("run", file, expect=0)
        self.check_nothing_leaked()

    def test_the_diff_of_a_repository(self):
        def git(*arguments):
            subprocess.run(["git", "-c", "user.name=n", "-c", "user.email=e", *arguments],
                           cwd=self.store.dir, check=True, capture_output=True)
        file = self.store.write("p.toml", '[stages.leaky]\nuses = "leaky"\n')
        code = self.store.write("lexer.py", "def f():\n    token = None\n")
        git("init", "-q")
        git("remote", "add", "origin", "https://needleuser:needleword@host.example/r.git")
        git("add", "p.toml", "lexer.py")
        git("commit", "-q", "-m", "first")
        file.write_text(PIPELINE)
        code.write_text("def f():\n    token = next(lexer)\n")
        self.command("run", file, expect=0)
        shown = self.store.json("runs", "show", "latest")
        self.assertEqual(shown["facts"]["git.remote"], "https://***@host.example/r.git")
        diff = self.command("runs", "path", "latest").out.strip() + "/changes.diff"
        with open(diff) as f:
            self.assertIn("+    token = next(lexer)", f.read())  # Code is left alone.
        self.check_nothing_leaked()

    def test_a_killed_run_leaves_none_in_the_log_of_the_database(self):
        file = self.store.write("p.toml", PIPELINE + """
[stages.slow]
uses = "slow"
params = { steps = 1000, step_ms = 20 }
""")
        process = self.store.start("run", file, env={
            "TEST_SERVICE_TOKEN": ENVIRONMENT, "CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS)})
        wait_until(lambda: process.poll() is not None or self.slow_is_running())
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        self.said.append(("killed", out + err))
        self.assertTrue((self.store.runs / "cifarpipe.db-wal").exists())
        self.check_nothing_leaked()

    def slow_is_running(self):
        for log in self.store.runs.glob("*/run.log"):
            if "[slow] attempt 1 begins" in log.read_text():
                return True
        return False


if __name__ == "__main__":
    unittest.main()
