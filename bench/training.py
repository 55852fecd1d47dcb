#!/usr/bin/env python3
"""The Python twin of the training loop, as fast as plain PyTorch lets it be, and the comparison.

  training.py time DIR STEPS WARMUP PRECISION THREADS     as training_driver does; prints JSON
  training.py compare DRIVER DIR [--pairs N] [--steps N] [--warmup N] [--threads N]
                      [--precision fp32,bf16]             alternating pairs, ratios

The twin has the same network, batch size, augmentation, optimiser and precision: uint8 images in
one tensor, batches sliced from it and augmented as a whole, channels_last, fused Adam, denormals
flushed. A ratio above 1 means that the C++ driver is faster.
"""
import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time

MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
BATCH = 128
PADDING = 4


def make_model(nn, functional):
    class Cifar10Net(nn.Module):
        def __init__(self):
            super().__init__()
            widths = [3, 32, 32, 64, 64, 128, 128]
            for i in range(6):
                setattr(self, f"conv{i + 1}", nn.Conv2d(widths[i], widths[i + 1], 3, padding=1))
                setattr(self, f"bn{i + 1}", nn.BatchNorm2d(widths[i + 1]))
            self.fc1 = nn.Linear(2048, 512)
            self.fc2 = nn.Linear(512, 10)

        def forward(self, x):
            for i in (1, 3, 5):
                for j in (i, i + 1):
                    x = getattr(self, f"bn{j}")(getattr(self, f"conv{j}")(x))
                    x = functional.relu(x, inplace=True)
                x = functional.dropout(functional.max_pool2d(x, 2), 0.25, self.training)
            x = functional.relu(self.fc1(torch.flatten(x, 1)), inplace=True)
            return self.fc2(functional.dropout(x, 0.5, self.training))

    return Cifar10Net()


def load(directory):
    import numpy
    info = json.load(open(os.path.join(directory, "dataset.json")))
    shape = (info["splits"]["train"]["count"], info["height"], info["width"], info["channels"])
    images = numpy.fromfile(os.path.join(directory, "train.images.bin"), numpy.uint8)
    labels = numpy.fromfile(os.path.join(directory, "train.labels.bin"), numpy.int32)
    return torch.from_numpy(images.reshape(shape)), torch.from_numpy(labels).long()


class Augmenter:
    """Zero padding, random crop and flip of a whole batch by one gather."""

    def __init__(self, images):
        self.images = images
        self.side = torch.arange(images.shape[1])
        self.mean = torch.tensor(MEAN)
        self.std = torch.tensor(STD)

    def batch(self, rows):
        n = len(rows)
        padded = torch.nn.functional.pad(self.images[rows], (0, 0, PADDING, PADDING, PADDING, PADDING))
        top = torch.randint(0, 2 * PADDING + 1, (n, 1))
        left = torch.randint(0, 2 * PADDING + 1, (n, 1))
        flip = torch.rand(n, 1) < 0.5
        ys = top + self.side
        xs = left + torch.where(flip, self.side.flip(0), self.side)
        cropped = padded[torch.arange(n)[:, None, None], ys[:, :, None], xs[:, None, :]]
        return cropped.float().div_(255).sub_(self.mean).div_(self.std).permute(0, 3, 1, 2)


def time_steps(directory, steps, warmup, precision, threads):
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    torch.manual_seed(1)
    images, labels = load(directory)
    functional = torch.nn.functional
    model = make_model(torch.nn, functional).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    augmenter = Augmenter(images)
    order = torch.randperm(len(images))
    batches = len(images) // BATCH
    correct, loss_sum = 0, 0.0

    def step(i):
        nonlocal correct, loss_sum
        b = i % batches
        rows = order[b * BATCH:(b + 1) * BATCH]
        x, y = augmenter.batch(rows), labels[rows]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = model(x)
        logits = logits.float()
        loss = functional.cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        correct += (logits.argmax(1) == y).sum().item()
        loss_sum += loss.item()

    for i in range(warmup):
        step(i)
    began = time.perf_counter()
    for i in range(warmup, warmup + steps):
        step(i)
    seconds = time.perf_counter() - began
    print(json.dumps({"images_per_second": round(steps * BATCH / seconds, 2), "steps": steps,
                      "threads": torch.get_num_threads(), "torch": torch.__version__}))


