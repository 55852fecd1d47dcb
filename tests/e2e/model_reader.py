"""What MLflow makes of a logged model: model_reader.py TRACKING_URI MODEL_URI MODEL.onnx SERVED_URL
prints as JSON how far its answers are from onnxruntime's on the same images. Run by
tracking_models.py in MLflow's own Python."""

import json
import pathlib
import sys
import urllib.request

import mlflow
import numpy as np
import onnxruntime
import yaml


def served(url, body):
    request = urllib.request.Request(f"{url}/invocations", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())["predictions"]


def only_output(answer):
    """An answer is a dict of outputs, or the list of the only one."""
    if isinstance(answer, dict):
        assert len(answer) == 1, list(answer)
        answer = next(iter(answer.values()))
    return np.asarray(answer, np.float64)


def main():
    uri, model_uri, onnx_file, url = sys.argv[1:]
    mlflow.set_tracking_uri(uri)
    session = onnxruntime.InferenceSession(onnx_file)
    entry = session.get_inputs()[0]
    images = np.random.default_rng(1).random((3, *entry.shape[1:]), np.float32)
    expected = session.run(None, {entry.name: images})[0].astype(np.float64)

    folder = pathlib.Path(mlflow.artifacts.download_artifacts(model_uri))
    described = yaml.safe_load((folder / "MLmodel").read_text())
    example = json.loads((folder / "serving_input_example.json").read_text())
    of_example = session.run(None, {entry.name: np.asarray(example["inputs"], np.float32)})[0]
    named = [described["flavors"]["onnx"]["data"],
             *described["flavors"]["python_function"].get("env", {}).values(),
             described["saved_input_example_info"]["artifact_path"], "requirements.txt"]
    model = mlflow.pyfunc.load_model(model_uri)
    signature = model.metadata.signature
    print(json.dumps({
        "files": sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()),
        "missing": [name for name in named if not (folder / name).is_file()],
        "inputs": [i["name"] for i in signature.inputs.to_dict()],
        "outputs": [o["name"] for o in signature.outputs.to_dict()],
        "pyfunc": float(abs(only_output(model.predict(images)) - expected).max()),
        "served": float(abs(only_output(served(url, {"inputs": images.tolist()})) - expected).max()),
        "example": float(abs(only_output(served(url, example)) - of_example).max()),
    }))


main()
