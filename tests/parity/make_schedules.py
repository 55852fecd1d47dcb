#!/usr/bin/env python3
"""Prints the learning rates that tests/learn/recipe.cpp expects, from PyTorch's schedulers."""
import torch
from torch.optim import lr_scheduler as s


def rates(make, by_epoch):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = make(optimizer)
    found = []
    for step in range(8):  # 4 epochs of 2 steps
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (not by_epoch or step % 2 == 1) and step < 7:
            scheduler.step()
    return found


print("step", rates(lambda o: s.StepLR(o, 2, 0.1), True))
print("multi_step", rates(lambda o: s.MultiStepLR(o, [1, 3], 0.1), True))
print("cosine", rates(lambda o: s.CosineAnnealingLR(o, 8), False))
print("linear", rates(lambda o: s.LinearLR(o, 1.0, 0.2, 8), False))
print("one_cycle", rates(lambda o: s.OneCycleLR(o, 0.1, total_steps=8, pct_start=0.5), False))
