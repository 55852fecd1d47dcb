#!/usr/bin/env python3
"""Writes tests/parity/resize.inc: what Pillow makes of images that a formula gives, for
tests/data/resize.cpp.

    python tests/parity/make_resize.py        (needs Pillow below 13, and NumPy)

Written with Pillow 10.4. Pillow 13 shrinks columns before rows where an image is much taller than
wide, which gives other roundings for two of the cases.
"""

import hashlib
import pathlib

import numpy
from PIL import Image

# width, height, channels, target width, target height
CASES = [
    (32, 32, 3, 32, 32), (48, 40, 3, 32, 32), (40, 48, 3, 32, 32), (49, 98, 3, 32, 32),
    (500, 333, 3, 32, 32), (333, 500, 1, 32, 32), (7, 5, 3, 32, 32), (1, 1, 3, 32, 32),
    (1000, 3, 3, 32, 32), (3, 1000, 1, 32, 32), (31, 33, 3, 224, 224), (640, 480, 3, 64, 48),
    (17, 64, 3, 24, 56), (64, 64, 1, 28, 28), (33, 32, 3, 32, 32), (2, 3, 3, 5, 7),
]
SMALL = (9, 6, 1, 4, 4)


def formula(width, height, channels):
    """Gradients, edges and noise, so that every weight counts and sums leave 0 to 255."""
    y, x, c = numpy.meshgrid(numpy.arange(height), numpy.arange(width), numpy.arange(channels),
                             indexing="ij")
    noise = (x * 7919 + y * 104729 + c * 1299709) % 65521 * 31 % 256
    edges = ((x // 3 + y // 5 + c) % 2) * 255
    return numpy.where((x + y) % 4 < 2, noise, edges).astype(numpy.uint8)


def fitted(pixels, width, height):
    """The reference program's preprocessing, with the target's sides apart."""
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    scale = min(width / image.width, height / image.height)
    size = (max(int(image.width * scale), 1), max(int(image.height * scale), 1))
    grey = 128 if image.mode == "L" else (128, 128, 128)
    canvas = Image.new(image.mode, (width, height), grey)
    offset = ((width - size[0]) // 2, (height - size[1]) // 2)
    canvas.paste(image.resize(size, Image.Resampling.LANCZOS), offset)
    return numpy.asarray(canvas)


def main():
    lines = ["// Written by tests/parity/make_resize.py.",
             "const std::vector<Case> kCases = {"]
    for width, height, channels, to_width, to_height in CASES:
        result = fitted(formula(width, height, channels), to_width, to_height)
        digest = hashlib.sha256(result.tobytes()).hexdigest()
        lines.append(f"    {{{width}, {height}, {channels}, {to_width}, {to_height},")
        lines.append(f'     "{digest}"}},')
    lines.append("};")
    width, height, channels, to_width, to_height = SMALL
    small = fitted(formula(width, height, channels), to_width, to_height).flatten().tolist()
    lines.append("const std::vector<std::uint8_t> kSmall = {" + ", ".join(map(str, small)) + "};")
    path = pathlib.Path(__file__).with_name("resize.inc")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
