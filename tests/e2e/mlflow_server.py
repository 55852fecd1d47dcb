"""Real MLflow servers for the tests, and an independent look at what they hold: the REST API as its
documentation describes it, read with the standard library alone.

The MLflow is found in the environment that CIFARPIPE_MLFLOW names, else in build/mlflow-3.17 of the
checkout, where scripts/test puts it. Servers are started by the main thread: they get SIGTERM when
the thread that started them is gone.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

from harness import ROOT

HOME = pathlib.Path(os.environ.get("CIFARPIPE_MLFLOW", ROOT / "build/mlflow-3.17"))
# What uvicorn and gunicorn (before 3.3) say when they listen.
LISTENING = re.compile(rb"(?:Uvicorn running on|Listening at:) (https?://\S+)")
# No variable of whoever runs the tests may reach the program or the server.
for name in [n for n in os.environ if n.startswith(("MLFLOW_", "AWS_"))]:
    del os.environ[name]


def need_mlflow():
    """Ends the test program unless there is an MLflow: as skipped where a quick build has none."""
    if (HOME / "bin/mlflow").exists():
        return
    sentence = f"no MLflow in {HOME}; scripts/test installs it (scripts/test --mlflow VERSION)"
    if os.environ.get("CIFARPIPE_MLFLOW_OPTIONAL") == "1":
        print(f"skipped: {sentence}")
        sys.exit(77)
    sys.exit(sentence)


def version():
    """(3, 17); nothing where there is no MLflow, which need_mlflow tells later."""
    found = next((HOME / "lib").glob("python3*/site-packages/mlflow-*.dist-info"), None)
    if found is None:
        return ()
    return tuple(int(n) for n in found.name.removeprefix("mlflow-").split(".")[:2])


def environment(**extra):
    env = dict(os.environ, PATH=f"{HOME / 'bin'}:{os.environ['PATH']}", PYTHONUNBUFFERED="1",
               MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false", MLFLOW_DISABLE_TELEMETRY="true",
               DO_NOT_TRACK="true", OMP_NUM_THREADS="1", GIT_PYTHON_REFRESH="quiet")
    return dict(env, **extra)


class Process:
    """A program of MLflow that listens somewhere, in a process group of its own."""

    def __init__(self, command, folder, log, env=None):
        self.log = log
        with open(log, "ab") as out:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *map(str, command)], cwd=folder,
                env=environment(**(env or {})), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True)

    def wait_for(self, found, timeout=180):
        """What `found` gives, once it is something; the process must live meanwhile."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            value = found()
            if self.process.poll() is not None:
                break
            if value:
                return value
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"the server did not come up\n{self.log.read_text()[-4000:]}")

    def kill(self):
        """At once, with all its workers."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            pass
        self.kill()


def is_well(url, path="/health", context=None):
    try:
        with urllib.request.urlopen(url + path, timeout=5, context=context) as answer:
            return answer.status == 200
    except OSError:
        return False


class Server:
    """An MLflow server with a database and artifacts of its own; removed on leaving the `with`
    block. `url` stays the same over restarts. `context`: for https, how to reach it; `headers`:
    what its `look` sends along."""

    def __init__(self, prefix="", options=(), env=None, context=None, headers=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="cifarpipe-mlflow-"))
        self.prefix, self.options, self.port = prefix, list(options), 0
        self.env, self.context, self.headers = env, context, headers or {}
        self.started = 0
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()
        if not os.environ.get("CIFARPIPE_TEST_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)

    def start(self):
        self.started += 1
        log = self.dir / f"server-{self.started}.log"
        command = [HOME / "bin/mlflow", "server", "--host", "127.0.0.1", "--port", self.port,
                   "--workers", 1, "--backend-store-uri", f"sqlite:///{self.dir}/m.db",
                   "--artifacts-destination", self.dir / "artifacts", *self.options]
        if self.prefix:
            command += ["--static-prefix", self.prefix]
        self.process = Process(command, self.dir, log, self.env)
        said = self.process.wait_for(lambda: LISTENING.search(log.read_bytes()))
        address = urllib.parse.urlsplit(said[1].decode().rstrip("/"))
        self.port = address.port
        self.url = f"{address.scheme}://127.0.0.1:{self.port}{self.prefix}"
        self.process.wait_for(lambda: is_well(self.url, context=self.context))

    def kill(self):
        self.process.kill()

    def restart(self):
        """At the same address, with what it held."""
        self.process.stop()
        self.start()

    def forget(self):
        """At the same address, with nothing: another server, or one whose disk was lost."""
        self.process.stop()
        for path in self.dir.glob("m.db*"):
            path.unlink()
        shutil.rmtree(self.dir / "artifacts", ignore_errors=True)
        self.start()

    @property
    def look(self):
        return Look(self.url, self.context, self.headers)


class Look:
    """Reads a server. Every method asks anew."""

    def __init__(self, url, context=None, headers=None):
        self.url, self.context, self.headers = url, context, headers or {}

    def open(self, url, data=None, method=None):
        """The answer to a request, whole."""
        request = urllib.request.Request(url, data, self.headers, method=method)
        if data is not None:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60, context=self.context) as answer:
            return answer.read()

    def call(self, path, body=None, method=None):
        data = None if body is None else json.dumps(body).encode()
        try:
            text = self.open(self.url + path, data, method)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read()[:500]}") from None
        return json.loads(text or b"{}")

    def get(self, path, /, **query):
        return self.call(f"/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query, doseq=True)}")

    def post(self, path, /, **body):
        return self.call(f"/api/2.0/mlflow/{path}", body)

    def experiments(self):
        """name → experiment, deleted ones too; without the one that is always there."""
        found = self.post("experiments/search", max_results=1000, view_type="ALL")
        return {e["name"]: e for e in found.get("experiments", []) if e["name"] != "Default"}

    def runs(self, experiment=None, view="ACTIVE_ONLY", filter=""):
        """Of one experiment by name, or of all."""
        known = self.experiments()
        ids = [e["experiment_id"] for name, e in known.items() if experiment in (None, name)]
        if not ids:
            return []
        found, token = [], ""
        while True:
            page = self.post("runs/search", experiment_ids=ids, run_view_type=view, filter=filter,
                             max_results=1000, page_token=token)
            found += [Run(self, run) for run in page.get("runs", [])]
            token = page.get("next_page_token", "")
            if not token:
                return found

    def run(self, run_id):
        return Run(self, self.get("runs/get", run_id=run_id)["run"])

    def models(self):
        """Logged models of all experiments (3.0 and later)."""
        ids = [e["experiment_id"] for e in self.experiments().values()]
        if not ids:
            return []
        found = self.call("/api/2.0/mlflow/logged-models/search",
                          {"experiment_ids": ids, "max_results": 50})
        return found.get("models", [])

    def versions(self, name):
        """Of a registered model, oldest first."""
        found = self.get("model-versions/search", filter=f"name='{name}'", max_results=100)
        return sorted(found.get("model_versions", []), key=lambda v: int(v["version"]))

    def everything(self):
        """What a person would miss or see twice, by the uid that the program gives each run: sorted,
        without what a server makes up (ids, its own times)."""
        runs = {}
        for run in self.runs(view="ALL"):
            uid = run.tags.get("cifarpipe.run_uid", run.id)
            runs.setdefault(uid, []).append(run.content())
        models = sorted((m["info"]["name"], m["info"]["status"]) for m in self.models()) \
            if version() >= (3, 0) else []
        return {"runs": runs, "models": models}


class Run:
    """A run as the server tells it."""

    def __init__(self, look, answer):
        self.look, self.answer = look, answer
        info, data = answer["info"], answer["data"]
        self.info = info
        self.id, self.name, self.status = info["run_id"], info["run_name"], info["status"]
        self.experiment_id = info["experiment_id"]
        self.start_ms, self.end_ms = info.get("start_time"), info.get("end_time")
        self.deleted = info["lifecycle_stage"] == "deleted"
        self.params = {p["key"]: p.get("value", "") for p in data.get("params", [])}
        self.tags = {t["key"]: t.get("value", "") for t in data.get("tags", [])}
        self.last = {m["key"]: m["value"] for m in data.get("metrics", [])}
        self.inputs = answer.get("inputs", {}).get("dataset_inputs", [])
        self.model_outputs = answer.get("outputs", {}).get("model_outputs", [])

    def history(self, key, page=20000):
        """[(step, value, time)], by step."""
        points, token = [], ""
        while True:
            answer = self.look.get("metrics/get-history", run_id=self.id, metric_key=key,
                                   max_results=page, page_token=token)
            points += [(m.get("step", 0), m["value"], m["timestamp"])
                       for m in answer.get("metrics", [])]
            token = answer.get("next_page_token", "")
            if not token:
                return sorted(points, key=lambda p: (p[0], p[2], str(p[1])))

    def metrics(self):
        """key → [(step, value)], without what may differ between equal runs."""
        return {key: [(step, value) for step, value, _ in self.history(key)] for key in self.last
                if not key.endswith("_per_second") and not key.startswith("system/")}

    def files(self, folder=""):
        """path → size, of all artifacts."""
        found = {}
        for file in self.look.get("artifacts/list", run_id=self.id, path=folder).get("files", []):
            if file.get("is_dir"):
                found.update(self.files(file["path"]))
            else:
                found[file["path"]] = int(file.get("file_size", 0))
        return found

    def read(self, path):
        url = f"{self.look.url}/get-artifact?" + urllib.parse.urlencode(
            {"run_uuid": self.id, "path": path})
        return self.look.open(url)

    def children(self):
        return [r for r in self.look.runs() if r.tags.get("mlflow.parentRunId") == self.id]

    def content(self):
        """For comparisons; tags that name things of the server are left out."""
        names = ("mlflow.parentRunId", "mlflow.log-model.history")
        tags = {k: v for k, v in self.tags.items() if k not in names}
        return {"name": self.name, "status": self.status, "deleted": self.deleted,
                "start": self.start_ms, "end": self.end_ms, "params": self.params, "tags": tags,
                "metrics": {key: self.history(key) for key in self.last},
                "files": self.files(), "inputs": sorted(map(json.dumps, self.inputs)),
                "models": len(self.model_outputs)}
