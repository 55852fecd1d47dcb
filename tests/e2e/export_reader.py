"""Reads an export with the programs it is made for and prints what they say, as JSON:
export_reader.py EXPORT DATASET SPLIT. Run by exporting.py in a Python that has some of torch,
onnx, onnxruntime and safetensors; what is missing is left out of the answer."""

import importlib.util
import json
import pathlib
import sys


def has(*modules):
    return all(importlib.util.find_spec(name) for name in modules)


def images_of(np, dataset, split):
    info = json.loads((dataset / "dataset.json").read_text())
    shape = (-1, info["height"], info["width"], info["channels"])
    pixels = np.fromfile(dataset / f"{split}.images.bin", np.uint8).reshape(shape)
    labels = np.fromfile(dataset / f"{split}.labels.bin", np.int32)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255), labels


def figures(np, logits, labels):
    """Loss and accuracy, as evaluate counts them."""
    logits = logits.astype(np.float64)
    largest = logits.max(1)
    total = np.log(np.exp(logits - largest[:, None]).sum(1)) + largest
    rows = np.arange(len(labels))
    return {"loss": float((total - logits[rows, labels]).mean()),
            "accuracy": float((logits.argmax(1) == labels).mean())}


def read_onnx(np, export, images, labels, answers):
    import onnxruntime
    onnxruntime.set_default_logger_severity(3)
    found = {}
    for name in ("model", "model_int8"):
        session = onnxruntime.InferenceSession(str(export / f"{name}.onnx"))
        logits = session.run(["logits"], {"image": images})[0]
        one = session.run(["logits"], {"image": images[:1]})[0]  # The batch is not fixed.
        answers[name] = logits
        found[name] = figures(np, logits, labels)
        found[name]["one"] = float(abs(one - logits[:1]).max())
        found[name]["metadata"] = session.get_modelmeta().custom_metadata_map
    return found


def check_onnx(export):
    import onnx
    for name in ("model", "model_int8"):
        onnx.checker.check_model(onnx.load(export / f"{name}.onnx"), full_check=True)
    nodes = onnx.load(export / "model_int8.onnx").graph.node
    return sorted({node.op_type for node in nodes})


def read_torch(np, export, images, labels, answers):
    import torch
    module = torch.jit.load(export / "model.pt")
    with torch.no_grad():
        logits = module(torch.from_numpy(images)).numpy()
    answers["torchscript"] = logits
    state = torch.load(export / "model.pth", weights_only=True)
    own = module.state_dict()
    same = all(torch.equal(own[name], tensor) for name, tensor in state.items())
    torch.load(export / "model.pth", weights_only=True, mmap=True)
    return dict(figures(np, logits, labels), type=type(state).__name__, names=list(state),
                same=same)


def read_safetensors(export):
    from safetensors.numpy import load_file
    return {name: list(tensor.shape) for name, tensor in load_file(
        export / "model.safetensors").items()}


def main():
    export, dataset, split = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]
    found = {}
    if has("numpy"):
        import numpy as np
        answers = {}
        images, labels = images_of(np, dataset, split)
        if has("onnxruntime"):
            found["onnxruntime"] = read_onnx(np, export, images, labels, answers)
        if has("torch"):
            found["torch"] = read_torch(np, export, images, labels, answers)
        if has("safetensors"):
            found["safetensors"] = read_safetensors(export)
        if "model" in answers and "torchscript" in answers:
            found["apart"] = float(abs(answers["model"] - answers["torchscript"]).max())
    if has("onnx"):
        found["onnx"] = check_onnx(export)
    print(json.dumps(found))


main()
