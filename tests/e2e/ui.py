#!/usr/bin/env python3
"""`cifarpipe ui`: a server of MLflow that comes up, is used by a second call, and leaves nothing
behind, however it ends. With a stand-in for `mlflow` whose worker outlives its first process unless
the whole group is stopped, as uvicorn's do; and with a real one where there is one
(CIFARPIPE_MLFLOW: a Python's folder of programs)."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import unittest
import urllib.request

from harness import ROOT, Store, TEST_PLUGINS, wait_until

CHAIN = '[pipeline]\nname = "chain"\n[stages.first]\nuses = "emit"\n'
STAND_IN = f"""#!{sys.executable}
import http.server, json, os, signal, subprocess, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
worker = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
with open(os.environ["STAND_IN_LOG"], "a") as log:
    json.dump({{"pids": [os.getpid(), worker.pid], "arguments": arguments, "cwd": os.getcwd(),
               "telemetry": os.environ.get("MLFLOW_DISABLE_TELEMETRY"),
               "token": os.environ.get("MLFLOW_TRACKING_TOKEN")}}, log)
    log.write("\\n")
if os.environ.get("STAND_IN_FAILS"):
    worker.kill()
    print("it does not like the weather")
    sys.exit(1)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        healthy = self.path == "/health"
        self.send_response(200 if healthy else 404)
        self.end_headers()
        self.wfile.write(b"OK" if healthy else b"no")
    do_POST = do_GET
    def log_message(self, *_):
        pass
signal.signal(signal.SIGTERM, lambda *_: (worker.terminate(), worker.wait(), os._exit(0)))
http.server.ThreadingHTTPServer(("127.0.0.1", int(arguments["--port"])), Handler).serve_forever()
"""


def alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Case(unittest.TestCase):
    def setUp(self):
        self.store = Store()
        self.addCleanup(self.store.__exit__)
        self.bin = self.store.dir / "bin"
        self.bin.mkdir()
        self.log = self.store.dir / "servers.jsonl"
        self.env = {"PATH": f"{self.bin}:{os.environ['PATH']}", "STAND_IN_LOG": str(self.log),
                    "DISPLAY": "", "WAYLAND_DISPLAY": "", "MLFLOW_TRACKING_TOKEN": "secret"}
        self.started = []
        self.addCleanup(self.end_all)
        self.store.run("run", self.store.write("p.toml", CHAIN), expect=0,
                       env={"CIFARPIPE_PLUGIN_PATH": str(TEST_PLUGINS)})

    def end_all(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        for server in self.servers():
            for pid in server["pids"]:
                if alive(pid):
                    os.kill(pid, signal.SIGKILL)

    def stand_in(self):
        program = self.bin / "mlflow"
        program.write_text(STAND_IN)
        program.chmod(0o755)

    def servers(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()] \
            if self.log.exists() else []

    def start(self, *arguments):
        """The command, once it has said where the server is; the link that it said."""
        process = self.store.start("ui", *arguments, env=self.env)
        self.started.append(process)
        link = process.stdout.readline().strip()
        self.assertTrue(link, process.poll() is not None and process.stderr.read())
        return process, link

    def check_gone(self):
        pids = [pid for server in self.servers() for pid in server["pids"]]
        wait_until(lambda: not any(map(alive, pids)), what="the end of every process")


class WithStandIn(Case):
    def test_comes_up_is_shared_and_leaves_nothing(self):
        self.stand_in()
        port = free_port()
        first, link = self.start("--port", port)
        self.assertEqual(link, f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            self.assertEqual(answer.read(), b"OK")
        second = self.store.run("ui", env=self.env, expect=0)
        self.assertEqual(second.out.strip(), link)
        self.assertIn("another `cifarpipe ui`", second.err)
        [server] = self.servers()
        self.assertEqual(server["cwd"], str(self.store.runs / "mlflow"))
        self.assertEqual(server["telemetry"], "true")
        self.assertIsNone(server["token"])  # Meant for another server.
        self.assertEqual(server["arguments"]["--host"], "127.0.0.1")
        self.assertEqual(server["arguments"]["--backend-store-uri"], "sqlite:///mlflow.db")
        first.send_signal(signal.SIGINT)
        _, err = first.communicate(timeout=30)
        self.assertEqual(first.returncode, 0, err)
        self.check_gone()
        third, _ = self.start()  # The lock is free, and any port will do.
        self.assertEqual(len(self.servers()), 2)
        third.send_signal(signal.SIGTERM)
        third.communicate(timeout=30)
        self.assertEqual(third.returncode, 0)
        self.check_gone()

    def test_killed_it_takes_the_server_along(self):
        self.stand_in()
        process, _ = self.start()
        process.kill()
        process.communicate(timeout=30)
        self.check_gone()
        again, _ = self.start()
        again.send_signal(signal.SIGINT)
        again.communicate(timeout=30)

    def test_a_server_that_ends_is_told(self):
        self.stand_in()
        process, _ = self.start()
        os.kill(self.servers()[0]["pids"][0], signal.SIGKILL)
        _, err = process.communicate(timeout=30)
        self.assertEqual(process.returncode, 3)
        self.assertIn("mlflow ended by itself: signal 9", err)
        self.check_gone()  # Its worker too.

    def test_a_server_that_does_not_start(self):
        self.stand_in()
        self.env["STAND_IN_FAILS"] = "1"
        result = self.store.run("ui", env=self.env, expect=3)
        self.assertIn("mlflow ended before it answered: exit(1), log in ", result.err)
        self.assertIn("it does not like the weather", result.err)
        self.check_gone()

    def test_what_is_missing_or_taken(self):
        empty = Store()
        with empty:
            self.assertIn("no runs yet", empty.run("ui", env=self.env, expect=2).err)
        self.assertIn("is not a whole number",
                      self.store.run("ui", "--port", "x", env=self.env, expect=2).err)
        self.stand_in()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = self.store.run("ui", "--port", port, env=self.env, expect=3)
            self.assertIn(f"something else listens on port {port}", result.err)
        said = self.store.run("ui", "--host", "203.0.113.7", env=self.env, expect=3).err
        self.assertIn("cannot listen on port 5000 of 203.0.113.7: ", said)  # Kept for documentation.
        (self.bin / "mlflow").unlink()
        if not (ROOT / ".venv/bin/mlflow").exists():
            bare = dict(self.env, PATH="/nowhere")
            said = self.store.run("ui", env=bare, expect=3).err
            self.assertIn("there is no mlflow on the PATH or in .venv/bin", said)
            self.assertIn("pip install mlflow", said)
        self.assertEqual(self.servers(), [])


@unittest.skipUnless(os.environ.get("CIFARPIPE_MLFLOW"), "CIFARPIPE_MLFLOW names no MLflow")
class WithMlflow(Case):
    def test_a_real_server(self):
        self.env["PATH"] = f"{os.environ['CIFARPIPE_MLFLOW']}:{os.environ['PATH']}"
        process, link = self.start("--port", free_port())
        with urllib.request.urlopen(link.split("/#")[0] + "/version") as answer:
            self.assertRegex(answer.read().decode(), r"^\d+\.\d+")
        children = subprocess.run(["ps", "--no-headers", "-o", "pid", "--ppid", str(process.pid)],
                                  capture_output=True, text=True, check=True).stdout.split()
        self.assertTrue(children)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)
        group = subprocess.run(["ps", "--no-headers", "-o", "pid", "-g", children[0]],
                               capture_output=True, text=True, check=False).stdout.split()
        self.assertEqual(group, [])


if __name__ == "__main__":
    unittest.main()
