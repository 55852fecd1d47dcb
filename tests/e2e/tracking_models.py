#!/usr/bin/env python3
"""Files, data sets, pictures, tables and models of a real pipeline on a real MLflow server, and
what MLflow's own programs make of them: the model is served, and answers as onnxruntime does.
"""

import json
import os
import pathlib
import re
import socket
import struct
import subprocess

from harness import ROOT, Store, TINY
from mlflow_server import HOME, Process, environment, is_well, version
from tracking_case import TrackingCase, main

EXPORT = TINY.read_text().replace('name = "tiny"', 'name = "{name}"').replace(
    "train_images = 128", "train_images = 240") + """
[stages.export]
uses = "export"
inputs.model = "train.model"
[stages.export.params]
images = 40
formats = ["onnx", "onnx_int8", "torchscript"]
"""
# A Python that has torch; MLflow's own need not.
TORCH_PYTHON = pathlib.Path(os.environ.get("CIFARPIPE_PYTHON", ROOT / ".venv/bin/python"))
# As the UI splits them: key, step, its number, timestamp, its number, uuid[, compressed].
IMAGE = re.compile(r"^images/[^+%#]+\+step\+-?\d+\+timestamp\+\d+\+[0-9a-f-]+(\+compressed)?"
                   r"\.(png|jpg|jpeg|webp)$")


def png_size(content):
    """(width, height)"""
    return struct.unpack(">II", content[16:24])


