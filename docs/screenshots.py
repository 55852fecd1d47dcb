"""Pictures of MLflow's pages with a run of every shipped configuration, in small and on drawn
images: see docs/screenshots.
Prints for each page what its console complained about. Run by MLflow's Python, which has Pillow."""

import json
import os
import pathlib
import shutil
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
sys.path.insert(0, str(ROOT / "docs"))
from PIL import Image  # noqa: E402

from browser import Browser  # noqa: E402
from harness import Store  # noqa: E402
from mlflow_server import Server, version  # noqa: E402

SMALL = ["--set", "download.train_images=1200", "--set", "download.test_images=400"]
CLASSES = "plane car bird cat deer dog frog horse ship truck".split()
SHORT = ["--set", "train.epochs=2", "--set", "train.batch_size=32"]
# Configurations of CIFAR-10, with what makes them last seconds.
OF_CIFAR10 = {
    "train.toml": [*SHORT, "--set", "finetune.epochs=2", "--set", "finetune.batch_size=32"],
    "finetune.toml": ["--set", "finetune.epochs=2", "--set", "finetune.batch_size=32"],
    "fast.toml": [*SHORT],
    "best.toml": ["--set", "train.epochs=1", "--set", "train.image_sizes=[]",
                  "--set", "train.batch_size=64",
                  "--set", "train.warmup=0.2"],
    "models.toml": ["--set", "train.epochs=1", "--set", "train.batch_size=32",
                    "--set", 'matrix.train.architecture=["cifar10net", "fastnet", "linear"]'],
}
# Training, not the assistant for language models, is what a new browser is to show; and no tours.
SETTINGS = """
if (location.protocol.startsWith('http')) {
  localStorage.setItem('mlflow.workflowType_v1', JSON.stringify('machine_learning'));
}
"""


CLOSE_ASSISTANT = """
document.querySelector('[data-component-id="mlflow.assistant.chat_panel.close"]')?.click()
"""


def draw_cifar10(store):
    """Drawn images in CIFAR-10's layout, and as folders of pictures: (files, folder)."""
    store.run("run", ROOT / "configs/quickstart.toml", *SMALL, "--until", "download", expect=0)
    source = pathlib.Path(store.run("runs", "path", "latest", "download").out.strip()) / "files"
    files = store.dir / "cifar-10"
    shutil.copytree(source, files)
    (files / "batches.meta.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    folder = store.dir / "pictures"
    for batch in sorted(files.glob("data_batch_*.bin"))[:1]:
        raw = batch.read_bytes()
        for i in range(min(len(raw) // 3073, 240)):
            one = raw[i * 3073:(i + 1) * 3073]
            place = folder / CLASSES[one[0]] / f"{i}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            planes = [Image.frombytes("L", (32, 32), one[1 + c * 1024:1 + (c + 1) * 1024])
                      for c in range(3)]
            Image.merge("RGB", planes).save(place)
    return files, folder


def make_runs(store, server):
    env = {"MLFLOW_TRACKING_URI": server.url, "HOME": str(store.dir),
           "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "true",
           "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "1"}
    base = os.path.relpath(ROOT / "configs/quickstart.toml", store.dir)
    export = store.write("quickstart.toml", f'extends = "{base}"\n[pipeline]\nname = "quickstart"\n'
                         '[stages.export]\nuses = "export"\ninputs.model = "train.model"\n')
    for seed in (42, 7):
        store.run("run", export, *SMALL, "--set", f"pipeline.seed={seed}", env=env, expect=0,
                  timeout=900)
    store.run("run", ROOT / "configs/sweep.toml", *SMALL, "--set", "train.epochs=3", env=env,
              expect=0, timeout=1800)
    with Store() as other:
        files, folder = draw_cifar10(other)
        for name, settings in OF_CIFAR10.items():
            store.run("run", ROOT / "configs" / name, "--set", f"download.source={files}", *settings,
                      env=env, expect=0, timeout=1800)
        store.run("run", ROOT / "configs/folder.toml", "--set", f"download.source={folder}",
                  "--set", "data.size=[32]", "--set", "train.architecture=cifar10net",
                  "--set", "train.epochs=2", env=env, expect=0, timeout=1800)
    store.run("sync", "--to", server.url, env=env, expect=0)


def pages(server):
    """name → address: everything of a run and of a sweep, the run's own page of the others."""
    look = server.look
    ml = "workflowType=machine_learning"
    found = {"experiments": f"{server.url}/#/experiments?{ml}"}
    for name, experiment in look.experiments().items():
        base = f"{server.url}/#/experiments/{experiment['experiment_id']}"
        if name not in ("quickstart", "sweep"):
            found[f"{name}-run"] = f"{base}/runs/{look.runs(name)[0].id}?{ml}"
            continue
        shared = f"{base}/runs?{ml}&viewStateShareKey=cifarpipe"
        found[f"{name}-runs"] = f"{base}/runs?{ml}"
        found[f"{name}-columns"] = shared
        found[f"{name}-charts"] = f"{shared}&compareRunsMode=CHART"
        found[f"{name}-models"] = f"{base}/models?{ml}"
        runs = look.runs(name)
        run = f"{base}/runs/{runs[0].id}"
        for tab in ("", "/model-metrics", "/system-metrics", "/artifacts"):
            found[f"{name}-run{tab.replace('/', '-')}"] = f"{run}{tab}?{ml}"
        table = next((p for p in runs[0].files() if p.endswith("confusion_matrix.png")), None)
        if table:
            found[f"{name}-run-confusion"] = f"{run}/artifacts/{urllib.parse.quote(table)}?{ml}"
        chosen = [r for r in runs if "mlflow.parentRunId" in r.tags][:4] or runs[:2]
        query = urllib.parse.urlencode({"runs": json.dumps([r.id for r in chosen]),
                                        "experiments": json.dumps([experiment["experiment_id"]])})
        found[f"{name}-compare"] = f"{server.url}/#/compare-runs?{query}&{ml}"
        if version() >= (3, 0):
            models = [m["info"] for m in look.models()
                      if m["info"]["experiment_id"] == experiment["experiment_id"]]
            if models:
                found[f"{name}-model"] = f"{base}/models/{models[0]['model_id']}?{ml}"
    return found


def shrink(path):
    """To a palette: a page has few colours."""
    Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build/screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    with Store() as store, Server() as server:
        make_runs(store, server)
        with Browser((1440, 860)) as browser:
            browser.on_every_page(SETTINGS)
            for name, address in pages(server).items():
                browser.complaints.clear()
                browser.open(address, timeout=25)  # Some pages never cease to ask.
                browser.evaluate(CLOSE_ASSISTANT)
                browser.wait(1.0, timeout=5)
                path = folder / f"{name}.png"
                browser.picture(path)
                shrink(path)
                print(f"{path.name}: {path.stat().st_size // 1000} kB", *browser.complaints[:3],
                      sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
