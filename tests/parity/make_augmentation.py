#!/usr/bin/env python3
"""Prints tests/parity/augmentation.inc: augmented batches as PyTorch's operations make them.

Images are made by a formula that tests/learn/augmentation_parity.cpp repeats. What is drawn is
drawn here once more, by the rule of stages/learn/counter_random.hpp. Colour is changed by the
formulas of torchvision.transforms.functional (adjust_brightness, adjust_contrast,
adjust_saturation) for images of floating numbers.
"""
import torch
from torch.nn import functional as F

HEIGHT, WIDTH, IMAGES, SEED, EPOCH = 5, 6, 3, 9, 1
MEAN, STD = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.25, 0.3])
MASK, GOLDEN = 2**64 - 1, 0x9E3779B97F4A7C15
AUGMENT, COLOUR, MIRROR = 3, 5, 7


def mix(x):
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ x >> 27) * 0x94D049BB133111EB & MASK
    return x ^ x >> 31


class Random:
    def __init__(self, purpose, a=0, b=0):
        self.key = mix(SEED + GOLDEN & MASK)
        for part in (purpose, a, b):
            self.key = mix((self.key ^ part) + GOLDEN & MASK)

    def bits(self, counter):
        return mix(self.key + (counter + 1) * GOLDEN & MASK)

    def below(self, counter, bound):
        return self.bits(counter) * bound >> 64

    def unit(self, counter):
        return (self.bits(counter) >> 11) * 2.0**-53


def image(row):
    """C x H x W, 0 to 255."""
    count = HEIGHT * WIDTH * 3
    i = torch.arange(row * count, (row + 1) * count)
    return ((i * 7919 + i // 5 * 1047) % 256).view(HEIGHT, WIDTH, 3).permute(2, 0, 1).float()


def grey(x):
    return 0.2989 * x[0] + 0.587 * x[1] + 0.114 * x[2]


def jittered(x, row, strength):
    draws = Random(COLOUR, EPOCH)
    factor = [1 + (2 * draws.unit(row * 8 + k) - 1) * strength for k in (2, 3, 4)]
    x = (x * factor[0]).clamp(0, 255)
    x = (grey(x).mean() * (1 - factor[1]) + x * factor[1]).clamp(0, 255)
    x = (grey(x) * (1 - factor[2]) + x * factor[2]).clamp(0, 255)
    return x.round()


def augmented(row, padding, mode, alternate=False, cutout=0, colour=0.0):
    draws = Random(AUGMENT, EPOCH)
    top, left = (draws.below(row * 4 + k, 2 * padding + 1) for k in (0, 1))
    flip = draws.unit(row * 4 + 2) < 0.5
    if alternate:
        flip = (Random(MIRROR).unit(row) < 0.5) != (EPOCH % 2 == 1)
    x = image(row)
    if colour:
        x = jittered(x, row, colour)
    x = F.pad(x[None], [padding] * 4, mode=mode)[0]
    x = x[:, top:top + HEIGHT, left:left + WIDTH]
    if flip:
        x = x.flip(2)
    x = (x / 255 - MEAN[:, None, None]) / STD[:, None, None]
    if cutout:
        more = Random(COLOUR, EPOCH)
        y = more.below(row * 8, HEIGHT - cutout + 1)
        z = more.below(row * 8 + 1, WIDTH - cutout + 1)
        x = x.clone()
        x[:, y:y + cutout, z:z + cutout] = 0
    return x


print(f"// Made by make_augmentation.py with PyTorch {torch.__version__.split('+')[0]}.")
for options in ({"padding": 2, "mode": "constant"},
                {"padding": 2, "mode": "reflect", "alternate": True},
                {"padding": 1, "mode": "constant", "cutout": 3},
                {"padding": 1, "mode": "reflect", "colour": 0.4}):
    values = torch.stack([augmented(row, **options) for row in range(IMAGES)]).flatten()
    print("{" + ", ".join(f"{v:.6g}F" if "." in f"{v:.6g}" else f"{v:.1f}F" for v in values.tolist())
          + "},")
