#!/usr/bin/env python3
"""Prints tests/parity/models.inc: what PyTorch computes for the networks of stages/learn.

Weights and images are made by formulas that tests/learn/parity.cpp repeats. Of each network: the
logits of the first two of four images, evaluating; the loss and the length of the gradient, training; and the loss
after one step of each optimiser. (cifar10net is only evaluated: its dropout has draws of its own.)
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


def conv(i, o, k=3, s=1, p=1):
    return nn.Conv2d(i, o, k, s, p, bias=False)


class Cifar10Net(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [3, 32, 32, 64, 64, 128, 128]
        for i in range(6):
            setattr(self, f"conv{i + 1}", nn.Conv2d(widths[i], widths[i + 1], 3, padding=1))
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(widths[i + 1]))
        self.fc1, self.fc2 = nn.Linear(2048, 512), nn.Linear(512, 10)

    def forward(self, x):
        for i in range(1, 7):
            x = F.relu(getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(x)))
            x = F.max_pool2d(x, 2) if i % 2 == 0 else x
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class ConvNormRelu(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.conv, self.norm = conv(i, o), nn.BatchNorm2d(o)

    def forward(self, x):
        return F.relu(self.norm(self.conv(x)))


class ResNet9(nn.Module):
    class Layer(ConvNormRelu):
        def __init__(self, i, o, residual):
            super().__init__(i, o)
            if residual:
                self.res1, self.res2 = ConvNormRelu(o, o), ConvNormRelu(o, o)

        def forward(self, x):
            x = F.max_pool2d(super().forward(x), 2)
            return x + self.res2(self.res1(x)) if hasattr(self, "res1") else x

    def __init__(self):
        super().__init__()
        self.prep = ConvNormRelu(3, 64)
        self.layer1 = self.Layer(64, 128, True)
        self.layer2 = self.Layer(128, 256, False)
        self.layer3 = self.Layer(256, 512, True)
        self.fc = nn.Linear(512, 10, bias=False)

    def forward(self, x):
        x = self.layer3(self.layer2(self.layer1(self.prep(x))))
        return self.fc(F.max_pool2d(x, 4).flatten(1)) * 0.125


class ResNet18(nn.Module):
    class Block(nn.Module):
        def __init__(self, i, o, s):
            super().__init__()
            self.conv1, self.bn1 = conv(i, o, s=s), nn.BatchNorm2d(o)
            self.conv2, self.bn2 = conv(o, o), nn.BatchNorm2d(o)
            self.downsample = nn.Sequential()
            if s != 1 or i != o:
                self.downsample = nn.Sequential(conv(i, o, 1, s, 0), nn.BatchNorm2d(o))

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + self.downsample(x))

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = conv(3, 64), nn.BatchNorm2d(64)
        width = 64
        for layer in range(1, 5):
            o = 64 << (layer - 1)
            setattr(self, f"layer{layer}", nn.Sequential(
                self.Block(width, o, 1 if layer == 1 else 2), self.Block(o, o, 1)))
            width = o
        self.fc = nn.Linear(512, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return self.fc(x.mean((2, 3)))


class WideResNet16x4(nn.Module):
    class Block(nn.Module):
        def __init__(self, i, o, s):
            super().__init__()
            self.bn1, self.conv1 = nn.BatchNorm2d(i), conv(i, o, s=s)
            self.bn2, self.conv2 = nn.BatchNorm2d(o), conv(o, o)
            if i != o:
                self.convShortcut = conv(i, o, 1, s, 0)

        def forward(self, x):
            active = F.relu(self.bn1(x))
            y = self.conv2(F.relu(self.bn2(self.conv1(active))))
            return y + (self.convShortcut(active) if hasattr(self, "convShortcut") else x)

    class Group(nn.Module):
        def __init__(self, i, o, s):
            super().__init__()
            block = WideResNet16x4.Block
            self.layer = nn.Sequential(block(i, o, s), block(o, o, 1))

        def forward(self, x):
            return self.layer(x)

    def __init__(self):
        super().__init__()
        self.conv1 = conv(3, 16)
        self.block1 = self.Group(16, 64, 1)
        self.block2 = self.Group(64, 128, 2)
        self.block3 = self.Group(128, 256, 2)
        self.bn1, self.fc = nn.BatchNorm2d(256), nn.Linear(256, 10)

    def forward(self, x):
        x = self.block3(self.block2(self.block1(self.conv1(x))))
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class FastNet(nn.Module):
    class Group(nn.Module):
        def __init__(self, i, o):
            super().__init__()
            self.conv1, self.conv2 = conv(i, o), conv(o, o)
            self.norm1 = nn.BatchNorm2d(o, 1e-12, 0.4)
            self.norm2 = nn.BatchNorm2d(o, 1e-12, 0.4)

        def forward(self, x):
            x = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)))
            return F.gelu(self.norm2(self.conv2(x)))

    def __init__(self):
        super().__init__()
        self.whiten = nn.Conv2d(3, 24, 2)
        self.group1, self.group2 = self.Group(24, 32), self.Group(32, 128)
        self.group3, self.head = self.Group(128, 320), nn.Linear(320, 10, bias=False)
        self.whiten.weight.requires_grad_(False)
        for name, parameter in self.named_parameters():
            if "norm" in name and name.endswith("weight"):
                parameter.requires_grad_(False)

    def forward(self, x):
        x = self.group3(self.group2(self.group1(F.gelu(self.whiten(x)))))
        return self.head(F.max_pool2d(x, 3).flatten(1)) / 9


def noise(shape, number):
    """In [-1, 1): the well-known fraction of sin(12.9898 i + 78.233 number) times 43758.5453."""
    places = torch.arange(math.prod(shape), dtype=torch.double)
    values = torch.sin(12.9898 * places + 78.233 * (number + 1)) * 43758.5453
    return (2 * (values - values.floor()) - 1).reshape(shape).float()


def fill(model):
    tensors = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
    for number, name in enumerate(sorted(tensors)):
        t = tensors[name]
        values = noise(t.shape, number)
        if t.dim() > 1:
            t.copy_(values * math.sqrt(6 / (t.numel() / t.shape[0])))
        elif name.endswith("running_var") or ("norm" in name or "bn" in name
                                              or "downsample.1" in name) and name.endswith("weight"):
            t.copy_(1 + 0.25 * values)
        else:
            t.copy_(0.1 * values)


def train_loss(model, images, labels):
    model.train()
    return F.cross_entropy(model(images), labels)


def figures(make):
    images = noise((4, 3, 32, 32), 99) * 2
    labels = torch.tensor([3, 7, 1, 9])
    model = make()
    fill(model)
    model.eval()
    with torch.no_grad():
        found = model(images)[:2].flatten().tolist()
    if make is Cifar10Net:
        return found
    train_loss(model, images, labels).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    fresh = make()
    fill(fresh)
    found.append(train_loss(fresh, images, labels).item())
    found.append(torch.stack([g.norm() for g in gradients]).norm().item())
    for rule in (lambda p: torch.optim.Adam(p, lr=1e-4, weight_decay=0.1),
                 lambda p: torch.optim.AdamW(p, lr=1e-4, weight_decay=0.1),
                 lambda p: torch.optim.SGD(p, lr=1e-2, weight_decay=0.1, momentum=0.9,
                                           nesterov=True)):
        stepped = make()
        fill(stepped)
        optimizer = rule([p for p in stepped.parameters() if p.requires_grad])
        train_loss(stepped, images, labels).backward()
        optimizer.step()
        found.append(train_loss(stepped, images, labels).item())
    return found


torch.set_num_threads(1)
print(f"// Made by make_models.py with PyTorch {torch.__version__.split('+')[0]}.")
for name, make in {"cifar10net": Cifar10Net, "resnet9": ResNet9, "resnet18": ResNet18,
                   "wide_resnet16_4": WideResNet16x4, "fastnet": FastNet}.items():
    numbers = ", ".join(f"{v:.9g}" for v in figures(make))
    print(f'{{"{name}", {{{numbers}}}}},')