def time_batches(directory, count, precision):
    """Augmented batches alone, on one thread."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    images, _ = load(directory)
    augmenter = Augmenter(images)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    order = torch.randperm(len(images))
    began = 0.0
    for i in range(-5, count):
        if i == 0:
            began = time.perf_counter()
        at = (i + 5) * BATCH % (len(images) - BATCH)
        augmenter.batch(order[at:at + BATCH]).to(kind)
    print(json.dumps({"images_per_second": count * BATCH / (time.perf_counter() - began)}))


def interval(ratios):
    """The order statistics that hold the median with at least 95 % probability."""
    n, k = len(ratios), 0
    while k + 1 <= n // 2 and 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2 ** n <= 0.05:
        k += 1
    if k == 0:
        return min(ratios), max(ratios)
    return sorted(ratios)[k - 1], sorted(ratios)[n - k]


def cpu_name():
    try:
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def compare(options):
    environment = {k: v for k, v in os.environ.items()
                   if not k.startswith(("OMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_", "KMP_"))}

    def measure(command, precision):
        command = command + ["time", options.directory, str(options.steps), str(options.warmup),
                             precision, str(options.threads)]
        out = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
        return json.loads(out.stdout)

    cpp, python = [options.driver], [sys.executable, os.path.abspath(__file__)]
    print(f"{cpu_name()}, {options.threads} threads of {os.cpu_count()}, "
          f"load {os.getloadavg()[0]:.2f}, Python {platform.python_version()}, "
          f"batch {BATCH}, {options.steps} steps a measurement after {options.warmup}")
    for precision in options.precision.split(","):
        speeds = [json.loads(subprocess.run(command + ["batches", options.directory, count, precision],
                                            env=environment, check=True,
                                            stdout=subprocess.PIPE).stdout)["images_per_second"]
                  for command, count in ((cpp, "3000"), (python, "60"))]
        print(f"{precision} augmented batches alone, one thread: C++ {speeds[0]:.0f}, Python "
              f"{speeds[1]:.0f} images/s, ratio {speeds[0] / speeds[1]:.1f}", flush=True)
    slower = False
    for precision in options.precision.split(","):
        ratios, speeds = [], {"C++": [], "Python": []}
        for pair in range(options.pairs):
            order = [("C++", cpp), ("Python", python)]
            if pair % 2:
                order.reverse()
            for name, command in order:
                result = measure(command, precision)
                speeds[name].append(result["images_per_second"])
                version = result.get("torch", "") or locals().get("version", "")
            ratios.append(speeds["C++"][-1] / speeds["Python"][-1])
            print(f"  {precision} pair {pair + 1}: C++ {speeds['C++'][-1]:.0f}, "
                  f"Python {speeds['Python'][-1]:.0f} images/s, ratio {ratios[-1]:.3f}", flush=True)
        low, high = interval(ratios)
        median = statistics.median(ratios)
        verdict = "no slower" if median >= 1 or low <= 1 <= high else "SLOWER"
        slower = slower or verdict == "SLOWER"
        print(f"{precision}: C++ / Python median {median:.3f}, 95 % interval {low:.3f} to {high:.3f} "
              f"({options.pairs} pairs, medians {statistics.median(speeds['C++']):.0f} and "
              f"{statistics.median(speeds['Python']):.0f} images/s, torch {version}): {verdict}")
    return 1 if slower else 0


def main():
    global torch
    if len(sys.argv) > 1 and sys.argv[1] == "time":
        import torch
        time_steps(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], int(sys.argv[6]))
        return 0
    if len(sys.argv) > 1 and sys.argv[1] == "batches":
        import torch
        time_batches(sys.argv[2], int(sys.argv[3]), sys.argv[4])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["compare"])
    parser.add_argument("driver")
    parser.add_argument("directory")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--warmup", type=int, default=8)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--precision", default="fp32,bf16")
    return compare(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
