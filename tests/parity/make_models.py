#!/usr/bin/env python3
"""What PyTorch computes for the networks and the optimisers of stages/learn:

    make_models.py networks > models.inc
    make_models.py optimizers > optimizers.inc

Weights, images and gradients are made by formulas that tests/learn/parity.cpp repeats.

Networks, each: the logits of the first two of four images, evaluating; the loss and the length of
the gradient, training; the loss after one step of each optimiser; and of each tensor two figures, of
its gradient or, for running statistics, of what one training pass made of them: the length and the
projection on a fixed noise. (cifar10net without its dropout, which has draws of its own.)

Optimisers, each: the same two figures of the change of every tensor by three steps with gradients
that are noise. Muon is written out below, for PyTorch's differs.
"""
import itertools
import math
import sys

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
        self.group1, self.group2 = self.Group(24, 32), self.Group(32, 96)
        self.group3, self.head = self.Group(96, 256), nn.Linear(256, 10, bias=False)
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


def numbered(model):
    """Every floating tensor of a model with its number: its place in the order of the names."""
    tensors = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
    return [(number, name, tensors[name]) for number, name in enumerate(sorted(tensors))]


def fill(model):
    for number, name, t in numbered(model):
        values = noise(t.shape, number)
        if t.dim() > 1:
            t.copy_(values * math.sqrt(6 / (t.numel() / t.shape[0])))
        elif name.endswith("running_var") or ("norm" in name or "bn" in name
                                              or "downsample.1" in name) and name.endswith("weight"):
            t.copy_(1 + 0.25 * values)
        else:
            t.copy_(0.1 * values)
    return model


def figures(tensor, number):
    """Its length, and its projection on a noise: what is in the wrong place changes that."""
    values = tensor.double().flatten()
    direction = noise(values.shape, 200 + number).double()
    return [values.norm().item(), (values @ direction).item()]


def text(values, digits=7):
    return "{" + ", ".join(f"{v:.{digits}g}" for v in values) + "}"


def train_loss(model, images, labels):
    model.train()
    return F.cross_entropy(model(images), labels)


def network(name, make):
    images = noise((4, 3, 32, 32), 99) * 2
    labels = torch.tensor([3, 7, 1, 9])
    model = fill(make())
    model.eval()
    with torch.no_grad():
        found = model(images)[:2].flatten().tolist()
    loss = train_loss(model, images, labels)
    loss.backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    found.append(loss.item())
    found.append(torch.stack([g.norm() for g in gradients.values()]).norm().item())
    of_tensors = {tensor: figures(gradients.get(tensor, values), number)
                  for number, tensor, values in numbered(model)
                  if tensor in gradients or "running" in tensor}
    for rule in (lambda p: torch.optim.Adam(p, lr=1e-4, weight_decay=0.1),
                 lambda p: torch.optim.AdamW(p, lr=1e-4, weight_decay=0.1),
                 lambda p: torch.optim.SGD(p, lr=1e-2, weight_decay=0.1, momentum=0.9,
                                           nesterov=True)):
        stepped = fill(make())
        optimizer = rule([p for p in stepped.parameters() if p.requires_grad])
        train_loss(stepped, images, labels).backward()
        optimizer.step()
        found.append(train_loss(stepped, images, labels).item())
    print(f'{{"{name}", {text(found, 9)}, {{')
    for tensor, pair in of_tensors.items():
        print(f'{{"{tensor}", {text(pair)}}},')
    print("}},")


def orthogonalised(matrix):
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-7)
    for _ in range(3):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return x if matrix.shape[0] <= matrix.shape[1] else x.T


class Muon(torch.optim.Optimizer):
    """Keller Jordan's, as airbench has it for convolutions."""

    def __init__(self, parameters, lr, momentum):
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                velocity = self.state[p].setdefault("velocity", torch.zeros_like(p))
                velocity.mul_(group["momentum"]).add_(p.grad)
                ahead = p.grad + group["momentum"] * velocity
                p.mul_(math.sqrt(p.shape[0]) / p.norm())
                p.sub_(group["lr"] * orthogonalised(ahead.flatten(1)).view_as(p))


def plain_sgd(parameters):
    return [torch.optim.SGD(parameters.values(), lr=1e-2, weight_decay=0.1)]


def sgd_with_quick_biases(parameters, of=lambda p: True):
    biases = [p for n, p in parameters.items() if of(p) and n.endswith(".bias")]
    others = [p for n, p in parameters.items() if of(p) and not n.endswith(".bias")]
    return [torch.optim.SGD([{"params": others, "weight_decay": 0.1},
                             {"params": biases, "weight_decay": 0.1 / 64, "lr": 64e-2}],
                            lr=1e-2, momentum=0.85, nesterov=True)]


def muon(parameters):
    filters = [p for p in parameters.values() if p.dim() == 4]
    return [Muon(filters, lr=0.24e-2, momentum=0.6),
            *sgd_with_quick_biases(parameters, lambda p: p.dim() != 4)]


RULES = {
    "adam": lambda p: [torch.optim.Adam(p.values(), lr=1e-2, weight_decay=0.1)],
    "adamw": lambda p: [torch.optim.AdamW(p.values(), lr=1e-2, weight_decay=0.1)],
    "sgd": plain_sgd,
    "sgd with momentum": sgd_with_quick_biases,
    "muon": muon,
}


def optimizer(name, make, rule):
    model = fill(make())
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    numbers = {n: number for number, n, _ in numbered(model)}
    before = {n: p.detach().clone() for n, p in parameters.items()}
    optimizers = RULES[rule](parameters)
    groups = list(itertools.chain(*(o.param_groups for o in optimizers)))
    rates = [g["lr"] for g in groups]
    for step in range(3):
        for n, p in parameters.items():
            p.grad = noise(p.shape, 400 + 100 * step + numbers[n]) * 0.01
        for group, rate in zip(groups, rates):
            group["lr"] = rate * (1 + step)
        for each in optimizers:
            each.step()
    print(f'{{"{name}", "{rule}", {{')
    for n, p in parameters.items():
        print(f'{{"{n}", {text(figures(p.detach() - before[n], numbers[n]))}}},')
    print("}},")


torch.set_num_threads(1)
print(f"// Made by make_models.py with PyTorch {torch.__version__.split('+')[0]}.")
if sys.argv[1:] == ["networks"]:
    for name, make in {"cifar10net": Cifar10Net, "resnet9": ResNet9, "resnet18": ResNet18,
                       "wide_resnet16_4": WideResNet16x4, "fastnet": FastNet}.items():
        network(name, make)
elif sys.argv[1:] == ["optimizers"]:
    for rule in RULES:
        for name, make in {"cifar10net": Cifar10Net, "fastnet": FastNet}.items():
            optimizer(name, make, rule)
else:
    sys.exit(__doc__)
