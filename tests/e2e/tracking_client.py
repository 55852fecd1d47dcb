#!/usr/bin/env python3
"""The MLflow client alone (tests/unit/mlflow_real.cpp) against a real server."""

import os
import subprocess
import sys

import mlflow_server
from harness import BIN


def main():
    mlflow_server.need_mlflow()
    with mlflow_server.Server() as server:
        done = subprocess.run([BIN / "cifarpipe_unit", "--run_test=mlflow_real",
                               "--log_level=test_suite"],
                              env=dict(os.environ, CIFARPIPE_TEST_MLFLOW=server.url))
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
