#!/usr/bin/env python3
"""Time to the reference's accuracy: configs/fast.toml against the reference recipe in Python.

  fast.py reference ARCHIVE SEED EPOCHS THREADS   trains as the reference does, in bf16; prints JSON
  fast.py compare CIFARPIPE ARCHIVE [--seeds 1,2,3] [--reference-seeds 1] [--epochs 20]

Both sides are timed as whole processes, from their start to their answer on the test split, each
from the archive in the layout of cifar-10-binary.tar.gz; cifarpipe with an empty store each time.
The accuracy of the reference is plain, as the reference gives it.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time


def read_archive(numpy, path):
    """Images NHWC and labels of the training and of the test split."""
    splits = {"data_batch_": [], "test_batch": []}
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            for name, parts in splits.items():
                if os.path.basename(member.name).startswith(name):
                    raw = numpy.frombuffer(archive.extractfile(member).read(), numpy.uint8)
                    parts.append(raw.reshape(-1, 3073))
    result = []
    for parts in splits.values():
        rows = numpy.concatenate(parts)
        images = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        result += [numpy.ascontiguousarray(images), rows[:, 0].astype("int64")]
    return result


def reference(archive, seed, epochs, threads):
    import numpy
    import torch
    import training
    training.torch = torch
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(seed)
    images, labels, test_images, test_labels = map(torch.from_numpy, read_archive(numpy, archive))
    model = training.make_model(torch.nn, torch.nn.functional).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 10, 0.1)
    augmenter = training.Augmenter(images)
    autocast = torch.autocast("cpu", dtype=torch.bfloat16)
    for _ in range(epochs):
        model.train()
        for rows in torch.randperm(len(images)).split(training.BATCH):
            with autocast:
                logits = model(augmenter.batch(rows))
            loss = torch.nn.functional.cross_entropy(logits.float(), labels[rows])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        schedule.step()
    model.eval()
    right = 0
    mean, std = torch.tensor(training.MEAN), torch.tensor(training.STD)
    with torch.no_grad(), autocast:
        for x, y in zip(test_images.split(500), test_labels.split(500)):
            x = x.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)
            right += (model(x).argmax(1) == y).sum().item()
    print(json.dumps({"accuracy": right / len(test_labels), "torch": torch.__version__}))


def run_reference(options, seed):
    began = time.perf_counter()
    out = subprocess.run([sys.executable, os.path.abspath(__file__), "reference", options.archive,
                          str(seed), str(options.epochs), str(options.threads)],
                         check=True, stdout=subprocess.PIPE)
    seconds = time.perf_counter() - began
    answer = json.loads(out.stdout)
    print(f"Python seed {seed}: {answer['accuracy']:.4f} in {seconds:.1f} s "
          f"({options.epochs} epochs, bf16, torch {answer['torch']})", flush=True)
    return answer["accuracy"], seconds


def run_cifarpipe(options, seed, folder):
    config = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "configs", "fast.toml")
    command = [options.cifarpipe, "run", config, "--runs", folder,
               "--set", f"pipeline.seed={seed}", "--set", f"download.source={options.archive}"]
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    shown = subprocess.run([options.cifarpipe, "runs", "list", "--json", "--runs", folder],
                           check=True, stdout=subprocess.PIPE)
    accuracy = json.loads(shown.stdout)[0]["metrics"]["test/accuracy"]["last"]
    print(f"cifarpipe seed {seed}: {accuracy:.4f} in {seconds:.1f} s", flush=True)
    return accuracy, seconds


def compare(options):
    print(f"CIFAR-10 from {os.path.basename(options.archive)}, {options.threads} threads of "
          f"{os.cpu_count()}, load {os.getloadavg()[0]:.2f}, Python {platform.python_version()}")
    ours = []
    for seed in options.seeds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            ours.append(run_cifarpipe(options, int(seed), folder))
    theirs = [run_reference(options, int(seed)) for seed in options.reference_seeds.split(",")]
    accuracy, seconds = (statistics.mean(side) for side in zip(*ours))
    wanted, reference_seconds = (statistics.mean(side) for side in zip(*theirs))
    print(f"fast.toml: {accuracy:.4f} (mean of {len(ours)}) in {seconds:.1f} s; the reference in "
          f"Python: {wanted:.4f} (mean of {len(theirs)}) in {reference_seconds:.1f} s: "
          f"{reference_seconds / seconds:.1f} times sooner, "
          f"{'as accurate' if accuracy >= wanted else 'LESS ACCURATE'}")


def main():
    if len(sys.argv) == 6 and sys.argv[1] == "reference":
        return reference(sys.argv[2], *map(int, sys.argv[3:]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["compare"])
    parser.add_argument("cifarpipe")
    parser.add_argument("archive", type=os.path.abspath)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--reference-seeds", default="1")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return compare(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
