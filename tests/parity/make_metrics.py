#!/usr/bin/env python3
"""Writes tests/learn/metrics_expected.inc: figures by scikit-learn (and SciPy) for answers that
tests/learn/metrics.cpp makes again by the same formula. Needs Python with scikit-learn.

    python tests/parity/make_metrics.py > tests/learn/metrics_expected.inc
"""

import numpy as np
import scipy.stats
import sklearn.metrics
from sklearn.calibration import calibration_curve

CLASSES, IMAGES, BINS = 7, 500, 15


def logits():
    """Multiples of 1/64 from a linear congruential generator: exact in float."""
    state, rows, labels = 12345, [], []
    def draw(bound):
        nonlocal state
        state = (state * 1103515245 + 12345) % 2**31
        return (state >> 8) % bound
    for _ in range(IMAGES):
        label = draw(CLASSES - 1)  # The last class has no images.
        row = [(draw(256) - 128) / 64 for _ in range(CLASSES)]
        row[label] += draw(192) / 64
        rows.append(row)
        labels.append(label)
    return np.array(rows), np.array(labels)


def main():
    x, y = logits()
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    answers = x.argmax(axis=1)
    every = list(range(CLASSES))
    print("// By tests/parity/make_metrics.py with scikit-learn; not to be edited.")
    print(f"constexpr double kLoss = {sklearn.metrics.log_loss(y, p, labels=every)!r};")
    print(f"constexpr double kAccuracy = {sklearn.metrics.accuracy_score(y, answers)!r};")
    top = sklearn.metrics.top_k_accuracy_score(y, p, k=3, labels=every)
    print(f"constexpr double kTop3 = {float(top)!r};")
    per = sklearn.metrics.precision_recall_fscore_support(y, answers, labels=every, zero_division=0)
    present = [c for c in every if (y == c).any()]
    macro = sklearn.metrics.precision_recall_fscore_support(
        y, answers, labels=present, average="macro", zero_division=0)
    print("constexpr double kMacro[] = {%s};" % ", ".join(repr(float(v)) for v in macro[:3]))
    right, sure = answers == y, p.max(axis=1)
    share, confidence = calibration_curve(right, sure, n_bins=BINS, strategy="uniform")
    counts = np.histogram(sure, np.linspace(0, 1, BINS + 1))[0]
    counts = counts[counts > 0]
    error = float((np.abs(share - confidence) * counts).sum() / IMAGES)
    print(f"constexpr double kCalibrationError = {error!r};")
    print("// images, correct, predicted, precision, recall, f1, interval of the accuracy")
    print("constexpr double kPerClass[][8] = {")
    for c in every:
        images, correct = int((y == c).sum()), int((right & (y == c)).sum())
        low, high = 0.0, 1.0
        if images:
            interval = scipy.stats.binomtest(correct, images).proportion_ci(0.95, "wilson")
            low, high = float(interval.low), float(interval.high)
        row = [images, correct, int((answers == c).sum()), *(float(v[c]) for v in per[:3]), low, high]
        print("    {%s}," % ", ".join(repr(v) for v in row))
    print("};")


if __name__ == "__main__":
    main()