class Models(TrackingCase):
    @classmethod
    def setUpClass(cls):
        cls.kept = Store()
        cls.addClassCleanup(cls.kept.__exit__)
        cls.pipeline = cls.kept.write("p.toml", EXPORT.replace("{name}", "models"))
        cls.kept.run("run", cls.pipeline, expect=0, timeout=900, env={
            "MLFLOW_TRACKING_URI": cls.server.url, "HOME": str(cls.kept.dir)})
        cls.kept.run("sync", "--to", cls.server.url, expect=0)

    def setUp(self):
        self.store, self.name = self.kept, "models"
        self.env = {"MLFLOW_TRACKING_URI": self.server.url, "HOME": str(self.kept.dir)}

    def test_all_numbers(self):
        self.check_mirrored()

    def test_data_sets(self):  # 37, 38
        inputs = self.only().inputs
        contexts = {}
        for entry in inputs:
            data = entry["dataset"]
            tags = {t["key"]: t["value"] for t in entry.get("tags", [])}
            contexts[tags["mlflow.data.context"]] = data["name"]
            self.assertLessEqual(len(data["digest"]), 36)
            self.assertTrue(json.loads(data["source"]), data)
            schema = json.loads(data["schema"])["mlflow_tensorspec"]
            features = json.loads(schema["features"])
            self.assertEqual(features[0]["tensor-spec"]["shape"][0], -1)
            self.assertTrue(json.loads(data["profile"]))
        self.assertEqual(sorted(contexts), ["testing", "training", "validation"])
        self.assertEqual(len(set(contexts.values())), 3)

    def test_pictures(self):  # 46
        run = self.only()
        images = [f for f in run.files() if f.startswith("images/")]
        self.assertTrue(images)
        self.assertEqual(run.tags.get("mlflow.loggedImages", "").lower(), "true")
        for file in images:
            self.assertRegex(file, IMAGE)
            self.assertEqual(run.read(file)[:8], b"\x89PNG\r\n\x1a\n", file)
        for file in (f for f in images if "+compressed" not in f):
            small = f"{os.path.splitext(file)[0]}+compressed.png"
            self.assertIn(small, images)
            self.assertLessEqual(max(png_size(run.read(small))), 256)

    def test_tables(self):  # 47
        run = self.only()
        tables = json.loads(run.tags["mlflow.loggedArtifacts"])
        self.assertTrue(tables)
        for table in tables:
            content = json.loads(run.read(table["path"]))
            self.assertTrue(content["columns"])
            self.assertTrue(all(len(row) == len(content["columns"]) for row in content["data"]))

    def test_files_to_look_at(self):  # 48
        run = self.only()
        files = run.files()
        for wanted in (r"confusion.*\.png$", r"confusion.*\.csv$", r"\.toml$", r"run\.log$|\.log$"):
            self.assertTrue(any(re.search(wanted, f) for f in files), (wanted, sorted(files)))
        shown = self.store.json("runs", "show", "latest")
        sizes = {f["size"] for s in shown["stages"] for files in s["outputs"].values()
                 for f in files if f["path"].endswith(".png")}
        self.assertTrue(sizes & set(files.values()))  # As large as in the store.

    def model(self):
        """The URI of the logged model in ONNX, whatever the server's version."""
        run = self.only()
        if version() < (3, 0):
            history = [m["artifact_path"]
                       for m in json.loads(run.tags["mlflow.log-model.history"])]
            self.assertEqual(len(history), len(set(history)))
            found = [path for path in history if not re.search("int8|torchscript", path)]
            self.assertEqual(len(found), 1, history)
            return f"runs:/{run.id}/{found[0]}"
        models = [m for m in self.server.look.models()
                  if m["info"].get("source_run_id") == run.id and
                  not re.search("int8|torchscript", m["info"]["name"])]
        self.assertEqual(len(models), 1, [m["info"]["name"] for m in models])
        return f"models:/{models[0]['info']['model_id']}"

    def test_the_logged_model(self):  # 49
        if version() < (3, 0):
            self.skipTest("models are things of their own from MLflow 3.0 on")
        run = self.server.look.run(self.only().id)  # In a list 3.1 leaves the outputs out.
        for model in self.server.look.models():
            self.assertIn(model["info"]["status"], (2, "LOGGED_MODEL_READY"))
        self.assertTrue(run.model_outputs)
        found = self.model().removeprefix("models:/")
        answer = self.server.look.call(f"/api/2.0/mlflow/logged-models/{found}")["model"]
        metrics = answer["data"].get("metrics", [])
        self.assertTrue(metrics)
        self.assertTrue(any(m.get("dataset_name") for m in metrics), metrics)
        for metric in metrics:
            self.assertEqual(metric["value"], run.last[metric["key"]])

    def test_nothing_twice(self):  # 51, 52, 56
        before = self.server.look.everything()
        self.go("sync", "--to", self.server.url)
        self.go("run", self.pipeline, timeout=900)
        self.assertEqual(self.server.look.everything(), before)

    def test_served(self):  # 53, 54
        uri = self.model()
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            port = chosen.getsockname()[1]
        log = self.store.dir / "serve.log"
        url = f"http://127.0.0.1:{port}"
        os.environ["MLFLOW_TRACKING_URI"] = self.server.url
        try:
            process = Process([HOME / "bin/mlflow", "models", "serve", "-m", uri, "-p", port,
                               "-h", "127.0.0.1", "--env-manager", "local"], self.store.dir, log)
            process.wait_for(lambda: is_well(url, "/ping"))
        finally:
            del os.environ["MLFLOW_TRACKING_URI"]
        try:
            found = self.read_model(uri, url)
        finally:
            process.kill()
        self.assertEqual(found["missing"], [])
        self.assertLess(found["pyfunc"], 1e-4)
        self.assertLess(found["served"], 1e-4)
        self.assertLess(found["example"], 1e-4)

    def test_torchscript(self):  # 55
        if version() < (3, 0) or not TORCH_PYTHON.exists():
            self.skipTest("needs logged models and a Python with torch")
        model = next(m["info"] for m in self.server.look.models()
                     if "torchscript" in m["info"]["name"])
        torch = subprocess.run([TORCH_PYTHON, "-c", "import torch; print(torch.__path__[0])"],
                               stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        code = ("import mlflow.pytorch, torch\n"
                f"model = mlflow.pytorch.load_model('models:/{model['model_id']}')\n"
                "print(tuple(model(torch.zeros(2, 3, 32, 32)).shape))")
        done = subprocess.run(
            [HOME / "bin/python", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=environment(MLFLOW_TRACKING_URI=self.server.url,
                                       PYTHONPATH=os.path.dirname(torch)))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.splitlines()[-1], "(2, 10)")

    def read_model(self, uri, url):
        shown = self.store.json("runs", "show", "latest")
        key = next(s["key"] for s in shown["stages"] if s["name"] == "export")
        onnx = self.store.runs / "store" / key[:2] / key / "export/model.onnx"
        reader = os.path.join(os.path.dirname(__file__), "model_reader.py")
        done = subprocess.run([HOME / "bin/python", reader, self.server.url, uri, onnx, url],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=environment())
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])


class Registry(TrackingCase):
    def test_versions_and_alias(self):  # 56
        """A registered name: each run makes a version, each sync none."""
        name = "registered-by-test"
        text = EXPORT + f'[tracking.mlflow]\nregister = "{name}"\nalias = "champion"\n'
        del self.env["CIFARPIPE_PLUGIN_PATH"]
        self.go("run", self.file(text), timeout=900)
        self.assertEqual(len(self.server.look.versions(name)), 1)
        self.go("sync", "--to", self.server.url)
        self.assertEqual(len(self.server.look.versions(name)), 1)
        self.go("run", self.file(text), "--set", "pipeline.seed=7", timeout=900)
        versions = self.server.look.versions(name)
        self.assertEqual([v["version"] for v in versions], ["1", "2"])
        alias = self.server.look.get("registered-models/alias", name=name, alias="champion")
        self.assertEqual(alias["model_version"]["version"], "2")


if __name__ == "__main__":
    main()
