#!/usr/bin/env python3
"""The worker computes with libtorch's own BLAS, whatever a plugin links: the bits of a fixed matrix
product equal those of a program that links libtorch alone.

    compare.py ALONE PLUGIN_FOLDER
"""

import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from harness import Store  # noqa: E402

alone = subprocess.run([sys.argv[1]], check=True, capture_output=True, text=True).stdout.strip()
with Store() as store:
    file = store.write("p.toml", '[stages.x]\nuses = "product"\n')
    store.run("run", file, env={"CIFARPIPE_PLUGIN_PATH": sys.argv[2]}, expect=0)
    out = store.run("runs", "path", "latest", "x.out", expect=0).out.strip()
    worker = (pathlib.Path(out) / "text.txt").read_text().strip()
print(f"alone  {alone}\nworker {worker}")
sys.exit(alone != worker)
